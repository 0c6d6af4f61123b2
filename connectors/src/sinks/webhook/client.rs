//! The other side of a webhook: POSTs, and what its answers mean.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use sha2::Sha256;
use tokio::runtime::{Builder, Runtime};
use types::Span;

use super::options::TIMEOUT_NANOS;
use crate::error::ConnectError;
use crate::sink::SinkContext;
use crate::sinks::http::{Connector, UrlFault, server_url};
use crate::sinks::patience::{Patience, Remedy, Stage, Trouble};

/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 4 << 10;
/// How long the end of an answer's text is waited for at most.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// The longest pause that an answer can ask for.
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// Names the content, the same however often it is sent.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SIGNATURE: HeaderName = HeaderName::from_static("tapeline-signature");

/// Sends POSTs.
pub(super) struct Client {
    runtime: Runtime,
    http: HttpClient<HttpsConnector<Connector>, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
    secret: Option<String>,
    patience: Patience,
    place: String,
    /// How long the end of an answer's text is waited for.
    answer_wait: Duration,
}

/// Why a POST is refused for good.
pub(super) struct Refusal {
    /// The status.
    pub(super) status: u16,
    /// The start of the answer.
    pub(super) detail: String,
}

impl Client {
    /// Prepares to send; connects to nothing yet.
    pub(super) fn new(context: &SinkContext) -> Result<Self, ConnectError> {
        let settings = &context.settings;
        let broken = |what: String| ConnectError::broken(format!("opening a webhook: {what}"));
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| broken("starting a runtime".into()).because(error))?;
        let url = check_url(settings.text("url").unwrap_or_default());
        let url = url.map_err(|(what, hint)| broken(what).hint(hint))?;
        let mut headers = HeaderMap::new();
        for (header, _) in settings.list("headers") {
            let header = check_header(header).map_err(|(what, hint)| broken(what).hint(hint))?;
            headers.append(header.0, header.1);
        }
        let connector = Connector::new(Arc::clone(&context.env));
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| broken("reading the system's certificates".into()).because(error))?;
        let connector = https.https_or_http().enable_http1().wrap_connector(connector);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        let timeout = settings.duration("timeout").map_or(TIMEOUT_NANOS, Span::nanos);
        let answer = Duration::from_nanos(timeout.unsigned_abs());
        // The path may be a secret.
        let place = format!(
            "{}://{}",
            url.scheme_str().unwrap_or_default(),
            url.authority().map(http::uri::Authority::as_str).unwrap_or_default()
        );
        let patience =
            Patience::new("the webhook", place.clone(), settings, context.is_finite, answer)
                .cutting();
        let secret = settings.text("signing_secret").map(str::to_owned);
        let answer_wait = ANSWER_WAIT.min(answer / 4);
        Ok(Self { runtime, http, url, headers, secret, patience, place, answer_wait })
    }

    /// Where it sends to, without what may be a secret.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Sends a POST until it is taken, or refused and may be set aside.
    pub(super) fn send(
        &self,
        doing: &str,
        key: &str,
        body: &str,
        may_set_aside: bool,
    ) -> Result<Option<Refusal>, ConnectError> {
        self.runtime.block_on(self.patience.persist(Stage::Running, doing, async |_| {
            let answer = self.http.request(self.request(key, body)?).await;
            let answer = answer.map_err(|error| Refused::Network(chain(&error)))?;
            let status = answer.status().as_u16();
            if answer.status().is_success() {
                // Read to its end, so that the connection can be used again.
                read(answer, self.answer_wait).await;
                return Ok(None);
            }
            let pause = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
            let pause = pause.and_then(|after| after.trim().parse().ok());
            let pause = pause.map_or(Duration::ZERO, Duration::from_secs).min(PAUSE_MAX);
            let detail = read(answer, self.answer_wait).await;
            match remedy(status) {
                Remedy::SetAside if may_set_aside => Ok(Some(Refusal { status, detail })),
                Remedy::SetAside => Err(Refused::Full { status, detail }),
                remedy => Err(Refused::Status { status, detail, pause, remedy }),
            }
        }))
    }

    fn request(&self, key: &str, body: &str) -> Result<Request<Full<Bytes>>, Refused> {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let mut request = Request::post(self.url.clone()).body(Full::new(bytes));
        let headers = request.as_mut().ok().map(Request::headers_mut);
        let headers = headers.ok_or(Refused::Network("the request can't be made".into()))?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("tapeline"));
        headers.extend(self.headers.clone());
        let mut set = |name, text: &str| {
            let value = HeaderValue::from_str(text);
            let value = value.map_err(|error| Refused::Network(error.to_string()))?;
            headers.insert(name, value);
            Ok(())
        };
        set(IDEMPOTENCY_KEY, key)?;
        if let Some(secret) = &self.secret {
            set(SIGNATURE, &signature(secret, body))?;
        }
        request.map_err(|error| Refused::Network(error.to_string()))
    }
}

/// What helps against a status.
const fn remedy(status: u16) -> Remedy {
    match status {
        408 | 425 | 429 | 500..=599 => Remedy::Retry,
        401 | 403 | 404 => Remedy::Fix,
        400..=499 => Remedy::SetAside,
        // A redirection: a POST isn't sent where nobody said that it may go.
        _ => Remedy::Fix,
    }
}

/// The start of an answer's text; nothing of one that doesn't come to its end: its status has answered.
async fn read(answer: Response<Incoming>, wait: Duration) -> String {
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect();
    let body = tokio::time::timeout(wait, body).await.ok().and_then(Result::ok);
    let bytes = body.map(Collected::to_bytes).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

/// Signs a body: `sha256=` and the hex digits of its HMAC.
pub(super) fn signature(secret: &str, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        unreachable!("an HMAC takes keys of any length")
    };
    mac.update(body.as_bytes());
    let bytes: [u8; 32] = mac.finalize().into_bytes().into();
    let (high, low) = bytes.split_at(16);
    let half = |half: &[u8]| half.try_into().map_or(0, u128::from_be_bytes);
    format!("sha256={:032x}{:032x}", half(high), half(low))
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Reads a url; what is wrong with it and what to do else.
pub(super) fn check_url(text: &str) -> Result<Uri, (String, &'static str)> {
    server_url(text).map_err(|fault| match fault {
        UrlFault::User => {
            ("the url holds a user".to_owned(), "use `headers = [\"Authorization: Basic ${VAR}\"]`")
        }
        UrlFault::Port => ("the url's port is no port".to_owned(), "ports go from 1 to 65535"),
        UrlFault::NoUrl => {
            ("not an http or https url".to_owned(), "write it like \"https://example.com/hook\"")
        }
    })
}

/// Reads a header like `Name: value`.
pub(super) fn check_header(
    text: &str,
) -> Result<(HeaderName, HeaderValue), (String, &'static str)> {
    const OURS: [&str; 5] =
        ["content-type", "content-length", "host", "idempotency-key", "tapeline-signature"];
    let hint = "write it like \"Authorization: Bearer ${VAR}\"";
    // Its value may be a secret, so that neither is shown.
    let wrong = (String::from("not a header"), hint);
    let Some((name, value)) = text.split_once(':') else { return Err(wrong) };
    let Ok(name) = name.trim().parse::<HeaderName>() else { return Err(wrong) };
    let Ok(mut value) = value.trim().parse::<HeaderValue>() else { return Err(wrong) };
    if OURS.contains(&name.as_str()) {
        return Err((format!("the header {name} is set by the sink itself"), "leave it out"));
    }
    value.set_sensitive(true);
    Ok((name, value))
}

/// Why a POST wasn't taken.
#[derive(Debug)]
enum Refused {
    /// No answer came.
    Network(String),
    /// Nor in time.
    TimedOut,
    /// An answer that doesn't take it.
    Status { status: u16, detail: String, pause: Duration, remedy: Remedy },
    /// One that refuses it for good, where as many were set aside as may be.
    Full { status: u16, detail: String },
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(what) => write!(out, "{what}"),
            Self::TimedOut => write!(out, "no answer came in time"),
            Self::Status { status, detail, .. } => write!(out, "status {status}: {detail}"),
            Self::Full { status, detail } => {
                write!(out, "`max_refused` posts are set aside already: status {status}: {detail}")
            }
        }
    }
}

impl std::error::Error for Refused {}

impl Trouble for Refused {
    fn timed_out() -> Self {
        Self::TimedOut
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::Network(_) | Self::TimedOut => Remedy::Retry,
            Self::Status { remedy, .. } => *remedy,
            Self::Full { .. } => Remedy::Fix,
        }
    }

    fn kind(&self) -> String {
        match self {
            Self::Network(_) | Self::TimedOut => "away".into(),
            Self::Status { status, .. } => format!("status {status}"),
            Self::Full { .. } => "max_refused".into(),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Status { status: 401 | 403, .. } => "let the sink in: look at its `headers`",
            Self::Status { status: 404, .. } => "bring the url back",
            Self::Full { .. } => {
                "put right what refuses the posts, or start again with a greater `max_refused`"
            }
            _ => "put right what the answer names",
        }
    }

    fn pause(&self) -> Duration {
        if let Self::Status { pause, .. } = self { *pause } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_anybody_can_check() {
        // RFC 4231, test case 2.
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", "what do ya want for nothing?"), expected);
    }

    #[test]
    fn statuses_are_sorted_by_what_helps() {
        for (statuses, expected) in [
            (&[408, 425, 429, 500, 502, 503, 504, 599][..], Remedy::Retry),
            (&[401, 403, 404, 301, 308], Remedy::Fix),
            (&[400, 405, 409, 410, 413, 422, 499], Remedy::SetAside),
        ] {
            for status in statuses {
                assert_eq!(remedy(*status), expected, "{status}");
            }
        }
    }
}
