//! The end may take steps back: the last step may lie before what other inputs' watermark has published.

use ethnum::I256;
use types::VenueTime;
use types::sabotage::{Safeguard, is_out};

use super::mirror::Pair;
use super::series::{Point, Tell, Unit};
use super::sweep::{Input, Sweep, Work, pair_of};
use super::value::Sums;

impl Sweep {
    /// Takes back the rows behind the last step, step by step and wallet by wallet, before the epoch
    /// is taken in.
    pub(super) fn take_back(
        &mut self,
        input: Input,
        (until, step, wallet): (VenueTime, VenueTime, u32),
        n_rows: &mut usize,
        tell: &mut impl Tell,
    ) {
        let n_wallets = self.mirror.wallets.len();
        if step > self.published || n_wallets == 0 {
            self.published = until;
            self.work = Work::Take(input);
            return;
        }
        // Mostly nothing ever changed behind the last step, and all steps show the same.
        let is_still = !changes_behind(&input, until) || is_out(Safeguard::TakesBackAsShown);
        let n_pieces = u32::try_from(*n_rows).unwrap_or(u32::MAX);
        let end = n_wallets.min(wallet.saturating_add(n_pieces));
        for wallet in wallet..end {
            let n_told = if is_still {
                self.tell_open(wallet, step, -1, tell)
            } else {
                self.take_back_wallet(wallet, step, tell)
            };
            *n_rows = n_rows.saturating_sub(n_told);
        }
        let (step, wallet) =
            if end == n_wallets { (step.plus(self.snapshots.grid), 0) } else { (step, end) };
        self.work = Work::TakeBack { input, until, step, wallet };
    }

    /// Takes back a wallet's rows of a step, made from its past; gives about how many.
    fn take_back_wallet(&self, wallet: u32, step: VenueTime, tell: &mut impl Tell) -> usize {
        let found = self.mirror.wallets.get(wallet);
        let mut unit = Unit { wallet: found.name, asset: None };
        if self.by_position {
            for (pair, position) in self.mirror.pairs(wallet).zip(&found.positions) {
                unit.asset = Some(position.asset);
                let state = self.mirror.state(pair, step);
                if state.is_open() {
                    self.snapshots.tell(unit, step, (state.shown(unit), -1), tell);
                }
            }
            return found.positions.len().max(1);
        }
        let sums: Option<Sums<I256>> = self.mirror.sums_at(wallet, step);
        if let Some(sums) = sums.filter(Point::is_open) {
            self.snapshots.tell(unit, step, (sums.shown(unit), -1), tell);
        }
        found.positions.len().max(1)
    }

    /// Notes what was shown of all that the epoch touches, before it changes what stood behind the
    /// last step.
    pub(super) fn correct_ahead(&mut self, input: &Input) {
        let rows = input.steps.iter().flatten();
        let pairs = rows.filter_map(|row| self.mirror.look_up(pair_of(row)));
        let holders = input.marks.iter().flat_map(|(mark, _, _)| self.mirror.holders(mark.asset));
        let pairs: Vec<Pair> = pairs.chain(holders).collect();
        for pair in pairs {
            self.newest.correct(pair, || self.mirror.state(pair, self.before));
        }
    }
}

/// Whether the epoch changes anything behind a step.
fn changes_behind(input: &Input, until: VenueTime) -> bool {
    input.steps.iter().flatten().any(|(row, _, _)| row.step > until)
        || input.marks.iter().any(|(mark, _, _)| mark.step > until)
}
