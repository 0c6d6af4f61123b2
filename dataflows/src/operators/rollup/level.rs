//! The lengths of bars, and which smaller bars each can be rebuilt from.

use types::{ShortText, Span, VenueTime};

/// One length of bars.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) span: Span,
    /// How the config writes it; `None` for cells that only divide the ticks of long bars.
    pub(super) size: Option<ShortText>,
    /// The longest smaller level whose buckets nest in this one's.
    pub(super) child: Option<usize>,
}

impl Level {
    /// The end of a bucket, given its start.
    pub(super) const fn end(&self, start: VenueTime) -> VenueTime {
        start.plus(self.span)
    }
}

/// Cells are looked through when a tick is removed, so long bars get shorter cells below them.
const LONGEST_CELL: &str = "1h";
const OTHER_CELLS: [&str; 2] = ["1m", "1s"];

/// The levels of some sizes, the smallest first.
pub(super) fn levels(sizes: &[(Span, ShortText)]) -> Vec<Level> {
    let mut spans: Vec<(Span, Option<ShortText>)> =
        sizes.iter().map(|(span, size)| (*span, Some(*size))).collect();
    spans.sort_unstable();
    let longest = Span::parse(LONGEST_CELL);
    if let Some((smallest, _)) = spans.first().filter(|(span, _)| Some(*span) > longest) {
        let mut cells = [LONGEST_CELL].into_iter().chain(OTHER_CELLS).filter_map(Span::parse);
        if let Some(cell) = cells.find(|cell| nests(*cell, *smallest)) {
            spans.insert(0, (cell, None));
        }
    }
    let child = |index: usize, span| spans[..index].iter().rposition(|part| nests(part.0, span));
    let level = |(index, (span, size)): (usize, &(Span, Option<ShortText>))| Level {
        span: *span,
        size: *size,
        child: child(index, *span),
    };
    spans.iter().enumerate().map(level).collect()
}

/// Whether each bucket of `whole` is made of whole buckets of `part`.
fn nests(part: Span, whole: Span) -> bool {
    let start = VenueTime::from_nanos(0).bucket(whole);
    whole.nanos() % part.nanos() == 0 && start.bucket(part) == start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_rebuilt_from_what_nests() {
        let of = |sizes: &[&str]| -> Vec<(String, bool, Option<usize>)> {
            let size = |text: &&str| (Span::parse(text).unwrap(), ShortText::new(text).unwrap());
            let levels = levels(&sizes.iter().map(size).collect::<Vec<_>>());
            levels.iter().map(|l| (l.span.to_string(), l.size.is_some(), l.child)).collect()
        };
        let level = |span: &str, shown, child| (span.to_owned(), shown, child);
        assert_eq!(
            of(&["1m", "90s", "1h", "1d"]),
            [
                level("1m", true, None),
                level("90s", true, None),
                level("1h", true, Some(1)),
                level("1d", true, Some(2)),
            ]
        );
        assert_eq!(of(&["1w"]), [level("1h", false, None), level("1w", true, Some(0))]);
        // Weeks start on Monday, and 1970-01-01 was a Thursday: weeks of days nest, of 7 days too,
        // but not weeks of 3.5 days.
        assert_eq!(of(&["84h", "1w"])[2].2, Some(0));
        assert_eq!(of(&["61m"])[0], level("1m", false, None));
        assert_eq!(of(&["1h1s1ns"]), [level("3601000000001ns", true, None)]);
    }
}
