//! Rates: at most so many in a length of time.

use crate::time::Span;

/// At most so many in a length of time: `"20/1m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, from 1 to [`Rate::MOST`].
    pub most: usize,
    /// In which time.
    pub within: Span,
}

impl Rate {
    /// The most of a rate: who keeps one remembers the time of each.
    pub const MOST: usize = 1_000;

    /// Reads `"20/1m"`: digits alone, and a length as of [`Span::parse`].
    pub fn parse(text: &str) -> Option<Self> {
        let (most, within) = text.split_once('/')?;
        let is_plain = most.bytes().all(|byte| byte.is_ascii_digit());
        let most = most.parse().ok().filter(|most| is_plain && (1..=Self::MOST).contains(most))?;
        Some(Self { most, within: Span::parse(within)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, expected) in [
            ("20/1m", Some((20, "1m"))),
            ("1/1ns", Some((1, "1ns"))),
            ("1000/1h30m", Some((1000, "90m"))),
            ("20 per minute", None),
            ("20", None),
            ("0/1m", None),
            ("+1/1m", None),
            ("1.5/1m", None),
            ("1001/1m", None),
            ("99999999999999999999/1m", None),
            ("/1m", None),
            ("20/", None),
            ("20/0s", None),
            ("20/1m/1m", None),
            ("", None),
        ] {
            let read = Rate::parse(text).map(|rate| (rate.most, rate.within.to_string()));
            assert_eq!(read, expected.map(|(most, within)| (most, within.to_owned())), "{text}");
        }
    }
}
