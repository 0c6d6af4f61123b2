//! Rows as bytes, in the order in which they came.

use crate::sinks::order::index;

/// Rows a piece: growing moves no piece, and leaves no room for as many again.
const PIECE: usize = 1024;

/// Rows as bytes.
#[derive(Default)]
pub(super) struct Arena {
    pieces: Vec<Vec<u8>>,
    /// Where each row starts in its piece.
    starts: Vec<u32>,
    n_bytes: usize,
}

impl Arena {
    /// How many rows there are.
    pub(super) const fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes that they take in memory, about.
    pub(super) const fn n_bytes(&self) -> usize {
        self.n_bytes + size_of_val(self.starts.as_slice())
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If the 1,024 rows of a piece are longer than 4 GiB: a row that is read has 1 MiB at most.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.starts.len().is_multiple_of(PIECE) {
            let n_before = self.pieces.last().map_or(0, Vec::len);
            self.pieces.push(Vec::with_capacity(n_before + n_before / 8));
        }
        let Some(piece) = self.pieces.last_mut() else { return };
        let start = piece.len();
        write(piece);
        self.n_bytes += piece.len() - start;
        self.starts.push(u32::try_from(start).expect("a piece's rows are shorter than 4 GiB"));
    }

    /// The row of a place.
    pub(super) fn at(&self, place: u32) -> &[u8] {
        let place = index(place);
        let bytes = || {
            let piece = self.pieces.get(place / PIECE)?;
            let is_last = (place + 1).is_multiple_of(PIECE);
            let end = if is_last { None } else { self.starts.get(place + 1) };
            let start = index(*self.starts.get(place)?);
            piece.get(start..end.map_or(piece.len(), |end| index(*end)))
        };
        bytes().unwrap_or_default()
    }
}
