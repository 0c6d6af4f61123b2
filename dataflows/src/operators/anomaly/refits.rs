//! When a model is fitted because its rows ask for it.

use types::Value;

/// Rows between two such fits at least: one reads all rows that the model remembers.
const ROWS_BETWEEN: u64 = 64;

/// What the rows so far have asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Refits {
    /// The last value of the column whose new values ask for a fit.
    heard: Option<Value>,
    /// Whether a fit is asked for and hasn't been yet.
    is_asked: bool,
    /// Rows before the next fit may be.
    n_waiting: u64,
}

impl Refits {
    /// Hears what the next row says in that column, if anything; whether the model is fitted before the
    /// row.
    pub(super) fn hear(&mut self, said: Option<&Value>) -> bool {
        if said.is_some() && said != self.heard.as_ref() {
            self.heard = said.cloned();
            self.is_asked = true;
        }
        let is_due = self.is_asked && self.n_waiting == 0;
        if is_due {
            self.is_asked = false;
            self.n_waiting = ROWS_BETWEEN;
        }
        self.n_waiting = self.n_waiting.saturating_sub(1);
        is_due
    }
}

#[cfg(test)]
mod tests {
    use types::Decimal;

    use super::*;

    /// The rows before which a model is fitted.
    fn fits(rows: impl Iterator<Item = Option<u64>>) -> Vec<usize> {
        let mut refits = Refits::default();
        let said = |row: Option<u64>| row.map(|said| Value::from(Decimal::new(said.into(), 0)));
        let due = rows.map(|row| refits.hear(said(row).as_ref())).enumerate();
        due.filter(|(_, is_due)| *is_due).map(|(row, _)| row).collect()
    }

    #[test]
    fn a_new_value_asks_for_a_fit() {
        let rows = |row: u64| (row >= 3 && row.is_multiple_of(2)).then_some(row / 100);
        assert_eq!(fits((0..400).map(rows)), [4, 100, 200, 300], "nulls say nothing");
    }

    #[test]
    fn fits_keep_their_distance() {
        assert_eq!(fits((0..200).map(|row| Some(row % 2))), [0, 64, 128, 192]);
        let twice = |row: u64| Some(u64::from(row >= 10));
        assert_eq!(fits((0..200).map(twice)), [0, 64], "what is asked too early isn't forgotten");
    }
}
