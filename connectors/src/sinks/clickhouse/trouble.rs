//! What went wrong at the server, sorted by what helps: to try again, to put the table or the user's
//! rights right, or to set rows aside.

use std::fmt;

use clickhouse::error::Error;

use crate::sinks::patience::{self, Remedy};

/// What went wrong with one attempt.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The client or the server says so.
    Server(Error),
    /// The table isn't what the view needs any more; in what.
    Layout(String),
    /// The server refuses rows, and as many were set aside as may be.
    Full(Error),
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(out),
            Self::Layout(what) => write!(out, "the table differs from its view: {what}"),
            Self::Full(error) => write!(out, "`max_refused` rows are set aside already: {error}"),
        }
    }
}

impl std::error::Error for Trouble {}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl patience::Trouble for Trouble {
    fn timed_out() -> Self {
        Error::TimedOut.into()
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::Server(error) => remedy(error),
            Self::Layout(_) | Self::Full(_) => Remedy::Fix,
        }
    }

    /// ClickHouse's code, where it gave one.
    fn kind(&self) -> String {
        match self {
            Self::Layout(what) => what.clone(),
            Self::Full(_) => "max_refused".into(),
            Self::Server(error) => match answer(error) {
                Some(code) => format!("code {code}"),
                None => format!("{:?}", self.remedy()),
            },
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Layout(_) => "change the table back",
            Self::Full(_) => {
                "put right what refuses the rows, or start again with a greater `max_refused`"
            }
            Self::Server(error) => match answer(error).unwrap_or(0) {
                60 | 81 => {
                    "bring it back with its rows (UNDROP TABLE, RENAME, a backup): a new one lacks \
                     what was written before"
                }
                8 | 16 | 47 => "add the column again",
                164 | 192 | 193 | 194 | 195 | 497 | 516 => {
                    "let the user write: GRANT SELECT, INSERT on the database"
                }
                201 => "raise the user's quota",
                _ => "put right what it names",
            },
        }
    }
}

/// ClickHouse's codes of what passes: overload, time-outs, lost peers, a table that is read-only
/// for now, a table whose name changes while it is looked up.
const PASSING: [u32; 16] = [
    159, // TIMEOUT_EXCEEDED
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    285, // TOO_FEW_LIVE_REPLICAS
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED
    741, // TABLE_UUID_MISMATCH: renamed since the server looked it up
    999, // KEEPER_EXCEPTION
];

/// Its codes of what is wrong with the values of some row.
const OF_ROWS: [u32; 19] = [
    6,   // CANNOT_PARSE_TEXT
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    131, // TOO_LARGE_STRING_SIZE
    153, // ILLEGAL_DIVISION
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    376, // CANNOT_PARSE_UUID
    395, // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
    407, // DECIMAL_OVERFLOW
    467, // CANNOT_PARSE_BOOL
    469, // VIOLATED_CONSTRAINT
    677, // CANNOT_PARSE_IPV6
    691, // UNKNOWN_ELEMENT_OF_ENUM
];

/// What helps against an error.
pub(super) fn remedy(error: &Error) -> Remedy {
    match error {
        Error::BadResponse(text) => match code(text) {
            // An answer without a code is a proxy's or a server's that goes down.
            None => Remedy::Retry,
            Some(code) if PASSING.contains(&code) => Remedy::Retry,
            Some(code) if OF_ROWS.contains(&code) => Remedy::SetAside,
            Some(_) => Remedy::Fix,
        },
        Error::Network(_) | Error::TimedOut | Error::Compression(_) | Error::Decompression(_) => {
            Remedy::Retry
        }
        Error::NotEnoughData | Error::DataFormat(_) => Remedy::Retry,
        _ => Remedy::Fix,
    }
}

/// The code of an answer.
fn answer(error: &Error) -> Option<u32> {
    if let Error::BadResponse(text) = error { code(text) } else { None }
}

/// Reads `Code: 60. DB::Exception: ...`.
fn code(text: &str) -> Option<u32> {
    let (_, behind) = text.split_once("Code: ")?;
    let n_digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    behind.get(..n_digits)?.parse().ok()
}

/// Why the server refuses rows.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Its code.
    pub(super) code: u32,
    /// The name of the code, as the server spells it: `violated_constraint`.
    pub(super) reason: String,
    /// All that it said.
    pub(super) detail: String,
}

impl Refusal {
    /// What an error says.
    pub(super) fn new(error: &Error) -> Self {
        let detail = match error {
            Error::BadResponse(text) => text.trim().to_string(),
            other => other.to_string(),
        };
        let code = code(&detail).unwrap_or(0);
        let is_name = |word: &&str| {
            !word.is_empty() && word.bytes().all(|b| b == b'_' || b.is_ascii_uppercase())
        };
        // The last one in parentheses: values and expressions stand before it.
        let names = detail.rsplit('(').filter_map(|part| Some(part.split_once(')')?.0));
        let reason = names.into_iter().find(is_name).map(str::to_lowercase);
        let reason = reason.unwrap_or_else(|| format!("code_{code}"));
        Self { code, reason, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::patience::Trouble as _;

    #[test]
    fn errors_are_sorted_by_what_helps() {
        for (text, expected) in [
            ("Code: 252. DB::Exception: Too many parts", Remedy::Retry),
            ("Code: 241. DB::Exception: Memory limit", Remedy::Retry),
            ("Code: 741. DB::Exception: Table a.b (1-2) does not match a.c (1-2)", Remedy::Retry),
            ("503 Service Unavailable", Remedy::Retry),
            ("<html>Code: Bad Gateway</html>", Remedy::Retry),
            ("Code: 60. DB::Exception: Unknown table", Remedy::Fix),
            ("Code: 497", Remedy::Fix),
            ("Code: 53. DB::Exception: Type mismatch", Remedy::Fix),
            ("Code: 469. DB::Exception: Constraint", Remedy::SetAside),
            ("Code: 321. DB::Exception: out of range", Remedy::SetAside),
        ] {
            let trouble = Trouble::Server(Error::BadResponse(text.into()));
            assert_eq!(trouble.remedy(), expected, "{text}");
        }
        let trouble = |error| Trouble::Server(error).remedy();
        assert_eq!(trouble(Error::Network("refused".into())), Remedy::Retry);
        assert_eq!(trouble(Error::Unsupported("https".into())), Remedy::Fix);
        assert_eq!(Trouble::Layout(String::new()).remedy(), Remedy::Fix);
        assert!(OF_ROWS.iter().all(|code| !PASSING.contains(code)));
    }

    #[test]
    fn a_refusal_has_the_name_of_its_code() {
        let text = "Code: 469. DB::Exception: Constraint `c` is violated at row 1. Expression: \
                    (a > 0). Column values: a = '(X)'. (VIOLATED_CONSTRAINT) (version 26.7 (b))\n";
        let refusal = Refusal::new(&Error::BadResponse(text.into()));
        assert_eq!((refusal.code, refusal.reason.as_str()), (469, "violated_constraint"));
        assert_eq!(refusal.detail, text.trim());
        let refusal = Refusal::new(&Error::BadResponse("Code: 6. nothing else".into()));
        assert_eq!(refusal.reason, "code_6");
    }
}
