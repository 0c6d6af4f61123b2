//! What the rows of a view are like: its key, its windows, its columns.

use std::borrow::Cow;

use types::{AssetId, Column, Decimal, EventId, Kind, Names, Row, Schema, ShortText, Span, Sym};
use types::{Text, Value, VenueTime};

use super::feature::{Feature, Seen, last_return, ratio};
use super::history::Held;
use super::tick::Ticked;
use super::window::{Shape, Windows};
use crate::route::{route, route_asset, route_wallet};

/// What tells keys apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Asset,
    Wallet,
    Market,
    WalletAsset,
}

/// A key: its asset, its wallet or market, as far as [`By`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    asset: Option<AssetId>,
    name: Option<Sym>,
}

impl By {
    /// Whether the wallet is part of the key.
    pub(super) const fn has_wallet(self) -> bool {
        matches!(self, Self::Wallet | Self::WalletAsset)
    }

    /// The key's columns.
    fn columns(self) -> Vec<Column> {
        let columns: &[(&'static str, Kind)] = match self {
            Self::Asset => &[("venue", Kind::Name), ("asset", Kind::Text)],
            Self::Wallet => &[("wallet", Kind::Text)],
            Self::Market => &[("market", Kind::Name)],
            Self::WalletAsset => {
                &[("venue", Kind::Name), ("wallet", Kind::Text), ("asset", Kind::Text)]
            }
        };
        columns.iter().map(|(name, kind)| column((*name).into(), *kind, false)).collect()
    }

    /// The key of a row; `None` where it has no market.
    #[inline]
    pub(super) fn key<R: Ticked>(self, row: &R) -> Option<Key> {
        let asset = Some(row.asset());
        Some(match self {
            Self::Asset => Key { asset, name: None },
            Self::Wallet => Key { asset: None, name: Some(row.wallet()?) },
            Self::Market => Key { asset: None, name: Some(row.market()?) },
            Self::WalletAsset => Key { asset, name: Some(row.wallet()?) },
        })
    }
}

impl Key {
    /// Which worker it belongs to.
    #[inline]
    pub(super) fn route(self) -> u64 {
        match (self.name, self.asset) {
            (Some(name), Some(asset)) => route(name, asset),
            (Some(name), None) => route_wallet(name),
            (None, asset) => route_asset(asset.unwrap_or_default()),
        }
    }

    /// The values of its columns.
    pub(super) fn values(self, names: &Names, values: &mut Vec<Value>) {
        let asset = self.asset.map(|asset| (names.venue(asset), names.asset(asset)));
        let text = |sym: Sym| Value::from(names.text(sym));
        values.extend(asset.map(|(venue, _)| text(venue)));
        values.extend(self.name.map(text));
        values.extend(asset.map(|(_, asset)| text(asset)));
    }
}

/// When rows are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emit {
    /// At each event.
    Event,
    /// At each step of a grid.
    Step(Span),
}

/// What the rows of a view are like.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) by: By,
    pub(super) emit: Emit,
    pub(super) shape: Shape,
    /// How the config writes the lengths of the windows.
    pub(super) window_names: Vec<String>,
    pub(super) features: Vec<Feature>,
}

/// Where a row stands beside its key.
pub(super) struct At {
    pub(super) time: VenueTime,
    /// The event, with [`Emit::Event`].
    pub(super) event: Option<Event>,
    /// When the event before was.
    pub(super) previous: Option<VenueTime>,
    /// When the key's first event was.
    pub(super) first: VenueTime,
}

/// What tells a row's event from others of its time.
pub(super) struct Event {
    pub(super) id: u128,
    pub(super) seq: u64,
}

impl Layout {
    /// The columns: the key's, the features of the last event, then each feature of each window.
    pub(super) fn schema(&self) -> Schema {
        let mut columns = self.by.columns();
        let time = columns.len();
        columns.push(column("time".into(), Kind::Time, false));
        if self.emit == Emit::Event {
            columns.push(column("id".into(), Kind::Text, false));
        }
        let n_key = columns.len();
        if self.emit == Emit::Event {
            // Who orders rows needs it: ids of one time don't come in their order.
            columns.push(column("seq".into(), Kind::Count, false));
        }
        for feature in &self.features {
            let (name, kind) = (feature.name(), feature.kind());
            let is_null = !feature.is_always_there();
            if feature.is_of_key() {
                columns.push(column(name.into(), kind, is_null));
                continue;
            }
            let windows = self.window_names.iter();
            let named = windows.map(|window| format!("{name}_{window}"));
            columns.extend(named.map(|name| column(name.into(), kind, is_null)));
        }
        Schema { columns, n_key, time: Some(time) }
    }

    /// The row of a key's windows, behind the values of the key's columns; `values` is room that is left
    /// empty.
    pub(super) fn row(
        &self,
        (key, values): (&[Value], &mut Vec<Value>),
        at: &At,
        (windows, last): (&Windows, &Held),
        names: &Names,
    ) -> Row {
        values.push(Value::from(at.time));
        if let Some(event) = &at.event {
            values.extend([Value::Text(id_text(event.id, names)), Value::from(event.seq)]);
        }
        let spans = self.shape.spans.iter();
        let longest = spans.zip(&windows.windows).map(|(span, window)| (*span, window.sums.n));
        let longest = longest.max().unwrap_or((LEAST, 0));
        for feature in &self.features {
            match feature {
                Feature::LastReturn => values.push(last_return(last)),
                Feature::SinceLast => values.push(seconds(at.previous, at.time)),
                Feature::Age => values.push(self.age(at)),
                Feature::Covered => {
                    values.extend(self.shape.spans.iter().map(|span| self.covered(*span, at)));
                }
                feature => {
                    for (window, span) in windows.windows.iter().zip(&self.shape.spans) {
                        let seen = Seen { window, span: *span, longest, last };
                        values.push(seen.value(*feature));
                    }
                }
            }
        }
        Row(key.iter().cloned().chain(values.drain(..)).collect())
    }

    /// For how long the key has been there; null where that is as long as the longest window.
    fn age(&self, at: &At) -> Value {
        let is_young = self.shape.longest().is_some_and(|longest| at.time < at.first.plus(longest));
        seconds(is_young.then_some(at.first), at.time)
    }

    /// How much of a window lies behind the key's first event.
    fn covered(&self, span: Span, at: &At) -> Value {
        let start = match self.emit {
            _ if !self.shape.is_tumbling => at.time.less(span.nanos()),
            Emit::Event => self.shape.first(span, at.time),
            Emit::Step(_) => self.shape.first(span, at.time.less(1)),
        };
        let nanos = at.time.nanos().saturating_sub(start.max(at.first).nanos());
        ratio(nanos, span.nanos())
    }
}

/// The shortest length.
pub(super) const LEAST: Span = match Span::new(1) {
    Some(span) => span,
    None => unreachable!(),
};

fn column(name: Cow<'static, str>, kind: Kind, nullable: bool) -> Column {
    Column { name, kind, nullable }
}

/// Seconds from an event to a row.
fn seconds(from: Option<VenueTime>, to: VenueTime) -> Value {
    let nanos = from.map(|from| i128::from(to.nanos()) - i128::from(from.nanos()));
    nanos.map(|nanos| Decimal::new(nanos, 9)).into()
}

/// The text of an id. Most are short numbers, which nothing need share.
fn id_text(id: u128, names: &Names) -> Text {
    match short_number(id) {
        Some(text) => Text::Short(text),
        None => names.id_text(EventId::from_raw(id)),
    }
}

/// The digits of a number that a [`ShortText`] holds.
fn short_number(id: u128) -> Option<ShortText> {
    let mut rest = u64::try_from(id).ok().filter(|id| *id < 10u64.pow(DIGITS))?;
    let mut digits = [0; ShortText::MAX_BYTES];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    ShortText::new(std::str::from_utf8(&digits[first..]).unwrap_or_default())
}

/// As many as [`ShortText::MAX_BYTES`].
const DIGITS: u32 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers_are_their_digits() {
        for id in [0, 7, 10, 1_000_000, 99_999_999_999] {
            assert_eq!(short_number(id).map(|text| text.to_string()), Some(id.to_string()));
        }
        assert_eq!(short_number(100_000_000_000), None);
        assert_eq!(short_number(u128::MAX), None);
    }
}
