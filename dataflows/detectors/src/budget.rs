//! How much of what looks unusual is learnt: some, since it may be the rule by now, but no more than
//! that, since it may be an attack.

use serde::{Deserialize, Serialize};

use crate::number::index;

/// A budget for rows that look unusual: it grows with each row, and each that enters costs 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Budget {
    share: f64,
    most: f64,
    left: f64,
}

impl Budget {
    /// For `share` of all rows, and at most `most` in a row.
    pub(crate) fn new(share: f64, most: f64) -> Self {
        Self { share, most, left: 0.0 }
    }

    /// Whether it can be a budget made like `like`.
    pub(crate) fn is_whole(&self, like: &Self) -> bool {
        (self.share, self.most) == (like.share, like.most) && (0.0..=self.most).contains(&self.left)
    }

    /// Counts a row, and says whether it enters.
    pub(crate) fn admits(&mut self, is_unusual: bool) -> bool {
        self.left = (self.left + self.share).min(self.most);
        if is_unusual && self.left < 1.0 {
            return false;
        }
        if is_unusual {
            self.left -= 1.0;
        }
        true
    }
}

/// Decades of p that have a budget of their own: 1e-3 to 1e-4, down to 1e-7.
const DECADES: usize = 4;
/// Surprise from which on they begin: p <= 0.001.
pub(crate) const FAR_GATE: f64 = 6.907_755_278_982_137;
/// The share of rows in the first decade that is learnt: about three times what is nominal, so that a
/// distribution can still find its way. Each next decade has a tenth, as p says.
const FAR_SHARE: f64 = 0.003;
/// What a decade's budget holds at most: rough times come at once, and are learnt at once.
const FAR_MOST: f64 = 48.0;

/// Budgets for values far out in a tail. A tail that is too light is met by values a little beyond
/// it, and learns them decade by decade; anomalies far beyond it say nothing of the tail, and would
/// drown it in time if they had the budget of those.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decades {
    budgets: [Budget; DECADES],
}

impl Decades {
    pub(crate) fn new() -> Self {
        let mut share = FAR_SHARE;
        let budgets = std::array::from_fn(|_| {
            let budget = Budget::new(share, FAR_MOST);
            share /= 10.0;
            budget
        });
        Self { budgets }
    }

    /// Counts a row, and says whether a value of this surprise enters.
    pub(crate) fn admits(&mut self, surprise: f64) -> bool {
        let is_far = surprise > FAR_GATE;
        let decade = index((surprise - FAR_GATE) / std::f64::consts::LN_10, DECADES);
        let mut enters = !is_far;
        for (at, budget) in self.budgets.iter_mut().enumerate() {
            let is_its = is_far && at == decade;
            // Each budget grows with each row.
            enters |= budget.admits(is_its) && is_its;
        }
        enters
    }

    /// Whether all are as they begin, but for what is left.
    pub(crate) fn is_whole(&self) -> bool {
        self.budgets.iter().zip(&Self::new().budgets).all(|(budget, like)| budget.is_whole(like))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::float;

    /// Of a thousand times as many as are nominal, each decade lets three times its own nominal in.
    #[test]
    fn each_decade_has_a_tenth_of_the_one_before() {
        for (decade, most) in [(0, 3_048.0), (1, 348.0), (2, 78.0), (3, 51.0)] {
            let mut decades = Decades::new();
            let surprise = FAR_GATE + std::f64::consts::LN_10 * (float(decade) + 0.5);
            let entered = (0..1_000_000).filter(|_| decades.admits(surprise)).count();
            assert!(entered > 0 && float(entered) <= most, "{decade}: {entered}");
        }
        let mut decades = Decades::new();
        assert!(!(0..100_000).any(|_| decades.admits(20.0)), "beyond the last decade");
        assert!((0..100_000).all(|_| decades.admits(6.9)), "not far");
    }
}
