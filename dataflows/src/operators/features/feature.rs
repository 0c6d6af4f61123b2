//! The features: their names, what they need, and how each is made of a window's sums.
//!
//! What is counted and added up leaves as it is. What is divided leaves as the float next to the exact
//! quotient, and roots are those of such floats as IEEE 754 says, so that the bits depend on the window's
//! ticks alone.

use ethnum::I256;
use types::relations::RelationKind;
use types::schema::Kind;
use types::value::Float;
use types::{Decimal, Money, Size, Span, Value};

use super::history::Held;
use super::logarithm::FRACTION_BITS;
use super::quotient::{float, power_of_two, quotient};
use super::sums::Sums;
use super::wallets::Wallets;
use super::window::{Extremes, Window};

/// Declares the features: name, kind of column, and what it says, which users read as well.
macro_rules! features {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal: $kind:expr;)*) => {
        /// A feature.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Feature {
            $($(#[doc = $doc])* $name,)*
        }

        impl Feature {
            /// All of them, in the order in which they stand in rows by default.
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it says, in a sentence.
            fn help(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim(),)* }
            }

            /// The kind of its columns.
            pub(super) const fn kind(self) -> Kind {
                match self { $(Self::$name => $kind,)* }
            }
        }
    };
}

features! {
    /// How many events the window holds.
    Count = "count": Kind::Count;
    /// What was traded.
    Volume = "volume": Kind::Size;
    /// What was bought less what was sold.
    SignedVolume = "signed_volume": Kind::Size;
    /// What it was worth.
    Notional = "notional": Kind::Money;
    /// Notional over volume.
    Vwap = "vwap": Kind::Float;
    /// Signed volume over volume: order-flow imbalance.
    Imbalance = "imbalance": Kind::Float;
    /// The mean of the log returns: each is between two events of the key and one asset, and the later one's.
    ReturnMean = "return_mean": Kind::Float;
    /// The standard deviation of the log returns, of a sample: over n - 1.
    ReturnStd = "return_std": Kind::Float;
    /// The root of the sum of the squared log returns: realised volatility.
    Volatility = "volatility": Kind::Float;
    /// By how many standard deviations the last return differs from the mean.
    ReturnZ = "return_z": Kind::Float;
    /// The sum of the log returns: what the window has gained.
    Momentum = "momentum": Kind::Float;
    /// The highest price less the lowest.
    Range = "range": Kind::Number;
    /// The mean of ask less bid.
    Spread = "spread": Kind::Float;
    /// (bids - asks) / (bids + asks), of the sums of their sizes; null while one of them isn't told.
    SizeImbalance = "size_imbalance": Kind::Float;
    /// How many events come in a length of time, over that of the longest window.
    RateRatio = "rate_ratio": Kind::Float;
    /// How much of the window's length lies behind the key's first event of all: 1 where all of it does.
    Covered = "covered": Kind::Float;
    /// How many wallets there are; about how many, where they are more than are counted exactly.
    Wallets = "wallets": Kind::Count;
    /// Whether the number of wallets is exact.
    WalletsExact = "wallets_exact": Kind::Bool;
    /// The share of the largest wallet in the volume, where their number is exact.
    LargestShare = "largest_share": Kind::Float;
    /// The log return of the last event; null where that has none: the first of its asset, or a price that
    /// isn't above zero.
    LastReturn = "last_return": Kind::Float;
    /// Seconds since the key's last event; in rows at events, since the one before.
    SinceLast = "since_last": Kind::Number;
    /// Seconds since the key's first event of all, while they are fewer than the longest window's: of older
    /// keys nothing changes where a still earlier one comes late.
    Age = "age": Kind::Number;
}

impl Feature {
    /// Whether it is of the key's last tick alone: one column, whatever the windows.
    pub(super) const fn is_of_key(self) -> bool {
        matches!(self, Self::LastReturn | Self::SinceLast | Self::Age)
    }

    /// Whether rows of a kind can give it.
    pub(super) const fn is_of(self, input: RelationKind) -> bool {
        match self {
            Self::Count
            | Self::ReturnMean
            | Self::ReturnStd
            | Self::Volatility
            | Self::ReturnZ
            | Self::Momentum
            | Self::RateRatio
            | Self::Covered
            | Self::LastReturn
            | Self::SinceLast
            | Self::Age => true,
            Self::Volume
            | Self::SignedVolume
            | Self::Notional
            | Self::Vwap
            | Self::Imbalance
            | Self::Range => !matches!(input, RelationKind::Quotes),
            Self::Spread | Self::SizeImbalance => matches!(input, RelationKind::Quotes),
            Self::Wallets | Self::WalletsExact | Self::LargestShare => {
                matches!(input, RelationKind::Fills)
            }
        }
    }

    /// What it says, and what it is made of, for those who choose.
    pub(super) fn described(self) -> String {
        let inputs = [RelationKind::Fills, RelationKind::Trades, RelationKind::Quotes];
        let of = inputs.into_iter().filter(|input| self.is_of(*input)).map(RelationKind::name);
        let columns = if self.is_of_key() { "one column" } else { "a column a window" };
        format!("{} Of {}, {columns}.", self.help(), of.collect::<Vec<_>>().join(", "))
    }

    /// Whether it is never null.
    pub(super) const fn is_always_there(self) -> bool {
        matches!(self, Self::Count | Self::Covered | Self::Wallets | Self::WalletsExact)
    }
}

/// A window and what stands beside it.
pub(super) struct Seen<'a> {
    pub(super) window: &'a Window,
    pub(super) span: Span,
    /// The longest window, and how many ticks are in it.
    pub(super) longest: (Span, u64),
    /// The key's last tick.
    pub(super) last: &'a Held,
}

impl Seen<'_> {
    /// A feature of the window; null where it isn't defined or doesn't fit its column.
    pub(super) fn value(&self, feature: Feature) -> Value {
        let Sums { n, amounts: [first, second], signed, .. } = self.window.sums;
        let has_values = self.window.sums.n_unfit == 0;
        match feature {
            Feature::Count => Value::from(n),
            Feature::Volume => size(first),
            Feature::SignedVolume => size(signed),
            Feature::Notional => {
                let notional = i128::try_from(second).ok().filter(|_| has_values);
                notional.map(Money::from_raw).into()
            }
            Feature::Vwap if !has_values => Value::Null,
            Feature::Vwap => shown(quotient(second, first * I256::from(NANO))),
            Feature::Imbalance => shown(quotient(signed, first)),
            Feature::ReturnMean => shown(self.mean()),
            Feature::ReturnStd => shown(self.deviation()),
            Feature::Volatility => shown(self.volatility()),
            Feature::ReturnZ => shown(self.z()),
            Feature::Momentum => {
                let has_returns = self.window.sums.n_returns > 0;
                let sum = scaled(float(I256::from(self.window.sums.returns)));
                shown(has_returns.then_some(sum))
            }
            Feature::Range => {
                let range = self.window.extremes.as_ref().and_then(Extremes::range);
                // Of levels, which are prices twice.
                range.map(|twice| Decimal::new(twice / 2, 9)).into()
            }
            Feature::Spread => shown(quotient(
                I256::from(self.window.sums.spread),
                I256::from(n) * I256::from(NANO),
            )),
            Feature::SizeImbalance if !has_values => Value::Null,
            Feature::SizeImbalance => shown(quotient(first - second, first + second)),
            Feature::RateRatio => shown(self.rate_ratio()),
            Feature::Wallets => Value::from(self.window.wallets.as_ref().map_or(0, Wallets::len)),
            Feature::WalletsExact => {
                Value::Bool(self.window.wallets.as_ref().is_none_or(Wallets::is_exact))
            }
            Feature::LargestShare => {
                let largest = self.window.wallets.as_ref().and_then(Wallets::largest);
                shown(largest.and_then(|largest| quotient(largest, first)))
            }
            Feature::Covered | Feature::LastReturn | Feature::SinceLast | Feature::Age => {
                Value::Null
            }
        }
    }

    fn mean(&self) -> Option<f64> {
        let Sums { n_returns, returns, .. } = self.window.sums;
        quotient(I256::from(returns), I256::from(n_returns)).map(scaled)
    }

    /// The root of (n x sum of squares - square of sum) / (n x (n - 1)).
    fn deviation(&self) -> Option<f64> {
        let Sums { n_returns, returns, squares, .. } = self.window.sums;
        let n = I256::from(n_returns);
        let returns = I256::from(returns);
        let variance = quotient(n * squares - returns * returns, n * (n - I256::ONE))?;
        // The root of 2^-112 is 2^-56.
        (n_returns > 1).then(|| scaled(variance.sqrt()))
    }

    fn volatility(&self) -> Option<f64> {
        let Sums { n_returns, squares, .. } = self.window.sums;
        (n_returns > 0).then(|| scaled(float(squares).sqrt()))
    }

    fn z(&self) -> Option<f64> {
        let Sums { n_returns, returns, .. } = self.window.sums;
        let last = I256::from(self.last.log_return.filter(|_| self.window.sums.n > 0)?);
        let n = I256::from(n_returns);
        let above = quotient(n * last - I256::from(returns), n).map(scaled)?;
        self.deviation().filter(|deviation| *deviation > 0.0).map(|deviation| above / deviation)
    }

    fn rate_ratio(&self) -> Option<f64> {
        let (longest, n_longest) = self.longest;
        let n = I256::from(self.window.sums.n) * I256::from(longest.nanos());
        quotient(n, I256::from(n_longest) * I256::from(self.span.nanos()))
    }
}

/// The last log return.
pub(super) fn last_return(last: &Held) -> Value {
    shown(last.log_return.map(|log_return| scaled(float(I256::from(log_return)))))
}

/// The quotient of two lengths of time.
pub(super) fn ratio(nanos: i64, of: i64) -> Value {
    shown(quotient(I256::from(nanos), I256::from(of)))
}

const NANO: i64 = 1_000_000_000;

/// A size, null where it doesn't fit.
fn size(nano: I256) -> Value {
    i128::try_from(nano).ok().and_then(Size::from_nano).into()
}

fn shown(number: Option<f64>) -> Value {
    number.and_then(Float::new).into()
}

/// A return in units of 2^-56 as it is; exact.
fn scaled(number: f64) -> f64 {
    number * power_of_two(-i64::from(FRACTION_BITS))
}
