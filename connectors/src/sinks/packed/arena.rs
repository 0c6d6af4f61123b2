//! Rows as bytes, in the order in which they came.

use rustc_hash::FxHashMap;

use crate::sinks::order::index;

/// Rows a piece: growing moves no piece, and leaves no room for as many again.
const PIECE: usize = 1024;
/// Bytes above which a row stands apart: a piece of the others has 1 GiB at most.
const LARGE: usize = if cfg!(test) { 32 } else { 1 << 20 };

/// Rows as bytes.
#[derive(Default)]
pub(super) struct Arena {
    pieces: Vec<Vec<u8>>,
    /// Where each row starts in its piece.
    starts: Vec<u32>,
    /// Rows that stand apart, which leave nothing in their pieces.
    large: FxHashMap<u32, Box<[u8]>>,
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

    /// Adds a row, which has a byte at least.
    ///
    /// # Panics
    /// Beyond 2^32 rows: what a sink holds is bounded by its bytes.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.starts.len().is_multiple_of(PIECE) {
            let n_before = self.pieces.last().map_or(0, Vec::len);
            self.pieces.push(Vec::with_capacity(n_before + n_before / 8));
        }
        let Some(piece) = self.pieces.last_mut() else { return };
        let start = piece.len();
        write(piece);
        let n_new = piece.len() - start;
        self.n_bytes += n_new;
        if n_new > LARGE {
            let place = u32::try_from(self.starts.len()).expect("rows are bounded by bytes");
            self.large.insert(place, piece.drain(start..).collect());
            piece.shrink_to(2 * start);
        }
        self.starts.push(u32::try_from(start).expect("a piece has 1 GiB at most"));
    }

    /// The row of a place.
    pub(super) fn at(&self, place: u32) -> &[u8] {
        let nth = index(place);
        let bytes = || {
            let piece = self.pieces.get(nth / PIECE)?;
            let is_last = (nth + 1).is_multiple_of(PIECE);
            let end = if is_last { None } else { self.starts.get(nth + 1) };
            let start = index(*self.starts.get(nth)?);
            piece.get(start..end.map_or(piece.len(), |end| index(*end)))
        };
        match bytes() {
            Some(bytes) if !bytes.is_empty() => bytes,
            _ => self.large.get(&place).map(AsRef::as_ref).unwrap_or_default(),
        }
    }
}
