//! The text of a config, however many files it has.

use std::ops::Range;

use types::options::Place;

/// The files of a config, thought of as one text, so that a [`Place`] alone says file, line and
/// column.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    files: Vec<TextFile>,
}

/// One file, and where it starts in the text of all.
#[derive(Clone, Debug)]
struct TextFile {
    path: String,
    text: String,
    start: usize,
}

/// A place in a file, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot<'a> {
    /// The file's path as the user gave it.
    pub path: &'a str,
    /// The file's text.
    pub text: &'a str,
    /// The place in bytes of the file, cut at the end of its first line and at whole characters.
    pub span: Range<usize>,
}

impl Texts {
    /// Adds a file; gives where it starts.
    pub(crate) fn add(&mut self, path: String, text: String) -> usize {
        // One byte lies between files, so that the end of one isn't the start of the next.
        let start = self.files.last().map_or(0, |last| last.start + last.text.len() + 1);
        self.files.push(TextFile { path, text, start });
        start
    }

    /// Finds a place; `None` where there is no file at all.
    pub fn spot(&self, place: &Place) -> Option<Spot<'_>> {
        let file = self.files.iter().rfind(|file| file.start <= place.start)?;
        let text = file.text.as_str();
        let start = text.floor_char_boundary((place.start - file.start).min(text.len()));
        let end = text.ceil_char_boundary(place.end.saturating_sub(file.start).min(text.len()));
        let line_end = text.bytes().skip(start).position(|b| b == b'\n' || b == b'\r');
        let end = line_end.map_or(end, |length| end.min(start + length)).max(start);
        Some(Spot { path: &file.path, text, span: start..end })
    }
}

impl Spot<'_> {
    /// The line and column of the place, both from 1; columns count characters.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = self.text.get(..self.span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_finds_its_file_line_and_column() {
        let mut texts = Texts::default();
        assert_eq!(texts.add("a.toml".to_owned(), "x = 1\ny = 'é' # z\n".to_owned()), 0);
        let second = texts.add("b.toml".to_owned(), "z = 3".to_owned());
        let at = |place: Place| {
            let spot = texts.spot(&place).unwrap();
            let shown = spot.text.get(spot.span.clone()).unwrap();
            (spot.path, spot.line_and_column(), shown)
        };
        assert_eq!(at(0..1), ("a.toml", (1, 1), "x"));
        assert_eq!(at(15..16), ("a.toml", (2, 9), "#"));
        assert_eq!(at(second + 4..second + 5), ("b.toml", (1, 5), "3"));
        // Beyond the end, inside a character, over several lines: still a place.
        assert_eq!(at(second + 90..second + 99), ("b.toml", (1, 6), ""));
        assert_eq!(at(0..12), ("a.toml", (1, 1), "x = 1"));
        assert_eq!(at(12..12).1, (2, 6));
    }
}
