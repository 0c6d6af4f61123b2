//! How long epochs are inside: from when they are fed until they have left for readers and sinks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use types::Epoch;

use crate::env::Stopwatch;

/// Measures epochs; both ends of a runtime hold it.
#[derive(Clone, Default)]
pub(super) struct Latency(Arc<Mutex<Measured>>);

#[derive(Default)]
struct Measured {
    /// Epochs inside, in their order.
    inside: VecDeque<(u64, Stopwatch)>,
    /// In microseconds; made with the first.
    taken: Option<Histogram<u64>>,
}

/// How long epochs were inside: half of them at most `p50`, 99 of 100 at most `p99`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantiles {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Latency {
    /// An epoch goes in.
    pub(super) fn start(&self, epoch: u64) {
        self.measured().inside.push_back((epoch, Stopwatch::start()));
    }

    /// It has left; epochs leave in their order.
    pub(super) fn end(&self, epoch: Epoch) {
        let mut measured = self.measured();
        while let Some((_, watch)) = measured.inside.pop_front_if(|(inside, _)| *inside <= epoch.0)
        {
            let micros = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
            let taken = measured.taken.get_or_insert_with(histogram);
            taken.saturating_record(micros);
        }
    }

    /// What was measured so far.
    pub(super) fn quantiles(&self) -> Quantiles {
        let measured = self.measured();
        let Some(taken) = &measured.taken else { return Quantiles::default() };
        let at = |quantile| Duration::from_micros(taken.value_at_quantile(quantile));
        Quantiles { p50: at(0.5), p99: at(0.99), max: Duration::from_micros(taken.max()) }
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        // It is whole after each statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to an hour, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are far enough apart")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_counts_once_and_only_when_it_has_left() {
        let latency = Latency::default();
        assert_eq!(latency.quantiles().max, Duration::ZERO);
        (1..=3).for_each(|epoch| latency.start(epoch));
        std::thread::sleep(Duration::from_millis(2));
        latency.end(Epoch(2));
        let measured = latency.measured();
        assert_eq!(measured.taken.as_ref().map(Histogram::len), Some(2));
        assert_eq!(measured.inside.len(), 1);
        drop(measured);
        assert!(latency.quantiles().p50 >= Duration::from_millis(2));
    }
}
