//! `${VAR}` in the texts of a config, put in after the file is parsed, so that a value can't
//! change the file's structure.

/// Replaces `${VAR}`, `${VAR:-default}` and `${VAR:?message}`; `$$` gives `$`, any other `$` stays.
///
/// # Errors
/// What is wrong and what to do.
pub(super) fn expand(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<String, (String, String)> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(inside) = after.strip_prefix('{') {
            let Some((variable, tail)) = inside.split_once('}') else {
                let message = format!("`${{{inside}` has no closing brace");
                return Err((message, "write `${NAME}`, or `$$` for a dollar sign".to_owned()));
            };
            out.push_str(&value(variable, env)?);
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The value of what stands between the braces.
fn value(variable: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let (name, otherwise) = match variable.split_once(':') {
        Some((name, otherwise)) => (name, Some(otherwise)),
        None => (variable, None),
    };
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    let default = otherwise.and_then(|text| text.strip_prefix('-'));
    let message = otherwise.and_then(|text| text.strip_prefix('?'));
    if !is_name || (otherwise.is_some() && default.is_none() && message.is_none()) {
        let hint = "write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`".to_owned();
        return Err((format!("`${{{variable}}}` isn't a variable"), hint));
    }
    // As in a shell, an empty variable counts as unset where the config says what to do then.
    match (env(name).filter(|value| otherwise.is_none() || !value.is_empty()), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let hint = match message {
                Some(message) if !message.is_empty() => message.to_owned(),
                _ => format!("set it, or write `${{{name}:-default}}`"),
            };
            Err((format!("environment variable `{name}` isn't set"), hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/me".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_put_in() {
        for (text, expanded) in [
            ("plain", "plain"),
            ("${HOME}/x", "/home/me/x"),
            ("${HOME}${HOME}", "/home/me/home/me"),
            ("${NONE:-else}", "else"),
            ("${EMPTY:-else}", "else"),
            ("${EMPTY}", ""),
            ("${HOME:?needed}", "/home/me"),
            ("$$", "$"),
            ("$${HOME}", "${HOME}"),
            ("costs 5$ or $5", "costs 5$ or $5"),
        ] {
            assert_eq!(expand(text, &env).as_deref(), Ok(expanded), "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_told() {
        for (text, message) in [
            ("${NONE}", "environment variable `NONE` isn't set"),
            ("${NONE:?say where}", "environment variable `NONE` isn't set"),
            ("${HOME", "`${HOME` has no closing brace"),
            ("${}", "`${}` isn't a variable"),
            ("${1A}", "`${1A}` isn't a variable"),
            ("${HOME:x}", "`${HOME:x}` isn't a variable"),
        ] {
            assert_eq!(expand(text, &env).map_err(|e| e.0), Err(message.to_owned()), "{text}");
        }
        assert_eq!(expand("${NONE:?say where}", &env).unwrap_err().1, "say where");
    }
}
