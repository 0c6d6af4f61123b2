//! The default detector of a single column: its context is the column's own past.
//!
//! Four members look at each value: against what is usual at its time of day; the mean of the last 4
//! values and that of the last 16, against such means before; and the shape of the last 16
//! ([`crate::shingles`]). A member's surprise is -ln p of its number's distance from the median, among
//! its own such distances so far. `raw` is their mean of power 3, which lets one clear voice through.
//!
//! A disturbance lasts, but is news once: a row whose surprise is not the largest of the last
//! [`QUIET_ROWS`] counts as a repeat, and its surprise is divided by [`REPEAT`] and held at
//! [`REPEAT_MAX`]. The score is 1 - p
//! with p = e^-surprise: the members' p are calibrated, each on the series itself, so the score is on
//! one scale on every series. Joined by that mean they are no probability any more: where members are
//! independent fewer rows reach a score than it says.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::number::{are_results, are_values, present};
use crate::options::Options;
use crate::schedule::Schedule;
use crate::shingles::{LENGTH, Shingles};
use crate::tail::{SURPRISE_MAX, Tail};
use crate::why::{Aspect, Reason, by_share};
use crate::{Assessed, Detector, MEMBERS, Numbers, ROWS_MAX, State};

/// Numbers that a member's distribution is fitted to.
const TAIL: usize = 2048;
/// Rows within which a lesser surprise is a repeat.
const QUIET_ROWS: usize = 128;
/// What the surprise of a repeat is divided by.
const REPEAT: f64 = 4.0;
/// The largest surprise of a repeat, ln of [`QUIET_ROWS`]: of so many rows it isn't the largest.
const REPEAT_MAX: f64 = 4.852_030_263_919_617;
/// Values that are kept for shapes: one that ended before the present one began is learnt.
const RECENT: usize = 2 * LENGTH;
/// Nanoseconds of an hour.
const HOUR: i64 = 3_600_000_000_000;
/// Hours of a day.
const HOURS: usize = 24;
/// Values of an hour of the day before it has a say.
const HOUR_VALUES_MIN: usize = 12;
/// The least weight of a new value in its hour's averages.
const HOUR_GAIN_MIN: f64 = 1.0 / 32.0;
/// The least deviation of an hour, or of means, against the series'.
const PART_DEVIATION_MIN: f64 = 0.1;
/// The least deviation of the series, against its range.
const DEVIATION_MIN: f64 = 0.02;
/// The share of values at either end that the range leaves out: one wild value isn't the range.
const ENDS: f64 = 0.01;
/// Deviations beyond which a value counts to its hour as at most so far away: the hour's, or the
/// series' where they are larger, since an hour that was still may wake.
const REACH: f64 = 8.0;
/// Deviations between the 10th and the 90th percentile of the standard normal distribution.
const DECILES: f64 = 2.563;

/// The usual value at an hour of the day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    count: usize,
    mean: f64,
    deviation: f64,
}

/// A member's numbers, and their distances from the median.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Member {
    numbers: Tail,
    distances: Tail,
}

/// The detector. Made by [`Series::new`]; see [`Detector`] for its use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    warm_up: usize,
    chance: Chance,
    /// Rows learnt.
    seen: usize,
    schedule: Schedule,
    /// The last values, the newest last.
    recent: Vec<f64>,
    values: Tail,
    /// The range of the values without [`ENDS`].
    range: f64,
    hours: Vec<Hour>,
    shapes: Shingles,
    members: [Member; MEMBERS],
    /// Rows and surprises of the last [`QUIET_ROWS`] that no later one exceeds, falling.
    peaks: Vec<(usize, f64)>,
}

impl Series {
    /// A detector that has learnt nothing.
    pub fn new(options: &Options) -> Self {
        let member =
            || Member { numbers: Tail::exponential(TAIL), distances: Tail::exponential(TAIL) };
        Self {
            warm_up: options.warm_up,
            chance: Chance::new(options.seed),
            seen: 0,
            schedule: Schedule::new(16, options.refit_ns),
            recent: Vec::new(),
            values: Tail::exponential(TAIL),
            range: 0.0,
            hours: vec![Hour::default(); HOURS],
            shapes: Shingles::default(),
            members: std::array::from_fn(|_| member()),
            peaks: Vec::new(),
        }
    }

    /// Whether the parts fit together, as they do in every state that this package wrote.
    pub(crate) fn is_whole(&self) -> bool {
        let tails = self.members.iter().flat_map(|member| [&member.numbers, &member.distances]);
        let like = Tail::exponential(TAIL);
        let is_peak = |(row, surprise): &(usize, f64)| {
            *row <= self.seen && (0.0..=SURPRISE_MAX).contains(surprise)
        };
        self.hours.len() == HOURS
            && self.hours.iter().all(Hour::is_whole)
            && self.seen <= ROWS_MAX
            && self.schedule.row <= ROWS_MAX
            && self.recent.len() <= RECENT
            && are_values(&self.recent)
            && self.range >= 0.0
            && are_results(&[self.range])
            && self.peaks.len() <= QUIET_ROWS + 1
            && self.peaks.iter().all(is_peak)
            && self.shapes.is_whole()
            && tails.chain([&self.values]).all(|tail| tail.is_whole(&like))
    }

    /// One deviation of the series.
    fn deviation(&self) -> f64 {
        let [low, _, high] = self.values.deciles().unwrap_or_default();
        ((high - low) / DECILES).max(self.range * DEVIATION_MIN).max(1e-9)
    }

    /// The mean of the last `count` values, `newest` among them.
    fn mean(&self, count: usize, newest: f64) -> f64 {
        let before = self.recent.len().min(count - 1);
        let sum: f64 = self.recent[self.recent.len() - before..].iter().sum();
        (sum + newest) / crate::number::float(before + 1)
    }

    /// The members' numbers of a value; NaN of a member that has nothing to say yet.
    fn numbers(&self, value: f64, time: Option<i64>) -> Numbers {
        let deviation = self.deviation();
        let hour = time.and_then(hour_of).map(|at| self.hours[at]);
        let against_hour = match hour {
            Some(hour) if hour.count >= HOUR_VALUES_MIN => {
                (value - hour.mean) / hour.deviation.max(PART_DEVIATION_MIN * deviation)
            }
            _ => f64::NAN,
        };
        let shape = self.recent.last_chunk::<LENGTH>().and_then(|before| {
            let mut shape = *before;
            shape.rotate_left(1);
            shape[LENGTH - 1] = value;
            self.shapes.distance(&shape, deviation)
        });
        [against_hour, self.mean(4, value), self.mean(16, value), shape.unwrap_or(f64::NAN)]
    }

    fn fit(&mut self, time: Option<i64>) {
        self.schedule.fitted(self.seen, (self.seen / 16).clamp(8, 256), time);
        self.values.fit_deciles();
        self.range = self.values.range(ENDS);
        for member in &mut self.members {
            member.numbers.fit_deciles();
            member.distances.fit();
        }
    }

    /// Whether a surprise as large was met within the last rows.
    fn is_repeat(&self, surprise: f64) -> bool {
        let from = self.seen.saturating_sub(QUIET_ROWS);
        self.peaks.iter().any(|(row, peak)| *row >= from && *peak >= surprise)
    }

    fn note_peak(&mut self, surprise: f64) {
        let from = self.seen.saturating_sub(QUIET_ROWS);
        self.peaks.retain(|(row, peak)| *row >= from && *peak > surprise);
        self.peaks.push((self.seen, surprise));
    }
}

impl Member {
    /// -ln p of a number; 0 of NaN, and before there is a median.
    fn surprise(&self, number: f64) -> f64 {
        self.distance(number).map_or(0.0, |distance| self.distances.surprise(distance))
    }

    /// A number's distance from the median of those before; none of NaN, and before there is a median.
    fn distance(&self, number: f64) -> Option<f64> {
        let [_, median, _] = self.numbers.deciles()?;
        (!number.is_nan()).then(|| (number - median).abs())
    }

    fn learn(&mut self, number: f64, chance: &mut Chance) {
        if let Some(distance) = self.distance(number) {
            self.distances.learn(distance, chance);
        }
        if !number.is_nan() {
            self.numbers.learn(number, chance);
        }
    }
}

/// The hour of the day in UTC.
fn hour_of(time: i64) -> Option<usize> {
    usize::try_from(time.div_euclid(HOUR).rem_euclid(24)).ok()
}

impl Detector for Series {
    fn assess(&mut self, row: &[f64], time: Option<i64>) -> Assessed {
        let value = row.first().copied().and_then(present);
        // A value that is missing says nothing.
        let numbers = value.map_or([f64::NAN; MEMBERS], |value| self.numbers(value, time));
        let mut cubes = 0.0;
        for (member, number) in self.members.iter().zip(numbers) {
            let surprise = member.surprise(number);
            cubes += surprise * surprise * surprise;
        }
        let raw = libm::cbrt(cubes / 4.0).min(SURPRISE_MAX);
        let surprise = if self.is_repeat(raw) { (raw / REPEAT).min(REPEAT_MAX) } else { raw };
        let is_ready = self.seen >= self.warm_up;
        Assessed {
            raw,
            score: is_ready.then(|| -libm::expm1(-surprise)),
            state: if is_ready { State::Ok } else { State::Warming },
            surprise,
            numbers,
        }
    }

    fn learn(&mut self, row: &[f64], time: Option<i64>, assessed: &Assessed) {
        let Some(value) = row.first().copied().and_then(present) else { return };
        for (member, number) in self.members.iter_mut().zip(assessed.numbers) {
            member.learn(number, &mut self.chance);
        }
        self.note_peak(assessed.raw);
        if let Some(hour) = time.and_then(hour_of) {
            let deviation = self.deviation();
            self.hours[hour].learn(value, deviation);
        }
        self.values.learn(value, &mut self.chance);
        self.recent.push(value);
        if self.recent.len() >= RECENT {
            if self.recent.len() > RECENT {
                self.recent.remove(0);
            }
            if let Some(past) = self.recent.first_chunk::<LENGTH>() {
                self.shapes.learn(past, &mut self.chance);
            }
        }
        self.seen += 1;
        if self.schedule.is_due(self.seen, time) {
            self.fit(time);
        }
    }

    fn explain(&mut self, row: &[f64], time: Option<i64>) -> Vec<Reason> {
        let Some(value) = row.first().copied().and_then(present) else { return Vec::new() };
        let numbers = self.numbers(value, time);
        let hour = time.and_then(hour_of).map_or(Hour::default(), |at| self.hours[at]);
        let aspects = [Aspect::Hour, Aspect::Mean(4), Aspect::Mean(16), Aspect::Shape(LENGTH)];
        let mut reasons = Vec::new();
        for ((member, number), aspect) in self.members.iter().zip(numbers).zip(aspects) {
            let surprise = member.surprise(number);
            if surprise <= 0.0 {
                continue;
            }
            let [low, median, high] = member.numbers.deciles().unwrap_or_default();
            // Where means stand still the series' own deviation is the measure.
            let deviation = ((high - low) / DECILES).max(PART_DEVIATION_MIN * self.deviation());
            let (value, usual, deviations) = match aspect {
                Aspect::Hour => (row.first().copied().unwrap_or(value), hour.mean, number),
                _ => (number, median, (number - median) / deviation),
            };
            let share = surprise * surprise * surprise;
            reasons.push(Reason { column: 0, aspect, share, value, usual, deviations });
        }
        by_share(reasons)
    }

    fn refit(&mut self, time: Option<i64>) {
        if self.values.deciles().is_some() {
            self.fit(time);
        }
    }

    fn state_bytes(&self) -> usize {
        let members: usize = self
            .members
            .iter()
            .map(|member| member.numbers.bytes() + member.distances.bytes())
            .sum();
        size_of::<Self>()
            + members
            + self.values.bytes()
            + self.shapes.bytes()
            + size_of_val(&*self.hours)
            + size_of_val(&*self.recent)
            + size_of_val(&*self.peaks)
    }
}

impl Hour {
    /// Whether it can have been learnt from values.
    fn is_whole(&self) -> bool {
        are_values(&[self.mean]) && self.deviation >= 0.0 && are_results(&[self.deviation])
    }

    /// Learns a value of this hour, of a series of this deviation.
    fn learn(&mut self, value: f64, deviation: f64) {
        self.count = self.count.saturating_add(1);
        if self.count == 1 {
            // The first lies nowhere near or far.
            self.mean = value;
            return;
        }
        let gain = (1.0 / crate::number::float(self.count)).max(HOUR_GAIN_MIN);
        let mut step = value - self.mean;
        // Where all were equal so far, what is new counts in full.
        if self.count > HOUR_VALUES_MIN && self.deviation > 0.0 {
            let reach = REACH * self.deviation.max(deviation);
            step = step.clamp(-reach, reach);
        }
        self.mean += gain * step;
        self.deviation += gain * (step.abs() - self.deviation);
    }
}
