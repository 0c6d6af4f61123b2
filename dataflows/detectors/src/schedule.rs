//! When models are fitted anew: by rows, or by event time where that is asked for.

use serde::{Deserialize, Serialize};

/// Rows from which on fits go by event time, if they are to.
const ROWS_MIN: usize = 2048;
/// Rows between two fits at least, where they go by event time: a fit reads all rows that are kept, so one
/// a row would cost far more than the rows do. So many are a sixteenth of a reservoir.
const ROWS_BETWEEN: usize = 64;

/// When the next fit is due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// Rows learnt by the next fit that goes by rows.
    pub(crate) row: usize,
    /// Nanoseconds of event time between fits.
    every: Option<i64>,
    /// The event time of the last fit, or from which on the next is waited for.
    since: Option<i64>,
    /// Rows learnt by the last fit.
    fitted: usize,
}

impl Schedule {
    /// The first fit is due at so many rows.
    pub(crate) fn new(row: usize, every: Option<i64>) -> Self {
        Self { row, every, since: None, fitted: 0 }
    }

    /// Whether a fit is due after `seen` rows, the last of this time. By event time none is due before
    /// [`ROWS_BETWEEN`] rows. While times lie before that of the last fit, fits go by rows: a clock that
    /// jumps to and fro brings no more of them.
    pub(crate) fn is_due(&mut self, seen: usize, time: Option<i64>) -> bool {
        let by_rows = seen >= self.row;
        let (Some(every), Some(now), true) = (self.every, time, seen > ROWS_MIN) else {
            return by_rows;
        };
        let since = *self.since.get_or_insert(now);
        if now < since {
            return by_rows;
        }
        now.saturating_sub(since) >= every && seen.saturating_sub(self.fitted) >= ROWS_BETWEEN
    }

    /// Counts a fit after `seen` rows; the next is due `rows` later, if it goes by rows.
    pub(crate) fn fitted(&mut self, seen: usize, rows: usize, time: Option<i64>) {
        self.row = seen.saturating_add(rows);
        (self.since, self.fitted) = (time, seen);
    }

    /// Whether it is one of these options, no later than any there will be.
    pub(crate) fn is_whole(&self, every: Option<i64>) -> bool {
        self.every == every && self.row.max(self.fitted) <= crate::ROWS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fits among rows of these times, from row 5,000 on, each 2,048 rows apart if they go by rows.
    fn fits(every: Option<i64>, times: impl IntoIterator<Item = i64>) -> usize {
        let mut schedule = Schedule::new(6_000, every);
        let mut fits = 0;
        for (at, time) in times.into_iter().enumerate() {
            if schedule.is_due(5_000 + at, Some(time)) {
                schedule.fitted(5_000 + at, 2_048, Some(time));
                fits += 1;
            }
        }
        fits
    }

    #[test]
    fn fits_go_by_rows_or_by_time() {
        assert_eq!(fits(None, 0..3_049), 2);
        assert_eq!(fits(Some(500), 0..3_001), 6);
    }

    /// However short the time between fits is said to be.
    #[test]
    fn fits_by_time_keep_their_distance_in_rows() {
        assert_eq!(fits(Some(1), 0..3_001), 3_000_usize.div_ceil(ROWS_BETWEEN));
        // Rows far apart in time, after the first fit.
        assert_eq!(fits(Some(1), (0..100).map(|at| at * 1_000_000)), 2);
    }

    #[test]
    fn a_clock_that_jumps_to_and_fro_brings_few_fits() {
        let jitter = (0..4_000).map(|at| 1_000_000 + at - 50 * (at % 2));
        assert_eq!(fits(Some(1_000), jitter), 3);
        let strays = (0..4_000).map(|at| if at % 2 == 0 { at } else { i64::MIN });
        // Two by rows, each followed by one that finds its time far back.
        assert_eq!(fits(Some(1_000_000), strays), 4);
        let back = (0..10_000).map(|at| if at < 5_000 { 1_000_000 + at } else { at });
        let few = fits(Some(1_000), back);
        assert!((5..=10).contains(&few), "{few}");
    }

    #[test]
    fn extremes_of_time_are_harmless() {
        assert_eq!(fits(Some(1), [i64::MIN, i64::MAX, i64::MIN, i64::MAX]), 1);
    }
}
