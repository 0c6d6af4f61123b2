//! CSV: the header, and a row's fields.

use memchr::{memchr, memchr_iter};

use super::fields::{Fields, RowView, Slot};
use super::frames::{Fault, Frame, Frames, closing_quote};
use super::map::{Layout, Unknown};
use crate::error::ConnectError;

/// The names of a file's columns.
pub(super) struct Header {
    names: Vec<String>,
}

impl Header {
    /// Reads the header: the file's first line that isn't blank.
    ///
    /// # Errors
    /// Where there is none, or it can't be read.
    pub(super) fn read(
        frames: &mut Frames,
        delimiter: u8,
        path: &str,
    ) -> Result<Self, ConnectError> {
        let (mut frame, mut fields) = (Frame::default(), Fields::default());
        if !frames.next(&mut frame, &mut fields)? {
            let doing = format!("reading the header of {path}: the file has no rows");
            return Err(ConnectError::broken(doing).hint("the first line names the columns"));
        }
        frames.restart_rows();
        match frame.fault {
            None => {}
            Some(Fault::OpenQuote) => {
                return Err(ConnectError::broken(format!(
                    "reading the header of {path}: a quote isn't closed"
                )));
            }
            Some(Fault::TooLong(length)) => {
                return Err(ConnectError::broken(format!(
                    "reading the header of {path}: its line of {length} bytes is too long"
                )));
            }
        }
        let raw = frames.row();
        split(raw, delimiter, &mut fields);
        let view = RowView { raw, fields: &fields };
        let name = |i| String::from_utf8(view.get(i).unwrap_or_default().to_vec());
        let names: Result<Vec<String>, _> = (0..fields.len()).map(name).collect();
        let unreadable = format!("reading the header of {path}: a name isn't UTF-8");
        let names = names.map_err(|error| ConnectError::broken(unreadable).because(error))?;
        Ok(Self { names })
    }

    /// How many fields a row has.
    pub(super) fn n_columns(&self) -> usize {
        self.names.len()
    }
}

impl Layout for Header {
    fn column(&mut self, name: &str) -> Result<usize, Unknown> {
        let mut places = self.names.iter().enumerate().filter(|(_, n)| *n == name);
        let Some((index, _)) = places.next() else {
            let names = self.names.iter().map(String::as_str);
            return Err(Unknown {
                message: format!("the header has no column `{name}`"),
                hint: types::options::did_you_mean(name, names),
            });
        };
        if places.next().is_some() {
            let message = format!("the header has the column `{name}` more than once");
            return Err(Unknown { message, hint: None });
        }
        Ok(index)
    }

    fn maybe_column(&mut self, name: &str) -> Result<Option<usize>, Unknown> {
        if self.names.iter().any(|n| n == name) { self.column(name).map(Some) } else { Ok(None) }
    }

    fn pointer(&mut self, pointer: &str) -> Result<usize, Unknown> {
        let message = format!("the pointer `{pointer}` needs JSON");
        Err(Unknown { message, hint: Some("name a column of the header".to_owned()) })
    }
}

/// Cuts a row into its fields. As everywhere, a quote counts only where a field starts, doubled
/// quotes are one, and what follows a closing quote is text.
pub(super) fn split(raw: &[u8], delimiter: u8, fields: &mut Fields) {
    fields.clear();
    let mut at = 0;
    if memchr(b'"', raw).is_none() {
        for end in memchr_iter(delimiter, raw) {
            fields.push(Slot::Raw(at, end));
            at = end + 1;
        }
        fields.push(Slot::Raw(at, raw.len()));
        return;
    }
    loop {
        let end = if raw.get(at) == Some(&b'"') {
            quoted(raw, at + 1, delimiter, fields)
        } else {
            let end = next_delimiter(raw, at, delimiter);
            fields.push(Slot::Raw(at, end));
            end
        };
        if end >= raw.len() {
            return;
        }
        at = end + 1;
    }
}

/// Adds a field whose text starts behind a quote; returns where its delimiter stands.
fn quoted(raw: &[u8], start: usize, delimiter: u8, fields: &mut Fields) -> usize {
    let close = closing_quote(raw, start).unwrap_or(raw.len());
    let inner = raw.get(start..close).unwrap_or_default();
    let end = next_delimiter(raw, (close + 1).min(raw.len()), delimiter);
    let tail = raw.get(close + 1..end).unwrap_or_default();
    let slot = if tail.is_empty() && memchr(b'"', inner).is_none() {
        Slot::Raw(start, close)
    } else {
        fields.unescaped(|scratch| {
            let mut rest = inner;
            while let Some(quote) = memchr(b'"', rest) {
                scratch.extend_from_slice(rest.get(..=quote).unwrap_or_default());
                rest = rest.get(quote + 2..).unwrap_or_default();
            }
            scratch.extend_from_slice(rest);
            scratch.extend_from_slice(tail);
        })
    };
    fields.push(slot);
    end
}

fn next_delimiter(raw: &[u8], at: usize, delimiter: u8) -> usize {
    memchr(delimiter, raw.get(at..).unwrap_or_default()).map_or(raw.len(), |n| at + n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields_of(raw: &[u8]) -> Vec<Vec<u8>> {
        let mut fields = Fields::default();
        split(raw, b',', &mut fields);
        let view = RowView { raw, fields: &fields };
        (0..fields.len()).map(|i| view.get(i).unwrap().to_vec()).collect()
    }

    proptest! {
        #[test]
        fn rows_and_fields_are_those_of_the_csv_package(
            text in prop::collection::vec(
                prop_oneof![
                    4 => Just("a"), 3 => Just(","), 2 => Just("\""), 2 => Just("\n"),
                    1 => Just("\r\n"), 1 => Just("\"\""), 1 => Just("\u{fe}"),
                ],
                0..40,
            ),
        ) {
            let text = text.concat();
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &text).unwrap();
            let framing = super::super::frames::Framing::Quoted(b',');
            let mut frames = Frames::open(file.path(), framing).unwrap();
            let (mut frame, mut fields) = (Frame::default(), Fields::default());
            let (mut ours, mut lines, mut is_open) = (Vec::new(), Vec::new(), false);
            while frames.next(&mut frame, &mut fields).unwrap() {
                is_open |= frame.fault.is_some();
                ours.push(fields_of(frames.row()));
                lines.push(frame.line);
            }
            let mut twin = csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(text.as_bytes());
            let records: Vec<csv::ByteRecord> = twin.byte_records().map(Result::unwrap).collect();
            // The package takes an open quote at the end as text; we refuse its line.
            if !is_open {
                let theirs: Vec<Vec<Vec<u8>>> =
                    records.iter().map(|r| r.iter().map(<[u8]>::to_vec).collect()).collect();
                prop_assert_eq!(ours, theirs);
                prop_assert!(lines.is_sorted());
            }
        }
    }

    #[test]
    fn quotes_count_where_a_field_starts() {
        for (raw, fields) in [
            (&b"a,b"[..], &["a", "b"][..]),
            (b"", &[""]),
            (b"a,", &["a", ""]),
            (b"\"a,b\",c", &["a,b", "c"]),
            (b"\"say \"\"hi\"\"\",c", &["say \"hi\"", "c"]),
            (b"5\" pipe,\"x\"y", &["5\" pipe", "xy"]),
            (b"\"\",\"\"", &["", ""]),
            (b"\"a\nb\",c", &["a\nb", "c"]),
        ] {
            let texts: Vec<String> =
                fields_of(raw).into_iter().map(|f| String::from_utf8(f).unwrap()).collect();
            assert_eq!(texts, fields);
        }
    }
}
