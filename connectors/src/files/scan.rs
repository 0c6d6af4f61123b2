//! The plain rows of a CSV: end and fields in one pass over their bytes, eight at a time.

use super::fields::{Fields, Slot};

/// What a pass over a row's bytes finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// A whole row without quotes: its length, and that of its line break.
    Row {
        /// Bytes before the line break.
        length: usize,
        /// Bytes of the line break.
        n_break: usize,
    },
    /// A quote, or no line break in these bytes.
    Other,
}

/// Finds the end of the first row and the fields up to it. The fields are whole only if it is a row.
pub(super) fn scan(bytes: &[u8], delimiter: u8, fields: &mut Fields) -> Scan {
    fields.clear();
    let mut pass = Pass { bytes, delimiter, start: 0 };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        if let Some(found) = pass.word(u64::from_le_bytes(*word), at, fields) {
            return found;
        }
        at += 8;
    }
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    pass.word(u64::from_le_bytes(last), at, fields).unwrap_or(Scan::Other)
}

/// A pass and where its current field started.
struct Pass<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    start: usize,
}

impl Pass<'_> {
    /// Looks at eight bytes.
    fn word(&mut self, word: u64, base: usize, fields: &mut Fields) -> Option<Scan> {
        // Few texts have bytes up to the quote that aren't looked for: spaces and exclamation marks.
        let mut hits = equals(word, self.delimiter) | up_to_quote(word);
        while hits != 0 {
            let at = base + usize::try_from(hits.trailing_zeros() / 8).unwrap_or_default();
            hits &= hits - 1;
            match self.bytes.get(at)? {
                b'\n' => return Some(self.row(at, fields)),
                b'"' => return Some(Scan::Other),
                byte if *byte == self.delimiter => {
                    fields.push(Slot::Raw(self.start, at));
                    self.start = at + 1;
                }
                _ => {}
            }
        }
        None
    }

    /// Ends a row at its line feed.
    fn row(&mut self, at: usize, fields: &mut Fields) -> Scan {
        let before = at.checked_sub(1).and_then(|i| self.bytes.get(i));
        let length = if before == Some(&b'\r') { at - 1 } else { at };
        // A delimiter may be a carriage return in no config, so that the field starts before it.
        fields.push(Slot::Raw(self.start, length));
        Scan::Row { length, n_break: at + 1 - length }
    }
}

/// Sets the upper bit of each byte of the word that equals `byte`, and no other.
const fn equals(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let difference = word ^ u64::from_le_bytes([byte; 8]);
    // The sum can't carry out of a byte: 0x7f + 0x7f is below 0x100.
    !((difference & LOW).wrapping_add(LOW) | difference | LOW)
}

/// Sets the upper bit of each byte of the word that is at most a quote, and no other.
const fn up_to_quote(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const ABOVE: u64 = u64::from_le_bytes([0x80 - b'"' - 1; 8]);
    // The sum can't carry out of a byte either, and has its upper bit where a byte is above a quote.
    !((word & LOW).wrapping_add(ABOVE) | word | LOW)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::csv::split;
    use super::super::fields::RowView;
    use super::*;

    fn texts(raw: &[u8], fields: &Fields) -> Vec<Vec<u8>> {
        let view = RowView { raw, fields };
        (0..fields.len()).map(|i| view.get(i).unwrap().to_vec()).collect()
    }

    proptest! {
        #[test]
        fn a_pass_finds_what_the_plain_search_finds(
            text in prop::collection::vec(
                prop_oneof![
                    8 => Just("a"), 4 => Just(","), 1 => Just(" !#"), 1 => Just("\""), 2 => Just("\n"),
                    1 => Just("\r\n"), 1 => Just("\r"), 2 => Just("0123456"), 1 => Just("\u{fe}"),
                    1 => Just("\0"), 1 => Just("-"),
                ],
                0..40,
            ),
            delimiter in prop::sample::select(vec![b',', b'a', b'-', 0, 127]),
        ) {
            let text = text.concat().into_bytes();
            let mut fields = Fields::default();
            let found = scan(&text, delimiter, &mut fields);
            let end = text.iter().position(|b| *b == b'\n');
            let line = end.and_then(|end| text.get(..end));
            match line {
                Some(line) if !line.contains(&b'"') => {
                    let raw = line.strip_suffix(b"\r").unwrap_or(line);
                    let n_break = line.len() + 1 - raw.len();
                    prop_assert_eq!(found, Scan::Row { length: raw.len(), n_break });
                    let ours = texts(&text, &fields);
                    split(raw, delimiter, &mut fields);
                    prop_assert_eq!(ours, texts(raw, &fields));
                }
                _ => prop_assert_eq!(found, Scan::Other),
            }
        }
    }
}
