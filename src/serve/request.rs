//! What clients may say. Pure: text in, request or refusal out.

use serde_json::{Map, Value};
use types::options::did_you_mean;

use super::frames::Refusal;

/// What a client asks for. Fields that the protocol doesn't know are ignored, those that it knows
/// and this server doesn't do are refused by name: a client must not take a whole view for the
/// filtered one that it asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// The first word.
    Hello,
    /// Wants a view's rows and changes.
    Subscribe {
        /// The client's name for the subscription.
        sub: String,
        /// The view's name.
        view: String,
        /// Whether the rows come first.
        snapshot: bool,
        /// Whether the rows are those as of the current epoch.
        live: bool,
    },
    /// Wants no more of them.
    Unsubscribe {
        /// Of which subscription.
        sub: String,
    },
    /// Wants to know what there is.
    List(What),
    /// Wants an answer.
    Ping {
        /// Comes back as it is.
        t: Option<Value>,
    },
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The views.
    Views,
    /// The connection's subscriptions.
    Subs,
}

/// A text that isn't a JSON object with a text `op`: no conversation, so the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A request with the id that its answer bears.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The client's id for the request; only hello goes without.
    pub(super) id: Option<Value>,
    /// The request, or why it can't be done.
    pub(super) request: Result<Request, Refusal>,
}

/// The longest name of a subscription and the longest id, in bytes.
const MAX_NAME_BYTES: usize = 64;

const OPS: [&str; 7] = ["hello", "subscribe", "unsubscribe", "update", "auth", "list", "ping"];

/// Reads one text frame.
pub(super) fn read(text: &str) -> Result<Asked, Malformed> {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return Err(Malformed);
    };
    let Some(Value::String(op)) = fields.get("op") else {
        return Err(Malformed);
    };
    let id = match fields.get("id") {
        Some(Value::String(id)) if id.len() <= MAX_NAME_BYTES => Some(Value::from(id.as_str())),
        Some(Value::Number(id)) if id.is_u64() => Some(Value::Number(id.clone())),
        _ => None,
    };
    let request = match op.as_str() {
        "hello" => Ok(Request::Hello),
        _ if id.is_none() => {
            let message =
                format!("`id` must be a text of at most {MAX_NAME_BYTES} bytes or a whole number");
            Err(Refusal::of("bad_request", "id", message))
        }
        "subscribe" => subscribe(&fields),
        "unsubscribe" => name(&fields, "sub").map(|sub| Request::Unsubscribe { sub }),
        "list" => list(&fields),
        "ping" => Ok(Request::Ping { t: fields.get("t").cloned() }),
        "update" | "auth" => Err(unsupported("op", &format!("the op `{op}`"))),
        unknown => Err(unknown_op(unknown)),
    };
    Ok(Asked { id, request })
}

fn subscribe(fields: &Map<String, Value>) -> Result<Request, Refusal> {
    let sub = name(fields, "sub")?;
    let view = text(fields, "view")?.ok_or_else(|| missing("view"))?.to_owned();
    for option in ["where", "columns", "resume"] {
        if fields.get(option).is_some_and(|value| !value.is_null()) {
            return Err(unsupported(option, &format!("the option `{option}`")));
        }
    }
    word(fields, "envelope", "upsert", &["diff"])?;
    word(fields, "on_slow", "conflate", &["reset", "drop", "close"])?;
    match fields.get("conflate_ms") {
        None | Some(Value::Null) => {}
        Some(Value::Number(ms)) if ms.as_u64() == Some(0) => {}
        Some(Value::Number(ms)) if ms.is_u64() => {
            return Err(unsupported("conflate_ms", "the option `conflate_ms`"));
        }
        Some(_) => return Err(wrong("conflate_ms", "a whole number")),
    }
    let (snapshot, live) = (flag(fields, "snapshot", true)?, flag(fields, "live", false)?);
    Ok(Request::Subscribe { sub, view, snapshot, live })
}

fn list(fields: &Map<String, Value>) -> Result<Request, Refusal> {
    match text(fields, "what")? {
        Some("views") => Ok(Request::List(What::Views)),
        Some("subs") => Ok(Request::List(What::Subs)),
        _ => Err(wrong("what", "`views` or `subs`")),
    }
}

/// Accepts the one word that is done, and nothing, which means it.
fn word(
    fields: &Map<String, Value>,
    field: &str,
    done: &str,
    known: &[&str],
) -> Result<(), Refusal> {
    match text(fields, field)? {
        None => Ok(()),
        Some(word) if word == done => Ok(()),
        Some(word) if known.contains(&word) => {
            Err(unsupported(field, &format!("the option `{field}` = `{word}`")))
        }
        Some(_) => Err(wrong(field, &format!("`{done}`"))),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Refusal> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(field, "a text")),
    }
}

fn flag(fields: &Map<String, Value>, field: &str, default: bool) -> Result<bool, Refusal> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(wrong(field, "true or false")),
    }
}

fn name(fields: &Map<String, Value>, field: &str) -> Result<String, Refusal> {
    match text(fields, field)? {
        Some(name) if (1..=MAX_NAME_BYTES).contains(&name.len()) => Ok(name.to_owned()),
        Some(_) => Err(wrong(field, &format!("a text of 1 to {MAX_NAME_BYTES} bytes"))),
        None => Err(missing(field)),
    }
}

fn missing(field: &str) -> Refusal {
    Refusal::of("bad_request", field, format!("`{field}` is missing"))
}

fn wrong(field: &str, expected: &str) -> Refusal {
    Refusal::of("bad_request", field, format!("`{field}` must be {expected}"))
}

fn unsupported(field: &str, what: &str) -> Refusal {
    Refusal::of("unsupported", field, format!("{what} isn't supported by this server"))
}

fn unknown_op(op: &str) -> Refusal {
    let hint = did_you_mean(op, OPS).map(|hint| format!(": {hint}")).unwrap_or_default();
    Refusal::of("unknown_op", "op", format!("unknown op{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (&'static str, String) {
        let refusal = read(text).unwrap().request.unwrap_err();
        (refusal.code, refusal.at.unwrap_or_default())
    }

    #[test]
    fn what_is_no_object_with_an_op_is_malformed() {
        for text in ["", "1", "[]", "{}", r#"{"op":1}"#, r#"{"op":"ping""#, "{\"op\":\"ping\"}x"] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
        let deep = format!(r#"{{"op":{}"#, "[".repeat(100_000));
        assert_eq!(read(&deep), Err(Malformed));
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let asked = read(r#"{"op":"subscribe","id":7,"sub":"p","view":"v","more":[1]}"#).unwrap();
        let request = Request::Subscribe {
            sub: "p".to_owned(),
            view: "v".to_owned(),
            snapshot: true,
            live: false,
        };
        assert_eq!(asked, Asked { id: Some(7.into()), request: Ok(request) });
    }

    #[test]
    fn what_is_known_but_not_done_is_refused_by_name() {
        for (option, field) in [
            (r#""where":"qty > 0""#, "/where"),
            (r#""columns":["qty"]"#, "/columns"),
            (r#""resume":{"gen":1,"epoch":"2"}"#, "/resume"),
            (r#""envelope":"diff""#, "/envelope"),
            (r#""on_slow":"drop""#, "/on_slow"),
            (r#""conflate_ms":5"#, "/conflate_ms"),
        ] {
            let text = format!(r#"{{"op":"subscribe","id":"1","sub":"p","view":"v",{option}}}"#);
            assert_eq!(refusal(&text), ("unsupported", field.to_owned()));
        }
        assert_eq!(refusal(r#"{"op":"auth","id":"1"}"#), ("unsupported", "/op".to_owned()));
        assert_eq!(refusal(r#"{"op":"update","id":"1"}"#), ("unsupported", "/op".to_owned()));
    }

    #[test]
    fn wrong_fields_are_named() {
        for (text, field) in [
            (r#"{"op":"ping"}"#, "/id"),
            (r#"{"op":"ping","id":1.5}"#, "/id"),
            (r#"{"op":"subscribe","id":1,"view":"v"}"#, "/sub"),
            (r#"{"op":"subscribe","id":1,"sub":"","view":"v"}"#, "/sub"),
            (r#"{"op":"subscribe","id":1,"sub":"p"}"#, "/view"),
            (r#"{"op":"subscribe","id":1,"sub":"p","view":"v","snapshot":1}"#, "/snapshot"),
            (r#"{"op":"subscribe","id":1,"sub":"p","view":"v","live":"yes"}"#, "/live"),
            (r#"{"op":"subscribe","id":1,"sub":"p","view":"v","envelope":"x"}"#, "/envelope"),
            (r#"{"op":"list","id":1,"what":"all"}"#, "/what"),
        ] {
            assert_eq!(refusal(text), ("bad_request", field.to_owned()), "{text}");
        }
        assert_eq!(refusal(r#"{"op":"subscrbe","id":1}"#), ("unknown_op", "/op".to_owned()));
    }
}
