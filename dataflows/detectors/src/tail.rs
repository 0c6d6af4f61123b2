//! How unusual a number is among those before it: p, the probability of one at least as large,
//! stated before the number is learnt.
//!
//! Up to the 95th percentile p is that of the empirical distribution; above it a
//! generalised Pareto distribution is fitted to the excesses (Pickands, "Statistical inference using
//! extreme order statistics", Annals of Statistics 3, 1975). Surprise is -ln p.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::number::{are_results, float, quantile, select};
use crate::shared::Shared;

/// Surprise between two knots of the empirical part.
const STEP: f64 = 0.25;
/// Knots: surprise 0, 0.25, ... 3; the last, p = e^-3 = 0.0498, is where the fitted tail begins.
const KNOTS: usize = 13;
/// Surprise at the last knot.
const LAST: f64 = 3.0;
/// Numbers that a sample is spread over. Rough times come and go: a distribution that forgot the last
/// ones would call the next ones impossible.
pub(crate) const HORIZON: usize = 32_768;
/// Numbers that a distribution is fitted to at least.
const COUNT_MIN: usize = 16;
/// The largest surprise: p is at least e^-34, about 2e-15, so that 1 - p stays below 1.
pub(crate) const SURPRISE_MAX: f64 = 34.0;

/// The least scale.
const SCALE_MIN: f64 = 1e-9;
/// Excesses that a shape is fitted to; with fewer none is.
const SHAPED_MIN: usize = 20;
/// The least shape: a tail that ends soon would call too much impossible.
const SHAPE_MIN: f64 = -0.2;
/// The largest shape.
const SHAPE_MAX: f64 = 0.3;

/// Shape and mean of a generalised Pareto distribution, by probability-weighted moments (Hosking
/// and Wallis, Technometrics 29, 1987, with their plotting positions (i - 0.35) / n); the shape is
/// held between [`SHAPE_MIN`] and [`SHAPE_MAX`].
fn fit_excesses(sorted: &[f64], threshold: f64) -> (f64, f64) {
    let count = float(sorted.len().max(1));
    let (mut mean, mut weighted) = (0.0, 0.0);
    for (at, x) in sorted.iter().enumerate() {
        let excess = x - threshold;
        mean += excess / count;
        weighted += excess * (1.0 - (float(at) + 0.65) / count) / count;
    }
    if sorted.len() < SHAPED_MIN || mean <= 2.0 * weighted {
        return (0.0, mean);
    }
    let shape = (2.0 - mean / (mean - 2.0 * weighted)).clamp(SHAPE_MIN, SHAPE_MAX);
    (shape, mean)
}

/// -ln of the probability that an excess is larger than this one, in units of the scale; infinite
/// beyond the end of a distribution that has one.
fn excess_surprise(excess: f64, shape: f64) -> f64 {
    if shape.abs() < 1e-6 {
        return excess;
    }
    let inner = 1.0 + shape * excess;
    if inner > 0.0 { libm::log(inner) / shape } else { f64::INFINITY }
}

/// What the shape gains since the scale is known from so many excesses alone: with a scale that is
/// equally likely in each decade beforehand, the next of exponential excesses, given n of them, is larger
/// than x with p = (1 + x / sum)^-n, which is a generalised Pareto distribution of shape 1 / n and of
/// their mean as its scale.
fn unknown_scale(n_excesses: usize) -> f64 {
    1.0 / float(n_excesses.max(1))
}

/// A sample of the numbers so far, and the distribution that was fitted to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tail {
    /// At most `capacity`, of the last [`HORIZON`].
    sample: Shared,
    /// Numbers so far, held at [`HORIZON`].
    offered: usize,
    capacity: usize,
    is_shaped: bool,
    /// Whether surprise allows for how little is known of the scale.
    is_wary: bool,
    /// The numbers at which surprise is 0, 0.25, ...; without any nothing is surprising.
    knots: Option<[f64; KNOTS]>,
    /// Surprise just above the last knot: more than its own where many numbers equal it.
    base: f64,
    /// Shape and scale of the excesses over the last knot.
    shape: f64,
    scale: f64,
    /// The 10th, the 50th and the 90th percentile, once they are fitted.
    deciles: Option<[f64; 3]>,
}

impl Tail {
    /// Over a sample of `capacity` numbers, with an exponential tail, as series have it.
    pub(crate) fn exponential(capacity: usize) -> Self {
        Self { is_shaped: false, ..Self::shaped(capacity) }
    }

    /// As [`Tail::exponential`], for surprises that another distribution judges: the scale is taken for
    /// known.
    pub(crate) fn of_member(capacity: usize) -> Self {
        Self { is_wary: false, ..Self::exponential(capacity) }
    }

    /// Over a sample of `capacity` numbers, with a tail whose shape is fitted.
    pub(crate) fn shaped(capacity: usize) -> Self {
        Self {
            is_shaped: true,
            is_wary: true,
            sample: Shared::default(),
            offered: 0,
            capacity,
            knots: None,
            base: LAST,
            shape: 0.0,
            scale: 1.0,
            deciles: None,
        }
    }

    /// Whether a distribution is fitted.
    pub(crate) fn is_fitted(&self) -> bool {
        self.knots.is_some()
    }

    /// The 10th, the 50th and the 90th percentile of the last fit; none before it.
    pub(crate) fn deciles(&self) -> Option<[f64; 3]> {
        self.deciles
    }

    /// -ln p of `x`, in [0, [`SURPRISE_MAX`]]; 0 before a distribution is fitted.
    pub(crate) fn surprise(&self, x: f64) -> f64 {
        let Some(knots) = &self.knots else { return 0.0 };
        let last = knots[KNOTS - 1];
        if x > last {
            let beyond = excess_surprise((x - last) / self.scale, self.shape);
            return (self.base + beyond).min(SURPRISE_MAX);
        }
        // Of equal knots the first counts: p is that of a number as large, not of a larger one.
        let at = knots.partition_point(|knot| *knot < x);
        if at == 0 {
            return 0.0;
        }
        let (low, high) = (knots[at - 1], knots[at]);
        STEP * (float(at - 1) + (x - low) / (high - low))
    }

    /// Keeps a number, in the place of a random one once all room is taken: of all numbers so far each
    /// is as likely to be there as any other, and beyond [`HORIZON`] the old ones fade.
    pub(crate) fn learn(&mut self, x: f64, chance: &mut Chance) {
        self.offered = (self.offered + 1).min(HORIZON);
        if self.sample.len() < self.capacity {
            self.sample.push(x);
        } else if chance.unit() * float(self.offered) < float(self.capacity) {
            let at = chance.below(self.capacity);
            self.sample.replace(at, &[x]);
        }
    }

    /// Fits the percentiles of [`Tail::deciles`] alone.
    pub(crate) fn fit_deciles(&mut self) {
        if self.sample.len() == 0 {
            return;
        }
        let mut sample = self.sample.to_vec();
        self.deciles = Some([0.1, 0.5, 0.9].map(|share| select(&mut sample, share)));
    }

    /// The range of the numbers that are kept, without a share of them at either end.
    pub(crate) fn range(&self, ends: f64) -> f64 {
        let mut sample = self.sample.to_vec();
        select(&mut sample, 1.0 - ends) - select(&mut sample, ends)
    }

    /// Fits the distribution to the numbers that are kept.
    pub(crate) fn fit(&mut self) {
        let count = self.sample.len();
        if count < COUNT_MIN {
            return;
        }
        let mut sorted = self.sample.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        self.deciles = Some([0.1, 0.5, 0.9].map(|share| quantile(&sorted, share)));
        let mut knots = [0.0; KNOTS];
        for (at, knot) in knots.iter_mut().enumerate() {
            // p of the i-th largest of n, counted from 0, is (i + 0.5) / (n + 1).
            let above = libm::exp(-STEP * float(at)) * float(count + 1) - 0.5;
            *knot = quantile(&sorted, (1.0 - above / float(count - 1)).max(0.0));
        }
        let last = knots[KNOTS - 1];
        let first = sorted.partition_point(|x| *x <= last);
        // The half keeps it at the last knot's own surprise wherever numbers differ.
        self.base = LAST.max(-libm::log((float(count - first) + 0.5) / float(count + 1)));
        let (shape, mean) = fit_excesses(&sorted[first..], last);
        let shape = if self.is_shaped { shape } else { 0.0 };
        // The scale keeps the mean.
        self.scale = mean * (1.0 - shape);
        self.shape = if self.is_wary { shape + unknown_scale(count - first) } else { shape };
        // The least scale is that of numbers that can be told apart.
        self.scale = self.scale.max((sorted[count - 1] - sorted[0]) * 1e-3).max(SCALE_MIN);
        self.knots = Some(knots);
    }

    /// Whether the parts fit together and all numbers can be those of a tail made like `like`.
    pub(crate) fn is_whole(&self, like: &Self) -> bool {
        let is_fit =
            self.knots.as_ref().is_none_or(|knots| knots.is_sorted() && are_results(knots));
        (self.capacity, self.is_shaped, self.is_wary)
            == (like.capacity, like.is_shaped, like.is_wary)
            && self.sample.len() <= self.offered.min(self.capacity)
            && self.offered <= HORIZON
            && self.sample.is_whole(|x| are_results(&[x]))
            && is_fit
            && (LAST..=SURPRISE_MAX).contains(&self.base)
            && (SHAPE_MIN..=SHAPE_MAX + 1.0).contains(&self.shape)
            && (SCALE_MIN..=f64::MAX).contains(&self.scale)
            && self.deciles.is_none_or(|deciles| are_results(&deciles))
    }

    /// Bytes of state.
    pub(crate) fn bytes(&self) -> usize {
        self.sample.bytes() + size_of::<Self>()
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl Iterator<Item = f64>, shaped: bool) -> Tail {
        let mut tail = if shaped { Tail::shaped(20_000) } else { Tail::exponential(20_000) };
        let mut chance = Chance::new(0);
        numbers.for_each(|x| tail.learn(x, &mut chance));
        tail.fit();
        tail
    }

    proptest! {
        /// In the body p is the share of the numbers that are as large, to within a knot's step.
        #[test]
        fn the_body_counts(numbers in prop::collection::vec(-1e3_f64..1e3, 40..400)) {
            let tail = of(numbers.iter().copied(), true);
            let kept = &numbers;
            for x in kept {
                let above = kept.iter().filter(|y| **y >= *x).count();
                let counted = -((float(above)) / float(kept.len() + 1)).ln();
                let surprise = tail.surprise(*x);
                if counted < 2.5 {
                    // Between knots the line may be off by a step of the sample or of the knots.
                    prop_assert!((surprise - counted).abs() < 0.5, "{surprise}, counted {counted}");
                }
                prop_assert!((0.0..=SURPRISE_MAX).contains(&surprise));
            }
        }

        #[test]
        fn larger_is_never_less_surprising(
            numbers in prop::collection::vec(-50_i32..50, 16..200),
            shaped: bool,
        ) {
            let tail = of(numbers.iter().map(|x| f64::from(*x)), shaped);
            let surprises: Vec<f64> = (-60..200).map(|x| tail.surprise(f64::from(x))).collect();
            prop_assert!(surprises.is_sorted(), "{surprises:?}");
        }
    }

    proptest! {
        /// Where numbers repeat, p is the share of those as large, to within a knot's step or a number.
        #[test]
        fn a_number_met_often_is_no_surprise(
            numbers in prop::collection::vec(0_i32..4, 40..400),
            zeros in 0_usize..4_000,
        ) {
            let zeros = std::iter::repeat_n(0, zeros);
            let numbers: Vec<f64> = numbers.into_iter().chain(zeros).map(f64::from).collect();
            let tail = of(numbers.iter().copied(), true);
            for x in [0.0, 1.0, 2.0, 3.0] {
                let as_large = numbers.iter().filter(|y| **y >= x).count();
                let counted = -((float(as_large) - 0.5) / (float(numbers.len()) + 1.0)).ln();
                if counted < LAST - STEP {
                    let surprise = tail.surprise(x);
                    prop_assert!(surprise <= counted + STEP, "{x}: {surprise}, counted {counted}");
                }
            }
            prop_assert_eq!(tail.surprise(0.0), 0.0);
        }
    }

    /// 990 of 1,000 numbers are 0: what is larger has p below 0.0105, not 0.05.
    #[test]
    fn what_few_numbers_exceed_starts_at_their_share() {
        let numbers = (0..1_000_i32).map(|at| if at < 990 { 0.0 } else { f64::from(at - 980) });
        let tail = of(numbers, true);
        assert_eq!(tail.surprise(0.0), 0.0);
        assert!(tail.surprise(1e-9) >= 4.55, "{}", tail.surprise(1e-9));
        assert!(tail.surprise(19.0) < 7.0, "{}", tail.surprise(19.0));
    }

    /// Of exponential numbers, -ln p of x is x.
    #[test]
    fn an_exponential_tail_is_found() {
        let mut chance = Chance::new(11);
        let draw = |_| -(1.0 - chance.unit()).ln();
        let numbers: Vec<f64> = (0..20_000).map(draw).collect();
        for shaped in [false, true] {
            let tail = of(numbers.iter().copied(), shaped);
            for x in [1.0, 2.0, 4.0, 6.9] {
                assert!((tail.surprise(x) - x).abs() < 0.06 * x, "{x}: {}", tail.surprise(x));
            }
        }
    }

    /// Of numbers with p = (1 + 0.2 x)^-5, a generalised Pareto distribution of shape 0.2.
    #[test]
    fn a_heavy_tail_is_found() {
        let mut chance = Chance::new(12);
        let draw = |_| ((1.0 - chance.unit()).powf(-0.2) - 1.0) / 0.2;
        let tail = of((0..20_000).map(draw), true);
        assert!((0.1..0.3).contains(&tail.shape), "{}", tail.shape);
        let x = 14.9; // p = 0.001
        assert!((tail.surprise(x) - 6.9).abs() < 0.4, "{}", tail.surprise(x));
    }

    /// Stated before a number is learnt, p <= 0.001 comes about once in a thousand.
    #[test]
    fn one_in_a_thousand_is_one_in_a_thousand() {
        let mut chance = Chance::new(13);
        let mut tail = Tail::shaped(4_096);
        let mut exceeded = 0;
        for at in 0..60_000 {
            let x = chance.normal() * chance.normal();
            if at >= 10_000 && tail.surprise(x) >= 6.9078 {
                exceeded += 1;
            }
            tail.learn(x, &mut chance);
            if at % 1_024 == 1_023 {
                tail.fit();
            }
        }
        // 50 are expected.
        assert!((35..=68).contains(&exceeded), "{exceeded}");
    }

    /// Where a distribution knows but 32 numbers p <= 0.001 comes far less often than without allowance.
    #[test]
    fn few_numbers_make_less_certain() {
        let mut chance = Chance::new(17);
        let mut exceeded = [0, 0, 0];
        for _ in 0..4_000 {
            let numbers: Vec<f64> = (0..48).map(|_| -(1.0 - chance.unit()).ln()).collect();
            let tails = [Tail::shaped(64), Tail::exponential(64), Tail::of_member(64)];
            for (exceeded, mut tail) in exceeded.iter_mut().zip(tails) {
                numbers[..32].iter().for_each(|x| tail.learn(*x, &mut chance));
                tail.fit();
                *exceeded += numbers[32..].iter().filter(|x| tail.surprise(**x) >= 6.9078).count();
            }
        }
        // 64 are expected: the excesses are few and hardly whole. Members' tails allow for nothing.
        let [shaped, of_series, of_member] = exceeded;
        assert!((300..=450).contains(&shaped) && shaped == of_series, "{exceeded:?}");
        assert!(of_member > 1_000, "{exceeded:?}");
    }

    #[test]
    fn few_or_equal_numbers_give_finite_surprise() {
        assert_eq!(of([1.0; 15].into_iter(), true).surprise(99.0), 0.0);
        let equal = of([1.0; 50].into_iter(), true);
        assert_eq!(equal.surprise(0.5), 0.0);
        assert!(equal.surprise(2.0) > 6.9 && equal.surprise(2.0) <= SURPRISE_MAX);
    }
}
