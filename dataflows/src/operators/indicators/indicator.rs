//! The indicators: their names, columns and steps.

use ethnum::I256;
use types::Price;
use types::number::mul_div_half_even;
use types::relations::Bar;

use super::average::{Recursive, Window};
use crate::operators::fold::fixed::{ONE, root, shows_as_zero};

/// The prices of a bar, in whole 1e-18.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub(super) struct Prices {
    pub(super) high: i128,
    pub(super) low: i128,
    pub(super) close: i128,
}

impl Prices {
    /// Those of a bar.
    pub(super) fn of(bar: &Bar) -> Self {
        let fixed = |price: Price| i128::from(price.raw()) * NANO;
        Self { high: fixed(bar.high), low: fixed(bar.low), close: fixed(bar.close) }
    }
}

/// What a price counts in.
const NANO: i128 = 1_000_000_000;

/// The longest window, in bars.
const LENGTH_MAX: usize = 10_000;

/// An indicator with its lengths in bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indicator {
    /// The mean of the last closes.
    Sma(usize),
    /// The exponential average of closes, alpha = 2 / (n + 1), from the mean of the first n on.
    Ema(usize),
    /// The relative strength index of Wilder 1978: 100 x U / (U + D), of Wilder's averages of gains and
    /// losses from close to close. Null where both averages leave as zero.
    Rsi(usize),
    /// The average true range of Wilder 1978: Wilder's average of the greatest of high - low,
    /// |high - close before| and |low - close before|; of the first bar, high - low.
    Atr(usize),
    /// Bollinger's bands (Bollinger on Bollinger Bands, 2001): the mean of the last closes, two population
    /// deviations above and below it, and the width between these over the mean.
    Bollinger(usize),
    /// Appel's moving average convergence-divergence (1979): the fast EMA of closes less the slow one;
    /// the EMA of that line as its signal; the line less its signal as histogram.
    Macd { fast: usize, slow: usize, signal: usize },
}

/// How the names of the config are made up, for hints.
pub(super) const FORMS: &str =
    "sma_20, ema_20, rsi_14, atr_14, bollinger_20, macd_12_26_9: a name and lengths in bars";

impl Indicator {
    /// Reads `rsi_14`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split('_');
        let name = parts.next().unwrap_or_default();
        let unknown = || format!("no indicator is named `{text}`");
        let length = |part: &str| part.parse().ok().filter(|n| part == usize::to_string(n));
        let lengths: Vec<usize> = parts.map(length).collect::<Option<_>>().ok_or_else(unknown)?;
        let indicator = match (name, &lengths[..]) {
            ("sma", [n]) => Self::Sma(*n),
            ("ema", [n]) => Self::Ema(*n),
            ("rsi", [n]) => Self::Rsi(*n),
            ("atr", [n]) => Self::Atr(*n),
            ("bollinger", [n]) => Self::Bollinger(*n),
            ("macd", [fast, slow, _]) if fast >= slow => {
                return Err(format!("`{text}`: the fast average must be the shorter one"));
            }
            ("macd", &[fast, slow, signal]) => Self::Macd { fast, slow, signal },
            _ => return Err(unknown()),
        };
        if lengths.iter().all(|length| (1..=LENGTH_MAX).contains(length)) {
            return Ok(indicator);
        }
        Err(format!("`{text}`: lengths are from 1 to {LENGTH_MAX} bars"))
    }

    /// How many columns it has.
    pub(super) const fn n_columns(self) -> usize {
        match self {
            Self::Sma(_) | Self::Ema(_) | Self::Rsi(_) | Self::Atr(_) => 1,
            Self::Bollinger(_) => 4,
            Self::Macd { .. } => 3,
        }
    }

    /// The names of its columns, given its own.
    pub(super) fn columns(self, name: &str) -> Vec<String> {
        let with = |ends: &[&str]| ends.iter().map(|end| format!("{name}{end}")).collect();
        match self {
            Self::Sma(_) | Self::Ema(_) | Self::Rsi(_) | Self::Atr(_) => with(&[""]),
            Self::Bollinger(_) => with(&["_middle", "_upper", "_lower", "_width"]),
            Self::Macd { .. } => with(&["", "_signal", "_histogram"]),
        }
    }

    /// The state before the first bar.
    pub(super) fn start(self) -> State {
        match self {
            Self::Sma(n) => State::Sma(Window::new(n)),
            Self::Ema(n) => State::Ema(Recursive::exponential(n)),
            Self::Rsi(n) => State::Rsi {
                before: None,
                gains: Recursive::wilder(n),
                losses: Recursive::wilder(n),
            },
            Self::Atr(n) => State::Atr { before: None, ranges: Recursive::wilder(n) },
            Self::Bollinger(n) => State::Bollinger(Window::new(n), n),
            Self::Macd { fast, slow, signal } => {
                let [fast, slow, signal] = [fast, slow, signal].map(Recursive::exponential);
                State::Macd { fast, slow, signal }
            }
        }
    }
}

/// What an indicator has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Sma(Window),
    Ema(Recursive),
    Rsi { before: Option<i128>, gains: Recursive, losses: Recursive },
    Atr { before: Option<i128>, ranges: Recursive },
    Bollinger(Window, usize),
    Macd { fast: Recursive, slow: Recursive, signal: Recursive },
}

/// The values of an indicator's columns; those that aren't defined yet, or aren't there, are `None`.
pub(super) type Values = [Option<i128>; 4];

impl State {
    /// Goes past a bar. `None` where a number doesn't fit.
    pub(super) fn step(&mut self, bar: &Prices) -> Option<Values> {
        let one = |value| [value, None, None, None];
        match self {
            Self::Sma(window) => {
                let is_full = window.take(bar.close)?;
                Some(one(is_full.then(|| window.mean())))
            }
            Self::Ema(average) => {
                average.take(bar.close)?;
                Some(one(average.average()))
            }
            Self::Rsi { before, gains, losses } => {
                let Some(before) = before.replace(bar.close) else { return Some(one(None)) };
                let change = bar.close.checked_sub(before)?;
                gains.take(change.max(0))?;
                losses.take(change.checked_neg()?.max(0))?;
                match gains.average().zip(losses.average()) {
                    None => Some(one(None)),
                    Some((up, down)) if shows_as_zero(up) && shows_as_zero(down) => Some(one(None)),
                    Some((up, down)) => Some(one(Some(strength(up, down)?))),
                }
            }
            Self::Atr { before, ranges } => {
                ranges.take(true_range(bar, before.replace(bar.close))?)?;
                Some(one(ranges.average()))
            }
            Self::Bollinger(window, length) => {
                if window.take(bar.close)? {
                    bands(window, *length)
                } else {
                    Some(one(None))
                }
            }
            Self::Macd { fast, slow, signal } => {
                fast.take(bar.close)?;
                slow.take(bar.close)?;
                let Some((fast, slow)) = fast.average().zip(slow.average()) else {
                    return Some(one(None));
                };
                let line = fast.checked_sub(slow)?;
                signal.take(line)?;
                let Some(signal) = signal.average() else { return Some(one(Some(line))) };
                Some([Some(line), Some(signal), Some(line.checked_sub(signal)?), None])
            }
        }
    }
}

/// 100 x up / (up + down): the same as 100 - 100 / (1 + up / down), and defined where `down` is zero.
fn strength(up: i128, down: i128) -> Option<i128> {
    mul_div_half_even(100 * ONE, up, up.checked_add(down)?)
}

/// The greatest of the bar's range and of its reach from the close before.
fn true_range(bar: &Prices, before: Option<i128>) -> Option<i128> {
    let range = bar.high.checked_sub(bar.low)?;
    let Some(before) = before else { return Some(range) };
    let reach = |price: i128| price.checked_sub(before)?.checked_abs();
    Some(range.max(reach(bar.high)?).max(reach(bar.low)?))
}

/// Middle, upper, lower, width. The deviation is the root of the exact variance times length squared, to
/// the nearest 1e-18, over the length; the width is null where the mean is zero.
fn bands(window: &Window, length: usize) -> Option<Values> {
    let middle = window.mean();
    let spread = root(window.spread()?.max(I256::ZERO).unsigned_abs());
    let twice = i128::try_from(spread).ok()?.checked_mul(2)?;
    let reach = mul_div_half_even(twice, 1, i128::try_from(length).ok()?)?;
    let width = match middle {
        0 => None,
        middle => Some(mul_div_half_even(reach.checked_mul(2)?, ONE, middle)?),
    };
    let (upper, lower) = (middle.checked_add(reach)?, middle.checked_sub(reach)?);
    Some([Some(middle), Some(upper), Some(lower), width])
}
