//! The default detector: four members that see rows differently, made comparable by their own
//! distributions, and averaged.
//!
//! Each member turns a row into a number; the number's surprise, -ln p among that member's own
//! numbers so far, is what counts (a rank, so no member drowns the others). `raw` is the mean
//! surprise, and the score 1 - p of `raw` among the raw values so far.
//!
//! The models are fitted to the reservoir ([`crate::memory`]) at once, seldom: when the rows seen have
//! grown by a quarter, then every [`REFIT_ROWS`]. Clones share what is fitted
//! and what is kept ([`crate::shared`]): a kept state costs what was learnt since.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Decades};
use crate::chance::Chance;
use crate::forest::{Forest, keys};
use crate::loda::Loda;
use crate::memory::Memory;
use crate::neighbours::Neighbours;
use crate::number::{SIZE_MAX, present};
use crate::options::{COLUMNS_MAX, Kind, Options};
use crate::robust_z::{Column, Deviations, Least};
use crate::schedule::Schedule;
use crate::tail::Tail;
use crate::why::{Aspect, Reason, by_share};
use crate::{Assessed, Detector, MEMBERS, Numbers, ROWS_MAX, State};

/// Rows between two fits at most.
const REFIT_ROWS: usize = 2048;
/// Rows between two fits at least.
const REFIT_ROWS_MIN: usize = 16;
/// Until so many rows were seen, each fit grows the whole forest anew; then a quarter of it.
const GROW_ROWS: usize = 2048;
/// Numbers that a member's distribution is fitted to.
const MEMBER_TAIL: usize = 1024;
/// Numbers that the distribution of raw values is fitted to.
const RAW_TAIL: usize = 4096;
/// Surprise from which on a row enters the reservoir on a budget: p <= 0.05.
const GATE: f64 = 2.995_732_273_553_991;
/// Surprise from which on a row's numbers enter the distributions on a budget: p <= 0.01.
const TAIL_GATE: f64 = 4.605_170_185_988_092;
/// The share of rows on that budget.
const TAIL_SHARE: f64 = 0.1;
/// What that budget holds at most.
const TAIL_MOST: f64 = 64.0;
/// Parts that the first rows are held out by, to be judged by models of the others.
const FOLDS: usize = 4;
/// What one member can add at most.
const MEMBER_SURPRISE_MAX: f64 = 20.0;
/// Rows that all pass, at the start.
const OPEN_ROWS: usize = 128;

/// What is fitted to the reservoir.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Fitted {
    columns: Vec<Column>,
    forest: Forest,
    loda: Loda,
    neighbours: Neighbours,
}

/// The detector. Made by [`Combined::new`] or [`Combined::of_units`]; see [`Detector`] for its use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Combined {
    options: Options,
    dimension: usize,
    least: Least,
    chance: Chance,
    /// Rows learnt.
    seen: usize,
    schedule: Schedule,
    deviations: Vec<Deviations>,
    memory: Memory,
    fitted: Option<Arc<Fitted>>,
    tails: [Tail; MEMBERS],
    raw_tail: Tail,
    /// For numbers with p <= 0.01, and among them raw values with p <= 0.001.
    tail_budget: Budget,
    far_budget: Decades,
    #[serde(skip)]
    scratch: Scratch,
}

/// Room for one row's sums, no state.
#[derive(Clone, Debug, Default)]
struct Scratch {
    kept: Vec<f64>,
    filled: Vec<f64>,
    soft: Vec<f64>,
    keys: Vec<i64>,
    squares: Vec<f64>,
}

impl Combined {
    /// For rows of `dimension` columns.
    pub fn new(options: &Options, dimension: usize) -> Self {
        Self::with(options, dimension, Least::PLAIN)
    }

    /// As [`Combined::new`], but for rows in their keys' own units ([`crate::Normaliser`]).
    pub fn of_units(options: &Options, dimension: usize) -> Self {
        Self::with(options, dimension, Least::UNITS)
    }

    fn with(options: &Options, dimension: usize, least: Least) -> Self {
        Self {
            options: options.clone(),
            dimension,
            least,
            chance: Chance::new(options.seed),
            seen: 0,
            schedule: Schedule::new(options.warm_up.max(REFIT_ROWS_MIN), options.refit_ns),
            deviations: vec![Deviations::default(); dimension],
            memory: Memory::new(dimension, options.window, options.reservoir),
            fitted: None,
            tails: std::array::from_fn(|_| Tail::of_member(MEMBER_TAIL)),
            raw_tail: Tail::shaped(RAW_TAIL),
            tail_budget: Budget::new(TAIL_SHARE, TAIL_MOST),
            far_budget: Decades::new(),
            scratch: Scratch::default(),
        }
    }

    /// Which members count.
    fn members(&self) -> [bool; MEMBERS] {
        match self.options.kind {
            Kind::Combined => [true; MEMBERS],
            Kind::RobustZ => [true, false, false, false],
            Kind::Loda => [false, true, false, false],
            Kind::Forest => [false, false, true, false],
        }
    }

    /// The members' numbers of a row, and their mean surprise.
    fn judge(&mut self, row: &[f64]) -> (Numbers, f64) {
        let Some(fitted) = &self.fitted else { return ([0.0; MEMBERS], 0.0) };
        let numbers = fitted.numbers(row, &mut self.scratch);
        (numbers, self.mean_surprise(&numbers))
    }

    /// The mean surprise of the members that count.
    fn mean_surprise(&self, numbers: &Numbers) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for ((tail, number), counts) in self.tails.iter().zip(numbers).zip(self.members()) {
            if counts {
                sum += tail.surprise(*number).min(MEMBER_SURPRISE_MAX);
                count += 1.0;
            }
        }
        sum / count
    }

    fn fit(&mut self, time: Option<i64>) {
        let step = (self.seen / 4).clamp(REFIT_ROWS_MIN, REFIT_ROWS);
        self.schedule.fitted(self.seen, step, time);
        let before = self.fitted.take().unwrap_or_default();
        let kept = self.memory.kept();
        let fitted = Fitted::of(self, &kept, &before);
        self.fitted = Some(Arc::new(fitted));
        self.tails.iter_mut().for_each(Tail::fit);
        self.raw_tail.fit();
    }

    /// The members' first numbers: of the rows that are kept, each judged by models of the others. The
    /// models that stand have seen them all, and would say that they are more usual than what comes.
    fn start_tails(&mut self) {
        let rows = self.memory.kept();
        let fitted = self.fitted.take();
        let mut held_out = Vec::new();
        for fold in 0..FOLDS {
            let (mut others, mut held) = (Vec::new(), Vec::new());
            for (at, row) in rows.chunks_exact(self.dimension).enumerate() {
                if at % FOLDS == fold { held.push(row) } else { others.extend_from_slice(row) }
            }
            self.fitted = Some(Arc::new(Fitted::of(self, &others, &Fitted::default())));
            held_out.extend(held.into_iter().map(|row| self.judge(row).0));
        }
        self.fitted = fitted;
        for numbers in &held_out {
            for (tail, number) in self.tails.iter_mut().zip(numbers) {
                tail.learn(*number, &mut self.chance);
            }
        }
        self.tails.iter_mut().for_each(Tail::fit);
        for numbers in &held_out {
            let raw = self.mean_surprise(numbers);
            self.raw_tail.learn(raw, &mut self.chance);
        }
        self.raw_tail.fit();
    }
}

impl Combined {
    /// Whether the parts fit together, as they do in every state that this package wrote.
    pub(crate) fn is_whole(&self) -> bool {
        if self.options.check().is_err() || !(1..=COLUMNS_MAX).contains(&self.dimension) {
            return false;
        }
        let like = Self::new(&self.options, self.dimension);
        let tails = self.tails.iter().chain([&self.raw_tail]);
        let like_tails = like.tails.iter().chain([&like.raw_tail]);
        self.seen <= ROWS_MAX
            && [Least::PLAIN, Least::UNITS].contains(&self.least)
            && self.schedule.is_whole(self.options.refit_ns)
            && self.deviations.len() == self.dimension
            && self.deviations.iter().all(Deviations::is_whole)
            && self.memory.is_whole(&like.memory)
            && self.fitted.as_ref().is_none_or(|fitted| fitted.is_whole(self.dimension))
            && tails.zip(like_tails).all(|(tail, like)| tail.is_whole(like))
            && self.tail_budget.is_whole(&like.tail_budget)
            && self.far_budget.is_whole()
    }
}

impl Detector for Combined {
    fn assess(&mut self, row: &[f64], _time: Option<i64>) -> Assessed {
        let (numbers, raw) = self.judge(row);
        let is_ready = self.raw_tail.is_fitted() && self.seen >= self.options.warm_up;
        let surprise = self.raw_tail.surprise(raw);
        Assessed {
            raw,
            score: is_ready.then(|| -libm::expm1(-surprise)),
            state: if is_ready { State::Ok } else { State::Warming },
            surprise,
            numbers,
        }
    }

    fn learn(&mut self, row: &[f64], time: Option<i64>, assessed: &Assessed) {
        self.seen += 1;
        let is_open = self.seen <= OPEN_ROWS;
        let mut kept = std::mem::take(&mut self.scratch.kept);
        kept.clear();
        kept.extend((0..self.dimension).map(|at| value_at(row, at).unwrap_or(f64::NAN)));
        if let Some(fitted) = &self.fitted {
            for ((deviations, column), x) in
                self.deviations.iter_mut().zip(&fitted.columns).zip(&kept)
            {
                deviations.learn((x - column.median).abs());
            }
            if self.tail_budget.admits(!is_open && assessed.surprise > TAIL_GATE) {
                for (tail, number) in self.tails.iter_mut().zip(assessed.numbers) {
                    tail.learn(number, &mut self.chance);
                }
                if self.far_budget.admits(if is_open { 0.0 } else { assessed.surprise }) {
                    self.raw_tail.learn(assessed.raw, &mut self.chance);
                }
            }
        }
        let is_unusual = !is_open && assessed.surprise > GATE;
        self.memory.learn(&kept, is_unusual, &mut self.chance);
        self.scratch.kept = kept;
        if self.schedule.is_due(self.seen, time) {
            let is_first = self.fitted.is_none();
            self.fit(time);
            if is_first {
                self.start_tails();
            }
        }
    }

    fn explain(&mut self, row: &[f64], _time: Option<i64>) -> Vec<Reason> {
        let Some(fitted) = self.fitted.clone() else { return Vec::new() };
        let (_, whole) = self.judge(row);
        let mut without: Vec<f64> = row.to_vec();
        let mut reasons = Vec::new();
        for (at, column) in fitted.columns.iter().enumerate() {
            let Some(value) = row.get(at).copied().filter(|value| value.is_finite()) else {
                continue;
            };
            // What the column adds is what is missing once its value is.
            without[at] = f64::NAN;
            let (_, rest) = self.judge(&without);
            without[at] = row[at];
            reasons.push(Reason {
                column: at,
                aspect: Aspect::Value,
                share: (whole - rest).max(0.0),
                value,
                usual: column.median,
                deviations: column.z(value.clamp(-SIZE_MAX, SIZE_MAX)),
            });
        }
        by_share(reasons)
    }

    fn refit(&mut self, time: Option<i64>) {
        if self.fitted.is_some() {
            self.fit(time);
        }
    }

    fn state_bytes(&self) -> usize {
        let fitted = self.fitted.as_ref().map_or(0, |fitted| fitted.bytes());
        let tails: usize = self.tails.iter().map(Tail::bytes).sum();
        size_of::<Self>()
            + fitted
            + tails
            + self.raw_tail.bytes()
            + self.memory.bytes()
            + self.deviations.len() * size_of::<Deviations>()
    }
}

impl Fitted {
    /// Fits everything to rows that `detector` keeps; a part of the forest before stays.
    fn of(detector: &mut Combined, kept: &[f64], before: &Fitted) -> Self {
        let dimension = detector.dimension;
        let columns: Vec<Column> = (0..dimension)
            .map(|at| {
                let mut values: Vec<f64> =
                    kept.iter().skip(at).step_by(dimension).copied().collect();
                values.retain(|value| !value.is_nan());
                Column::fit(&mut values, detector.deviations[at].mean, detector.least)
            })
            .collect();
        let mut filled = Vec::with_capacity(kept.len());
        let mut soft = Vec::with_capacity(kept.len());
        for row in kept.chunks_exact(dimension) {
            fill(&columns, row, &mut filled, &mut soft);
        }
        let chance = &mut detector.chance;
        let trees = detector.options.trees;
        let grown = if detector.seen < GROW_ROWS { trees } else { trees.div_ceil(4) };
        let mut forest = before.forest.clone();
        forest.renew((&filled, dimension), (grown, trees), chance);
        let mut loda = if before.columns.is_empty() {
            Loda::new(detector.options.projections, dimension, chance)
        } else {
            before.loda.clone()
        };
        loda.fit(&soft, dimension);
        let neighbours = Neighbours::draw(&soft, dimension, detector.options.neighbours, chance);
        Self { columns, forest, loda, neighbours }
    }

    /// The members' numbers of a row.
    fn numbers(&self, row: &[f64], scratch: &mut Scratch) -> Numbers {
        scratch.filled.clear();
        scratch.soft.clear();
        fill(&self.columns, row, &mut scratch.filled, &mut scratch.soft);
        keys(&scratch.filled, &mut scratch.keys);
        let largest = scratch.soft.iter().fold(0.0, |most: f64, z| most.max(z.abs()));
        [
            largest,
            self.loda.surprise(&scratch.soft),
            -self.forest.path(&scratch.keys),
            self.neighbours.distance(&scratch.soft, &mut scratch.squares),
        ]
    }

    fn is_whole(&self, dimension: usize) -> bool {
        self.columns.len() == dimension
            && self.columns.iter().all(Column::is_whole)
            && self.forest.is_whole(dimension)
            && self.loda.is_whole(dimension)
            && self.neighbours.is_whole(dimension)
    }

    fn bytes(&self) -> usize {
        self.columns.len() * size_of::<Column>()
            + self.forest.bytes()
            + self.loda.bytes()
            + self.neighbours.bytes()
    }
}

/// The value of a column, unless it is missing.
fn value_at(row: &[f64], at: usize) -> Option<f64> {
    row.get(at).copied().and_then(present)
}

/// Appends a row with its column's median where a value is missing, and its softened z.
fn fill(columns: &[Column], row: &[f64], filled: &mut Vec<f64>, soft: &mut Vec<f64>) {
    for (at, column) in columns.iter().enumerate() {
        let value = value_at(row, at);
        filled.push(value.unwrap_or(column.median));
        soft.push(value.map_or(0.0, |x| column.soft(x)));
    }
}
