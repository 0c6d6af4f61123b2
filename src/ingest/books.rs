//! The law of conservation: every row that was read is accounted for, at each epoch. Counted where rows
//! come in and go out, not where they are judged, so that a row which gets lost in between shows.

use super::{Batch, Counts};
use crate::error::Error;

/// Rows by where they were seen, from the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// Rows that sources gave.
    pub(super) read: u64,
    /// Events that were fed.
    pub(super) fed: u64,
    /// Rows that stand in quarantine.
    pub(super) refused: u64,
}

impl Books {
    /// Counts the events of a batch.
    pub(super) fn feed(&mut self, batch: &Batch) {
        let n_events: usize = batch.events.iter().map(dataflows::inputs::Events::len).sum();
        self.fed += u64::try_from(n_events).unwrap_or(u64::MAX);
    }

    /// Compares with what the sequencer says came of the rows.
    ///
    /// # Errors
    /// If `received = applied + duplicate + quarantined` doesn't hold, or one of them isn't what was seen.
    pub(super) fn check(&self, epoch: u64, counts: &Counts) -> Result<(), Error> {
        let Counts { received, applied, duplicate, quarantined, .. } = *counts;
        let Self { read, fed, refused } = *self;
        let is_whole = received == applied + duplicate + quarantined;
        if is_whole && (received, applied, quarantined) == (read, fed, refused) {
            return Ok(());
        }
        let what = format!(
            "{received} rows received, {applied} applied, {duplicate} duplicate, {quarantined} \
             quarantined; {read} were read, {fed} fed, {refused} set aside"
        );
        Err(Error::Unbalanced { epoch, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_nowhere_is_told() {
        let counts =
            Counts { received: 10, applied: 6, duplicate: 3, quarantined: 1, ..Counts::default() };
        let books = Books { read: 10, fed: 6, refused: 1 };
        assert!(books.check(3, &counts).is_ok());
        let wrong = [
            (Books { read: 11, ..books }, counts),
            (Books { fed: 5, ..books }, counts),
            (Books { refused: 0, ..books }, counts),
            (books, Counts { duplicate: 2, ..counts }),
        ];
        for (books, counts) in wrong {
            let error = books.check(3, &counts).unwrap_err();
            assert!(error.to_string().contains("epoch 3: 10 rows received, 6 applied"), "{error}");
        }
    }
}
