//! `now`: the values at the newest snapshot of each open position, for those who read them.

use rustc_hash::FxHashMap;
use types::VenueTime;
use types::relations::PnlNow;

use super::mirror::{Mirror, Pair, State};
use super::series::{Point, Tell};

/// Positions whose newest row may differ from the one before the epoch.
#[derive(Default)]
pub(super) struct Newest {
    touched: Vec<Pair>,
    /// What was shown of positions whose past was corrected in this epoch.
    corrected: FxHashMap<Pair, State>,
}

impl Newest {
    /// Notes a position of which something new was published.
    pub(super) fn touch(&mut self, pair: Pair) {
        self.touched.push(pair);
    }

    /// Notes a position before its past is corrected.
    pub(super) fn correct(&mut self, pair: Pair, shown: impl FnOnce() -> State) {
        self.corrected.entry(pair).or_insert_with(shown);
        self.touched.push(pair);
    }

    /// Tells what differs between the snapshot that was the newest before the epoch and the one that
    /// is.
    pub(super) fn tell(
        &mut self,
        mirror: &Mirror,
        (before, now): (VenueTime, VenueTime),
        tell: &mut impl Tell,
    ) {
        self.touched.sort_unstable();
        self.touched.dedup();
        for pair in self.touched.drain(..) {
            let old = self.corrected.remove(&pair).unwrap_or_else(|| mirror.state(pair, before));
            let new = mirror.state(pair, now);
            if old == new {
                continue;
            }
            let (old, new) = (row(mirror, pair, old), row(mirror, pair, new));
            if old != new {
                if let Some(old) = old {
                    tell.now(old, -1);
                }
                if let Some(new) = new {
                    tell.now(new, 1);
                }
            }
        }
    }
}

/// The row of the newest snapshot, of open positions alone. What overflows has none.
fn row(mirror: &Mirror, pair: Pair, state: State) -> Option<PnlNow> {
    if !state.is_open() {
        return None;
    }
    let (wallet, asset) = (mirror.wallets.get(pair.0).name, mirror.at(pair).asset);
    // The snapshot isn't a column of this view. Were it told, each row would change at each step.
    Some(PnlNow { wallet, asset, at: state.row(wallet, asset)? })
}
