//! Whose fills a window holds: how many wallets, and what the largest of them traded.
//!
//! Up to a bound they are counted. Of more a sample is: each wallet has a level, the number of zeros that a
//! digest of its text ends with, so that half of them have none, a quarter one; those of the least level at
//! which no more than the bound are left stand for all (Wegman's adaptive sampling; Flajolet, "On adaptive
//! sampling", 1990: no bias, and a standard error of 1.2 over the root of the bound), for more than the
//! bound at least. So the number depends on the window's wallets alone: not on their order, nor on those
//! that left.
//!
//! In memory are somewhat more, up to about three times the bound, so that a window which grows or shrinks
//! a little needs no others. One that shrinks by more asks to be counted anew from its fills, since wallets
//! of lower levels were let go. Between two such counts of a window at one level a quarter of the bound
//! must leave it.

use std::collections::BTreeSet;

use ethnum::I256;
use rustc_hash::FxHashMap;
use types::digest::digest64;
use types::sabotage::{Safeguard, is_out};
use types::{Names, Sym};

/// How wallets are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counting {
    /// The most wallets that are counted exactly.
    pub(super) exact_up_to: usize,
    /// Whether it is asked for what the largest traded.
    pub(super) keeps_shares: bool,
}

/// The wallets of a window.
pub(super) struct Wallets {
    counting: Counting,
    /// The least level of which wallets are kept.
    level: usize,
    kept: FxHashMap<Sym, Kept>,
    /// How many are kept of each level.
    n_by_level: Vec<usize>,
    /// What they traded, as long as all are kept.
    shares: Option<Shares>,
}

/// What is known of a wallet.
struct Kept {
    n_fills: u64,
    level: usize,
}

/// What wallets traded.
#[derive(Default)]
struct Shares {
    totals: FxHashMap<Sym, I256>,
    by_size: BTreeSet<(I256, Sym)>,
}

impl Wallets {
    /// Without wallets.
    pub(super) fn new(counting: Counting) -> Self {
        Self {
            counting,
            level: 0,
            kept: FxHashMap::default(),
            n_by_level: Vec::new(),
            shares: counting.keeps_shares.then(Shares::default),
        }
    }

    /// Takes a fill.
    pub(super) fn add(&mut self, wallet: Sym, size: i128, names: &Names) {
        if let Some(shares) = &mut self.shares {
            shares.add(wallet, size);
        }
        if let Some(kept) = self.kept.get_mut(&wallet) {
            kept.n_fills += 1;
            return;
        }
        let level = level(names.text(wallet).as_str());
        if level < self.level {
            return;
        }
        self.kept.insert(wallet, Kept { n_fills: 1, level });
        if self.n_by_level.len() <= level {
            self.n_by_level.resize(level + 1, 0);
        }
        self.n_by_level[level] += 1;
        if self.kept.len() > self.counting.exact_up_to.saturating_mul(MOST) {
            self.thin();
        }
    }

    /// Lets go of a fill that was taken.
    pub(super) fn remove(&mut self, wallet: Sym, size: i128) {
        // Those of lower levels aren't kept.
        let Some(kept) = self.kept.get_mut(&wallet) else { return };
        kept.n_fills -= 1;
        let is_last = kept.n_fills == 0;
        if is_last {
            self.n_by_level[kept.level] -= 1;
            self.kept.remove(&wallet);
        }
        if let Some(shares) = &mut self.shares {
            shares.remove(wallet, size, is_last);
        }
    }

    /// Goes over to the highest level that leaves more than five quarters of the bound; stays where none
    /// does.
    fn thin(&mut self) {
        let least = self.counting.exact_up_to.saturating_mul(5) / 4;
        let (mut n, mut level) = (0, self.n_by_level.len());
        while n <= least && level > self.level {
            level -= 1;
            n += self.n_by_level[level];
        }
        if level > self.level {
            self.level = level;
            self.shares = None;
            self.kept.retain(|_, kept| kept.level >= level);
            self.kept.shrink_to_fit();
            self.n_by_level[..level].fill(0);
        }
    }

    /// Whether they must be counted anew: so few are left that others may belong to the sample.
    pub(super) fn is_short(&self) -> bool {
        let is_short = self.kept.len() <= self.counting.exact_up_to;
        self.level > 0 && is_short && !is_out(Safeguard::WalletsCountedAnew)
    }

    /// Whether their number is exact.
    pub(super) fn is_exact(&self) -> bool {
        self.level == 0 && self.kept.len() <= self.counting.exact_up_to
    }

    /// How many there are, or about how many.
    pub(super) fn len(&self) -> u64 {
        let (mut n, mut level) = (self.kept.len(), self.level);
        while n > self.counting.exact_up_to {
            n -= self.n_by_level.get(level).copied().unwrap_or_default();
            level += 1;
        }
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        if level == 0 {
            return n;
        }
        let times = u32::try_from(level).ok().and_then(|level| 1_u64.checked_shl(level));
        let about = times.and_then(|times| n.checked_mul(times)).unwrap_or(u64::MAX);
        // More than that is certain.
        about.max(u64::try_from(self.counting.exact_up_to).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// What the largest traded; `None` where their number isn't exact, or there is none.
    pub(super) fn largest(&self) -> Option<I256> {
        let shares = self.shares.as_ref().filter(|_| self.is_exact())?;
        Some(shares.by_size.last()?.0)
    }
}

/// How many times the bound are kept at most, about.
const MOST: usize = 3;

/// The level of a wallet.
fn level(text: &str) -> usize {
    usize::try_from(digest64(text.as_bytes()).trailing_zeros()).unwrap_or_default()
}

impl Shares {
    fn add(&mut self, wallet: Sym, size: i128) {
        let total = self.totals.entry(wallet).or_default();
        self.by_size.remove(&(*total, wallet));
        *total += I256::from(size);
        self.by_size.insert((*total, wallet));
    }

    fn remove(&mut self, wallet: Sym, size: i128, is_last: bool) {
        let Some(total) = self.totals.get_mut(&wallet) else { return };
        self.by_size.remove(&(*total, wallet));
        *total -= I256::from(size);
        if is_last {
            self.totals.remove(&wallet);
        } else {
            self.by_size.insert((*total, wallet));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::sync::Arc;

    use types::Interner;

    use super::*;
    use crate::route::mix;

    /// Wallets by their numbers.
    fn wallets(n: u64) -> (Arc<Names>, Vec<Sym>) {
        let mut interner = Interner::new(false);
        let wallets = (0..n).map(|n| interner.sym(&format!("0x{:040x}", mix(n)))).collect();
        (Arc::clone(interner.names()), wallets)
    }

    /// The count and the largest from all fills of a window: of the least level that leaves no more than
    /// the bound.
    fn plain(
        fills: &VecDeque<(Sym, i128)>,
        exact_up_to: usize,
        names: &Names,
    ) -> (u64, bool, Option<I256>) {
        let mut totals: BTreeMap<Sym, i128> = BTreeMap::new();
        for (wallet, size) in fills {
            *totals.entry(*wallet).or_default() += size;
        }
        let left = |level: u32| {
            let digest = |sym: &&Sym| digest64(names.text(**sym).as_str().as_bytes());
            totals.keys().filter(|sym| digest(sym).is_multiple_of(1 << level)).count()
        };
        let level = (0..64).find(|level| left(*level) <= exact_up_to).unwrap();
        let largest = totals.values().max().filter(|_| level == 0).map(|size| I256::from(*size));
        let n = u64::try_from(left(level)).unwrap() << level;
        let least = u64::try_from(exact_up_to).unwrap() + 1;
        (if level == 0 { n } else { n.max(least) }, level == 0, largest)
    }

    /// Fills enter and leave in order, of ever more and then ever fewer wallets.
    fn check(seed: u64) {
        let (names, wallets) = wallets(250);
        let exact_up_to = [1, 2, 7, 40][usize::try_from(seed % 4).unwrap()];
        let counting = Counting { exact_up_to, keeps_shares: !seed.is_multiple_of(3) };
        let (mut fills, mut fast) = (VecDeque::new(), Wallets::new(counting));
        let (mut chance, mut n_anew, mut n_left) = (mix(seed), 0, usize::MAX);
        for n in 0..1_200_u64 {
            chance = mix(chance + n);
            // At most so many fills, of so many wallets.
            let n_max = if n < 702 { 250 } else { 250 - (n - 702) / 2 };
            let wallet = wallets[usize::try_from(chance % n_max).unwrap()];
            let size = i128::from(chance >> 60);
            fast.add(wallet, size, &names);
            fills.push_back((wallet, size));
            while fills.len() > usize::try_from(n_max).unwrap() {
                let (wallet, size) = fills.pop_front().unwrap();
                fast.remove(wallet, size);
                n_left = n_left.saturating_add(1);
            }
            if fast.is_short() {
                fast = Wallets::new(counting);
                for (wallet, size) in &fills {
                    fast.add(*wallet, *size, &names);
                }
                // Else each event might cost a walk over the window.
                assert!(n_left >= exact_up_to / 4, "seed {seed}, fill {n}: {n_left} left");
                (n_anew, n_left) = (n_anew + 1, 0);
            }
            let largest = fast.largest();
            let (n_plain, is_exact, plain_largest) = plain(&fills, exact_up_to, &names);
            assert_eq!((fast.len(), fast.is_exact()), (n_plain, is_exact), "seed {seed}, fill {n}");
            assert_eq!(largest, plain_largest.filter(|_| counting.keeps_shares), "{seed}, {n}");
            assert!(fast.kept.len() <= exact_up_to * 8 + 16, "seed {seed}: {}", fast.kept.len());
        }
        assert!(fills.len() < 3 && (1..40).contains(&n_anew), "seed {seed}: {n_anew} times anew");
    }

    #[test]
    fn wallets_are_counted_as_all_fills_at_once_say() {
        (0..8).for_each(check);
    }

    /// Within four standard errors, and none bound to one side.
    #[test]
    fn what_is_sampled_is_near_to_what_is_there() {
        let (names, wallets) = wallets(60_000);
        let mut sum = 0.0;
        for part in wallets.chunks(3_000) {
            let counting = Counting { exact_up_to: 256, keeps_shares: false };
            let mut few = Wallets::new(counting);
            for wallet in part {
                few.add(*wallet, 1, &names);
            }
            assert!(!few.is_exact() && few.kept.len() <= 256 * MOST, "{}", few.kept.len());
            let off = f64::from(u32::try_from(few.len()).unwrap()) / 3_000.0 - 1.0;
            assert!(off.abs() < 4.0 * 1.2 / 16.0, "{off}");
            sum += off;
        }
        assert!(sum.abs() / 20.0 < 4.0 * 1.2 / 16.0 / 20.0_f64.sqrt(), "{sum} of 20");
    }

    #[cfg(feature = "sabotage")]
    #[test]
    fn windows_that_shrink_are_counted_anew() {
        types::sabotage::assert_noticed(Safeguard::WalletsCountedAnew, 4, check);
    }
}
