//! The ways in which a test is run: the same rows, in another order, in other epochs, on other
//! workers.

use crate::config::plan::Also;

/// How many other orders a shuffled test is run in.
const N_SHUFFLES: u64 = 8;

/// One way to run a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As it is written, with the pipeline's own options.
    AsWritten,
    /// With the rows in another order, the same for the same seed.
    Shuffled {
        /// What the order is made of.
        seed: u64,
    },
    /// With an epoch for each row.
    OneEventPerEpoch,
    /// On this many workers.
    Workers(usize),
}

impl Way {
    /// As written, then the ways that a test asks for besides, each once.
    pub(super) fn all(also: &[Also]) -> Vec<Self> {
        let mut ways = vec![Self::AsWritten];
        if also.contains(&Also::Shuffled) {
            ways.extend((1..=N_SHUFFLES).map(|seed| Self::Shuffled { seed }));
        }
        if also.contains(&Also::OneEventPerEpoch) {
            ways.push(Self::OneEventPerEpoch);
        }
        if also.contains(&Also::Workers124) {
            ways.extend([1, 2, 4].map(Self::Workers));
        }
        ways
    }

    /// The order in which rows enter, by their places as written.
    pub(super) fn order(self, n_rows: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n_rows).collect();
        if let Self::Shuffled { seed } = self {
            shuffle(&mut order, seed);
        }
        order
    }

    /// How many rows an epoch holds, where the pipeline says `max_events`.
    pub(super) const fn max_events(self, max_events: usize) -> usize {
        match self {
            Self::OneEventPerEpoch => 1,
            Self::AsWritten | Self::Shuffled { .. } | Self::Workers(_) => max_events,
        }
    }

    /// How many workers compute, where the pipeline says `workers`.
    pub(super) const fn n_workers(self, workers: usize) -> usize {
        match self {
            Self::Workers(n) => n,
            Self::AsWritten | Self::Shuffled { .. } | Self::OneEventPerEpoch => workers,
        }
    }
}

/// The ways in short: `as written, shuffled x8, one event per epoch, workers 1 2 4`.
pub fn counted(ways: &[Way]) -> String {
    let seeds = |seeds: &[String]| format!("shuffled x{}", seeds.len());
    grouped(ways, &seeds)
}

/// The ways with the seeds of the orders, so that they can be told apart: `shuffled with seeds 2 7`.
pub fn named(ways: &[Way]) -> String {
    let seeds = |seeds: &[String]| match seeds {
        [seed] => format!("shuffled with seed {seed}"),
        seeds => format!("shuffled with seeds {}", seeds.join(" ")),
    };
    grouped(ways, &seeds)
}

fn grouped(ways: &[Way], shuffled: &dyn Fn(&[String]) -> String) -> String {
    let (mut groups, mut seeds, mut workers) = (Vec::new(), Vec::new(), Vec::new());
    for way in ways {
        match way {
            Way::AsWritten => groups.push("as written".to_owned()),
            Way::Shuffled { seed } => seeds.push(seed.to_string()),
            Way::OneEventPerEpoch => groups.push("one event per epoch".to_owned()),
            Way::Workers(n) => workers.push(n.to_string()),
        }
    }
    if !seeds.is_empty() {
        let at = groups.len().min(usize::from(ways.contains(&Way::AsWritten)));
        groups.insert(at, shuffled(&seeds));
    }
    if !workers.is_empty() {
        groups.push(format!("workers {}", workers.join(" ")));
    }
    groups.join(", ")
}

/// Fisher-Yates over splitmix64: the same order for the same seed, on any machine and for good.
fn shuffle(order: &mut [usize], seed: u64) {
    let mut state = seed;
    for last in (1..order.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = state;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        let n_choices = u64::try_from(last).map_or(u64::MAX, |last| last + 1);
        order.swap(last, usize::try_from(drawn % n_choices).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_ways_are_told_in_short_and_by_name() {
        let all = Way::all(&[Also::Workers124, Also::Shuffled, Also::OneEventPerEpoch]);
        let told = "as written, shuffled x8, one event per epoch, workers 1 2 4";
        assert_eq!(counted(&all), told);
        assert_eq!(counted(&Way::all(&[])), "as written");
        let some = [Way::Shuffled { seed: 2 }, Way::Shuffled { seed: 7 }, Way::Workers(4)];
        assert_eq!(named(&some), "shuffled with seeds 2 7, workers 4");
        assert_eq!(named(&[Way::Shuffled { seed: 3 }]), "shuffled with seed 3");
    }

    #[test]
    fn shuffles_are_permutations_that_differ_and_stay() {
        let orders: Vec<Vec<usize>> =
            (1..=N_SHUFFLES).map(|seed| Way::Shuffled { seed }.order(9)).collect();
        for order in &orders {
            assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), (0..9).collect());
        }
        assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), 8);
        assert_eq!(orders[0], Way::Shuffled { seed: 1 }.order(9));
        // Two rows come both ways round.
        let pairs = (1..=N_SHUFFLES).map(|seed| Way::Shuffled { seed }.order(2));
        assert_eq!(pairs.collect::<BTreeSet<_>>().len(), 2);
        assert_eq!(Way::AsWritten.order(3), [0, 1, 2]);
        assert!(Way::Shuffled { seed: 1 }.order(0).is_empty());
    }
}
