//! A list of values that clones share: a clone costs a count for each [`CHUNK`] values, and writing
//! copies the chunk that is written to, once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::number::make_room;

/// Values that are shared as one.
const CHUNK: usize = 256;

/// The values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shared {
    /// All but the last hold [`CHUNK`] values.
    #[expect(clippy::rc_buffer, reason = "the last chunk grows in its place")]
    chunks: Vec<Arc<Vec<f64>>>,
}

impl Shared {
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.len());
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    pub(crate) fn push(&mut self, x: f64) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => {
                let chunk = Arc::make_mut(chunk);
                make_room(chunk, 1, CHUNK);
                chunk.push(x);
            }
            _ => self.chunks.push(Arc::new(vec![x])),
        }
    }

    /// Writes values over those from `from` on, all of which are there.
    pub(crate) fn replace(&mut self, from: usize, values: &[f64]) {
        for (at, x) in (from..).zip(values) {
            if let Some(chunk) = self.chunks.get_mut(at / CHUNK) {
                Arc::make_mut(chunk)[at % CHUNK] = *x;
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        self.chunks.iter().flat_map(|chunk| chunk.iter().copied())
    }

    pub(crate) fn to_vec(&self) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.len());
        for chunk in &self.chunks {
            values.extend_from_slice(chunk);
        }
        values
    }

    /// Whether the chunks are as they should be, and every value is.
    pub(crate) fn is_whole(&self, is_sound: impl Fn(f64) -> bool) -> bool {
        let before = self.chunks.len().saturating_sub(1);
        let is_full = |(at, chunk): (usize, &Arc<Vec<f64>>)| {
            chunk.len() == CHUNK || (at == before && (1..CHUNK).contains(&chunk.len()))
        };
        self.chunks.iter().enumerate().all(is_full) && self.iter().all(is_sound)
    }

    /// Bytes of state, those that clones share among them.
    pub(crate) fn bytes(&self) -> usize {
        8 * self.len()
            + self.chunks.len() * (size_of::<Arc<Vec<f64>>>() + size_of::<Vec<f64>>() + 16)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against vectors, with clones taken on the way that stay as they were.
        #[test]
        fn it_is_a_list_whose_clones_stand_still(
            values in prop::collection::vec(-9.0..9.0, 0..700),
            writes in prop::collection::vec((any::<usize>(), -9.0..9.0), 0..40),
        ) {
            let mut shared = Shared::default();
            for x in &values {
                shared.push(*x);
            }
            let mut twin = values.clone();
            let mut clones = Vec::new();
            for (at, x) in writes.into_iter().filter(|_| !values.is_empty()) {
                clones.push((shared.clone(), twin.clone()));
                let at = at % twin.len();
                let row = [x, x + 1.0];
                let row = &row[..row.len().min(twin.len() - at)];
                shared.replace(at, row);
                twin[at..at + row.len()].copy_from_slice(row);
                shared.push(x);
                twin.push(x);
            }
            clones.push((shared, twin));
            for (shared, twin) in clones {
                prop_assert_eq!(shared.to_vec(), &twin[..]);
                prop_assert_eq!((shared.len(), shared.iter().collect()), (twin.len(), twin));
                prop_assert!(shared.is_whole(|x| x.abs() < 11.0));
            }
        }
    }

    #[test]
    fn a_write_copies_one_chunk() {
        let mut one = Shared::default();
        for _ in 0..1_000 {
            one.push(1.0);
        }
        let two = one.clone();
        one.replace(300, &[2.0]);
        let same: Vec<bool> =
            one.chunks.iter().zip(&two.chunks).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(same, [true, false, true, true]);
    }
}
