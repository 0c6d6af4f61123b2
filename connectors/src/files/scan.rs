//! The plain rows of a CSV: end and fields in one pass over their bytes, eight at a time.

use types::number::equal_bytes;

use super::fields::Fields;

/// What a pass over a row's bytes finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// A whole row without quotes.
    Row(Row),
    /// A quote, or no line break in these bytes.
    Other,
}

/// A whole row without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Bytes before the line break.
    pub(super) length: usize,
    /// Bytes of the line break.
    pub(super) n_break: usize,
    /// Whether all bytes are ASCII; false says nothing.
    pub(super) is_ascii: bool,
}

/// Finds the end of the first row and the fields up to it. The fields are whole only if it is a row.
#[inline]
pub(super) fn scan(bytes: &[u8], delimiter: u8, fields: &mut Fields) -> Scan {
    let ends = fields.plain();
    // No buffer is larger, so that places fit.
    let bytes = bytes.get(..BYTES_MAX).unwrap_or(bytes);
    let (words, rest) = bytes.as_chunks::<8>();
    let (mut base, mut all) = (0u32, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        all |= word;
        match scan_word(word, base, delimiter, ends) {
            Found::Nothing => {}
            Found::Feed(at) => return row(bytes, at, all, ends),
            Found::Quote => return Scan::Other,
        }
        base = base.wrapping_add(8);
    }
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let word = u64::from_le_bytes(last);
    match scan_word(word, base, delimiter, ends) {
        // The zeros behind the end are no line feeds; if they are delimiters, they stand behind it.
        Found::Feed(at) => row(bytes, at, all | word, ends),
        Found::Nothing | Found::Quote => Scan::Other,
    }
}

/// Bytes that are looked at for a row at most; longer ones are none.
const BYTES_MAX: usize = 1 << 30;

/// What is found in eight bytes.
enum Found {
    /// Neither a line feed nor a quote.
    Nothing,
    /// A line feed.
    Feed(u32),
    /// A quote before it.
    Quote,
}

/// Looks at eight bytes, and adds the ends of fields.
#[inline]
fn scan_word(word: u64, base: u32, delimiter: u8, ends: &mut Vec<u32>) -> Found {
    // Few texts have bytes up to the quote that aren't looked for: spaces and exclamation marks.
    let mut hits = equal_bytes(word, delimiter) | up_to_quote(word);
    while hits != 0 {
        let bit = hits.trailing_zeros();
        hits &= hits.wrapping_sub(1);
        let at = base.wrapping_add(bit / 8);
        let [byte, ..] = (word >> (bit & 0x38)).to_le_bytes();
        if byte == delimiter {
            ends.push(at);
        } else if byte == b'\n' {
            return Found::Feed(at);
        } else if byte == b'"' {
            return Found::Quote;
        }
    }
    Found::Nothing
}

/// Ends a row at its line feed.
#[inline]
fn row(bytes: &[u8], at: u32, all: u64, ends: &mut Vec<u32>) -> Scan {
    let feed = usize::try_from(at).unwrap_or(usize::MAX);
    let before = feed.checked_sub(1).and_then(|i| bytes.get(i));
    // A delimiter may be a carriage return in no config, so that the field starts before it.
    let n_return = u32::from(before == Some(&b'\r'));
    ends.push(at.saturating_sub(n_return));
    let length = if n_return == 1 { feed.saturating_sub(1) } else { feed };
    let is_ascii = all & 0x8080_8080_8080_8080 == 0;
    Scan::Row(Row { length, n_break: feed + 1 - length, is_ascii })
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
                    let Scan::Row(row) = found else { panic!("{found:?}") };
                    prop_assert_eq!((row.length, row.n_break), (raw.len(), n_break));
                    prop_assert!(raw.is_ascii() || !row.is_ascii);
                    let ours = texts(&text, &fields);
                    split(raw, delimiter, &mut fields);
                    prop_assert_eq!(ours, texts(raw, &fields));
                }
                _ => prop_assert_eq!(found, Scan::Other),
            }
        }
    }
}
