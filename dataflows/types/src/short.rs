//! `ShortText`: a short text that is copied rather than shared.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text of at most 11 bytes without zeros, so that it fills a gap in a row and a row that holds
/// it is plain memory. Ordered as its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShortText([u8; Self::MAX_BYTES]);

impl ShortText {
    /// The most bytes that a text may have.
    pub const MAX_BYTES: usize = 11;

    /// Takes a text; `None` where it is too long or holds a zero.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        (!text.as_bytes().contains(&0)).then_some(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::MAX_BYTES);
        self.0.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for ShortText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_str().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ShortText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| D::Error::custom("a short text has at most 11 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_read_back_and_order_as_their_texts() {
        let texts = ["", "15m", "1d", "1h", "1h30m", "1m", "86400001ms", "€", "\u{10ffff}ab"];
        let short: Vec<ShortText> = texts.iter().map(|t| ShortText::new(t).unwrap()).collect();
        assert!(short.is_sorted());
        assert_eq!(short.iter().map(ShortText::as_str).collect::<Vec<_>>(), texts);
        for text in &short {
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(serde_json::from_str::<ShortText>(&json).unwrap(), *text);
        }
        assert_eq!(ShortText::new("1h30m15s500ms"), None);
        assert_eq!(ShortText::new("1\0"), None);
        assert!(serde_json::from_str::<ShortText>("\"123456789012\"").is_err());
    }
}
