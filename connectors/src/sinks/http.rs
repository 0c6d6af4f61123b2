//! How HTTP clients connect: through the surroundings of the run, to urls that were checked before it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::env::{Env, Socket};

/// Connects to the host of a url.
#[derive(Clone, Debug)]
pub(crate) struct Connector(Arc<dyn Env>);

impl Connector {
    /// Connects through these surroundings.
    pub(crate) const fn new(env: Arc<dyn Env>) -> Self {
        Self(env)
    }
}

impl Connection for Box<dyn Socket> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Socket>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        // An IPv6 address stands in brackets in a url, and without them elsewhere.
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let connecting = self.0.connect(host, url.port_u16().unwrap_or(default));
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}

/// What is wrong with the url of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UrlFault {
    /// It isn't `http://host` or `https://host`, with whatever follows.
    NoUrl,
    /// It holds a user.
    User,
    /// Its port is none: from 1 to 65535.
    Port,
}

/// Reads the url of a server.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn server_url(text: &str) -> Result<Uri, UrlFault> {
    let url: Uri = text.parse().map_err(|_| UrlFault::NoUrl)?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    match url.authority() {
        Some(authority) if is_http && authority.as_str().contains('@') => Err(UrlFault::User),
        // A port that is no number of 16 bits would be left out.
        Some(authority)
            if is_http
                && authority.port_u16().is_none_or(|port| port == 0)
                && has_port(authority.as_str()) =>
        {
            Err(UrlFault::Port)
        }
        Some(authority) if is_http && !authority.host().is_empty() => Ok(url),
        _ => Err(UrlFault::NoUrl),
    }
}

/// Whether something stands for a port behind the host, which may be an address in brackets.
fn has_port(authority: &str) -> bool {
    authority.rsplit(']').next().is_some_and(|rest| rest.contains(':'))
}
