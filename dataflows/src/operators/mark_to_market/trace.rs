//! Sums of the past, made anew from positions and marks.

use types::VenueTime;

use super::mirror::{Mirror, Pair};
use super::series::Series;
use super::value::{Number, Sums};

impl Mirror {
    /// What a position adds to its wallet's sums: before a range of steps, and how that changes.
    pub(super) fn changes<N: Number>(
        &self,
        pair: Pair,
        range: (VenueTime, VenueTime),
    ) -> Option<(Sums<N>, Vec<(VenueTime, Sums<N>)>)> {
        let (before, states) = self.states(pair, range);
        let before = Sums::of(before.held.as_ref(), before.mark)?;
        let (mut last, mut changes) = (before, Vec::new());
        for (step, state) in states {
            let sums = Sums::of(state.held.as_ref(), state.mark)?;
            if sums != last {
                changes.push((step, sums.minus(&last)?));
                last = sums;
            }
        }
        Some((before, changes))
    }

    /// A wallet's sums over a range of steps.
    pub(super) fn trace<N: Number>(
        &self,
        wallet: u32,
        range: (VenueTime, VenueTime),
    ) -> Option<Series<Sums<N>>> {
        let (mut before, mut changes) = (Sums::default(), Vec::new());
        for pair in self.pairs(wallet) {
            let (part, more) = self.changes(pair, range)?;
            before = before.plus(&part)?;
            changes.extend(more);
        }
        let points = summed(before, changes)?;
        Some(Series { before, points })
    }

    /// A wallet's sums as of a time.
    pub(super) fn sums_at<N: Number>(&self, wallet: u32, time: VenueTime) -> Option<Sums<N>> {
        let mut sums = Sums::default();
        for pair in self.pairs(wallet) {
            let state = self.state(pair, time);
            sums = sums.plus(&Sums::of(state.held.as_ref(), state.mark)?)?;
        }
        Some(sums)
    }
}

/// Sums from each step on, of changes at steps.
pub(super) fn summed<N: Number>(
    mut sums: Sums<N>,
    mut changes: Vec<(VenueTime, Sums<N>)>,
) -> Option<Vec<(VenueTime, Sums<N>)>> {
    changes.sort_by_key(|(step, _)| *step);
    let mut points: Vec<(VenueTime, Sums<N>)> = Vec::with_capacity(changes.len());
    for (step, change) in changes {
        sums = sums.plus(&change)?;
        match points.last_mut().filter(|(last, _)| *last == step) {
            Some((_, point)) => *point = sums,
            None => points.push((step, sums)),
        }
    }
    Some(points)
}
