//! Random projections with histograms: LODA (Pevný, "Loda: lightweight on-line detector of
//! anomalies", Machine Learning 102, 2016).
//!
//! Each projection looks at about sqrt(d) columns with normal weights; over it stands a histogram of
//! the rows that are kept. A row's surprise is the mean over the projections of -ln of its bin's
//! density, in units of the histogram's mean density.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::number::{are_results, float, index, select};

/// Bins of a histogram.
const BINS: usize = 20;
/// The share of rows at either end that the histogram's range leaves out.
const ENDS: f64 = 0.005;
/// Rows that a bin is said to hold before any is counted.
const PRIOR: f64 = 0.5;
/// The least width of a bin, in the projection's units, where rows are all alike.
const WIDTH_MIN: f64 = 1e-6;
/// The largest size of a weight: a normal number of 53 bits is below 9.
const WEIGHT_MAX: f64 = 9.0;
/// What a bin beyond the range is said to hold at most, against the mean.
const BEYOND: f64 = 0.3;

/// The projections and their histograms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loda {
    /// Columns that each projection looks at.
    width: usize,
    /// For each projection `width` pairs of column and weight.
    terms: Vec<(u16, f64)>,
    /// For each projection its histogram.
    histograms: Vec<Histogram>,
}

/// A histogram as surprise: -ln of each bin's density.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Histogram {
    low: f64,
    high: f64,
    per_width: f64,
    surprise: [f32; BINS],
    /// The surprise next to the range, on either side.
    beyond: f64,
}

impl Loda {
    /// `count` projections of `dimension` columns, without histograms yet.
    pub(crate) fn new(count: usize, dimension: usize, chance: &mut Chance) -> Self {
        let width = index(float(dimension).sqrt().ceil(), dimension).max(1);
        let mut terms = Vec::with_capacity(count * width);
        for _ in 0..count {
            let columns = chance.sample(width, dimension);
            terms.extend(columns.iter().map(|&c| (u16::try_from(c).unwrap_or(0), chance.normal())));
        }
        Self { width: width.min(dimension).max(1), terms, histograms: Vec::new() }
    }

    /// Counts the histograms anew over `rows`: standardised, flat, `dimension` values each.
    pub(crate) fn fit(&mut self, rows: &[f64], dimension: usize) {
        let project = |terms: &[(u16, f64)]| {
            let mut line: Vec<f64> = rows.chunks(dimension).map(|row| dot(terms, row)).collect();
            Histogram::of(&mut line)
        };
        self.histograms = self.terms.chunks(self.width).map(project).collect();
    }

    /// The mean surprise of a standardised row; 0 before the first [`Loda::fit`].
    pub(crate) fn surprise(&self, row: &[f64]) -> f64 {
        if self.histograms.is_empty() {
            return 0.0;
        }
        let mut sum = 0.0;
        for (terms, histogram) in self.terms.chunks(self.width).zip(&self.histograms) {
            sum += histogram.surprise(dot(terms, row));
        }
        sum / float(self.histograms.len())
    }

    /// Whether the parts fit together and every term looks at a column that is there.
    pub(crate) fn is_whole(&self, dimension: usize) -> bool {
        (1..=dimension).contains(&self.width)
            && self.width.checked_mul(self.histograms.len()) == Some(self.terms.len())
            && self.histograms.iter().all(Histogram::is_whole)
            && self.terms.iter().all(|(column, weight)| {
                usize::from(*column) < dimension && weight.abs() <= WEIGHT_MAX
            })
    }

    /// Bytes of state.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.terms) + size_of_val(&*self.histograms)
    }
}

/// The projection of a row.
fn dot(terms: &[(u16, f64)], row: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (column, weight) in terms {
        sum += weight * row[usize::from(*column)];
    }
    sum
}

impl Histogram {
    /// Over values, which it reorders.
    fn of(line: &mut [f64]) -> Self {
        let (low, high) = (select(line, ENDS), select(line, 1.0 - ENDS));
        let width = ((high - low) / float(BINS)).max(WIDTH_MIN);
        let per_width = 1.0 / width;
        let mut counts = [PRIOR; BINS];
        for value in line.iter() {
            counts[index((value - low) * per_width, BINS - 1)] += 1.0;
        }
        let mean = (float(line.len()) + PRIOR * float(BINS)) / float(BINS);
        let density = counts.map(|count| count / mean);
        let edge = density[0].min(density[BINS - 1]).min(BEYOND);
        Self {
            low,
            // Where rows are all alike the bins are wider than their range.
            high: high.max(low + width * float(BINS)),
            per_width,
            surprise: density.map(|d| crate::number::narrow(-libm::log(d))),
            beyond: -libm::log(edge),
        }
    }

    /// Whether it can have been counted over projections.
    fn is_whole(&self) -> bool {
        are_results(&[self.low, self.high, self.beyond])
            && (0.0..=1.0 / WIDTH_MIN).contains(&self.per_width)
            && self.surprise.iter().all(|surprise| surprise.is_finite())
    }

    /// -ln of the density at `value`; outside the range it grows by ln of the distance in bins.
    fn surprise(&self, value: f64) -> f64 {
        let place = (value - self.low) * self.per_width;
        if value < self.low {
            self.beyond + libm::log(1.0 - place)
        } else if value > self.high {
            // Rounding may take it a little below the last edge.
            self.beyond + libm::log(2.0 + (place - float(BINS)).max(0.0))
        } else {
            f64::from(self.surprise[index(place, BINS - 1)])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The surprise of `value`, from the definition, counted row by row.
    fn twin(line: &[f64], value: f64) -> f64 {
        let mut sorted = line.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = line.len() - 1;
        let at = |share: f64| sorted[index(float(last) * share + 0.5, last)];
        let (low, high) = (at(ENDS), at(1.0 - ENDS));
        let width = ((high - low) / 20.0).max(WIDTH_MIN);
        let per_width = 1.0 / width;
        let bin_of = |x: f64| index(((x - low) * per_width).floor(), 19);
        let density = |bin: usize| {
            let count = line.iter().filter(|x| bin_of(**x) == bin).count();
            (float(count) + 0.5) / ((float(line.len()) + 10.0) / 20.0)
        };
        let place = (value - low) * per_width;
        let edge = density(0).min(density(19)).min(0.3);
        if value < low {
            -edge.ln() + (1.0 - place).ln()
        } else if value > high.max(low + 20.0 * width) {
            -edge.ln() + (place - 20.0 + 2.0).ln()
        } else {
            -density(bin_of(value)).ln()
        }
    }

    proptest! {
        #[test]
        fn bins_are_counted_row_by_row(
            line in prop::collection::vec(-50_i32..50, 1..150),
            asked in -80_i32..80,
        ) {
            let line: Vec<f64> = line.iter().map(|x| f64::from(*x) * 0.37).collect();
            let histogram = Histogram::of(&mut line.clone());
            let asked = f64::from(asked) * 0.37 + 0.01;
            let (fast, slow) = (histogram.surprise(asked), twin(&line, asked));
            prop_assert!((fast - slow).abs() < 1e-5, "{fast}, twin {slow}");
        }
    }

    /// The values at the ends of the range are counted in its bins, so they are found there.
    #[test]
    fn the_ends_of_the_range_are_inside() {
        for step in [0.1, 0.37, 1.0 / 3.0, 7.0] {
            for size in [2_i32, 3, 7, 40, 99] {
                let line: Vec<f64> = (0..size).map(|at| f64::from(at) * step).collect();
                let histogram = Histogram::of(&mut line.clone());
                for end in [line[0], line[line.len() - 1]] {
                    let inside =
                        f64::from(histogram.surprise[if end > 0.0 { BINS - 1 } else { 0 }]);
                    assert!((histogram.surprise(end) - inside).abs() < 1e-9, "{end} of {size}");
                }
            }
        }
    }

    #[test]
    fn projections_look_at_sqrt_columns_and_at_each_once() {
        let loda = Loda::new(40, 10, &mut Chance::new(9));
        assert_eq!((loda.width, loda.terms.len()), (4, 160));
        for terms in loda.terms.chunks(4) {
            let mut columns: Vec<u16> = terms.iter().map(|(column, _)| *column).collect();
            columns.sort_unstable();
            columns.dedup();
            assert_eq!(columns.len(), 4);
        }
    }

    #[test]
    fn the_surprise_of_a_row_is_the_mean_over_the_projections() {
        let rows: Vec<f64> = (0..300).map(|i| f64::from(i % 17) - 8.0).collect();
        let mut loda = Loda::new(5, 3, &mut Chance::new(4));
        loda.fit(&rows, 3);
        let row = [1.0, -2.0, 30.0];
        let mut sum = 0.0;
        for terms in loda.terms.chunks(2) {
            let line: Vec<f64> = rows.chunks(3).map(|row| dot(terms, row)).collect();
            sum += twin(&line, dot(terms, &row));
        }
        assert!((loda.surprise(&row) - sum / 5.0).abs() < 1e-5);
    }
}
