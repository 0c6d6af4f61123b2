//! Rows as few bytes: what a row shares with the one before it isn't written, and what counts up is
//! written as the difference. Numbers are in groups of seven bits, the lowest first (LEB128), with the sign
//! in the lowest bit.

use types::relations::{Fill, FillKind, Liquidity, Quote, Settlement, Side, Trade};
use types::{AssetId, EventId, Money, Price, Row, Size, Sym, VenueTime};

/// A row that is written beside the one before it.
pub(super) trait Narrow: Sized {
    /// Writes it behind others.
    fn write(&self, before: Option<&Self>, out: &mut Vec<u8>);

    /// Reads what [`Narrow::write`] wrote, beside the same row; `None` where that isn't there.
    fn read(bytes: &mut &[u8], before: Option<&Self>) -> Option<Self>;
}

/// Rows by their columns: which of them differ from the row before, a bit each, then those.
macro_rules! narrow {
    ($row:ident { $($column:ident),* $(,)? }) => {
        impl Narrow for $row {
            #[inline]
            fn write(&self, before: Option<&Self>, out: &mut Vec<u8>) {
                let (mut differing, mut bit) = (0_u64, 1_u64);
                $(
                    if before.is_none_or(|before| before.$column != self.$column) {
                        differing |= bit;
                    }
                    bit <<= 1;
                )*
                put(differing, out);
                bit = 1;
                $(
                    if differing & bit != 0 {
                        self.$column.put(before.map(|before| &before.$column), out);
                    }
                    bit <<= 1;
                )*
                debug_assert!(bit > 1, "a row has columns");
            }

            #[inline]
            fn read(bytes: &mut &[u8], before: Option<&Self>) -> Option<Self> {
                let differing = take(bytes)?;
                let mut bit = 1_u64;
                $(
                    let $column = if differing & bit == 0 {
                        before?.$column
                    } else {
                        Column::take(bytes, before.map(|before| &before.$column))?
                    };
                    bit <<= 1;
                )*
                (differing < bit).then_some(Self { $($column),* })
            }
        }
    };
}

// Those that differ most often come first, so that their bits are few.
narrow!(Fill {
    wallet,
    asset,
    id,
    price,
    size,
    event_time,
    seq,
    side,
    fee,
    kind,
    liquidity,
    notional,
    order_id,
    revision,
    market,
    fee_asset,
    fee_counts,
    start_qty,
});
narrow!(Trade {
    asset,
    id,
    price,
    size,
    event_time,
    seq,
    side,
    maker_wallet,
    taker_wallet,
    market,
    revision,
});
narrow!(Quote { asset, bid, bid_size, ask, ask_size, event_time, seq, market });
narrow!(Settlement { asset, payout, event_time, revision });

/// A declared relation's rows hold texts of any length; each is written whole.
impl Narrow for Row {
    fn write(&self, _before: Option<&Self>, out: &mut Vec<u8>) {
        let written = postcard::to_extend(self, std::mem::take(out));
        *out = written.expect("numbers and texts always encode");
    }

    fn read(bytes: &mut &[u8], _before: Option<&Self>) -> Option<Self> {
        let (row, rest) = postcard::take_from_bytes(bytes).ok()?;
        *bytes = rest;
        Some(row)
    }
}

/// A value of a column, written where it differs from the one before.
trait Column: Sized {
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>);

    fn take(bytes: &mut &[u8], before: Option<&Self>) -> Option<Self>;
}

/// Columns that count up.
impl Column for u64 {
    #[inline]
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let difference = self.wrapping_sub(before.copied().unwrap_or(0));
        put(signed(difference.cast_signed()), out);
    }

    #[inline]
    fn take(bytes: &mut &[u8], before: Option<&Self>) -> Option<Self> {
        let difference = unsigned(take(bytes)?).cast_unsigned();
        Some(before.copied().unwrap_or(0).wrapping_add(difference))
    }
}

impl Column for VenueTime {
    #[inline]
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let nanos = |time: &Self| time.nanos().cast_unsigned();
        nanos(self).put(before.map(nanos).as_ref(), out);
    }

    #[inline]
    fn take(bytes: &mut &[u8], before: Option<&Self>) -> Option<Self> {
        let nanos = |time: &Self| time.nanos().cast_unsigned();
        let taken = u64::take(bytes, before.map(nanos).as_ref())?;
        Some(Self::from_nanos(taken.cast_signed()))
    }
}

impl Column for EventId {
    #[inline]
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        let difference = self.raw().wrapping_sub(before.map_or(0, |before| before.raw()));
        put_wide(difference.cast_signed(), out);
    }

    #[inline]
    fn take(bytes: &mut &[u8], before: Option<&Self>) -> Option<Self> {
        let difference = take_wide(bytes)?.cast_unsigned();
        let before = before.map_or(0, |before| before.raw());
        Some(Self::from_raw(before.wrapping_add(difference)))
    }
}

/// Columns whose values say nothing of the next one's.
macro_rules! column {
    ($type:ty, |$value:ident, $out:ident| $put:expr, |$bytes:ident| $take:expr) => {
        impl Column for $type {
            #[inline]
            fn put(&self, _before: Option<&Self>, $out: &mut Vec<u8>) {
                let $value = *self;
                $put
            }

            #[inline]
            fn take($bytes: &mut &[u8], _before: Option<&Self>) -> Option<Self> {
                $take
            }
        }
    };
}

column!(bool, |value, out| put(value.into(), out), |bytes| match take(bytes)? {
    0 => Some(false),
    1 => Some(true),
    _ => None,
});
column!(Sym, |value, out| put(value.index().into(), out), |bytes| {
    let index = u32::try_from(take(bytes)?).ok().filter(|index| *index < u32::MAX);
    index.map(Self::from_index)
});
column!(AssetId, |value, out| put(value.0.into(), out), |bytes| {
    Some(Self(u32::try_from(take(bytes)?).ok()?))
});
column!(Side, |value, out| put(value.place(), out), |bytes| place(bytes, Self::from_place));
column!(FillKind, |value, out| put(value.place(), out), |bytes| place(bytes, Self::from_place));
column!(Liquidity, |value, out| put(value.place(), out), |bytes| place(bytes, Self::from_place));
column!(Price, |value, out| put(signed(value.raw()), out), |bytes| {
    Self::from_nano(unsigned(take(bytes)?).into())
});
column!(Size, |value, out| put_wide(value.raw(), out), |bytes| Self::from_nano(take_wide(bytes)?));
column!(Money, |value, out| put_money(value.raw(), out), |bytes| take_money(bytes));

impl<T: Column + Copy> Column for Option<T> {
    #[inline]
    fn put(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(before.and_then(Self::as_ref), out);
        }
    }

    #[inline]
    fn take(bytes: &mut &[u8], before: Option<&Self>) -> Option<Self> {
        match take_byte(bytes)? {
            0 => Some(None),
            1 => Some(Some(T::take(bytes, before.and_then(Self::as_ref))?)),
            _ => None,
        }
    }
}

/// Billionths in one unit of 1e-18.
const NANO: i64 = 1_000_000_000;

/// Money is mostly whole billionths: those times two, else a one and then all of it.
#[inline]
fn put_money(raw: i128, out: &mut Vec<u8>) {
    match i64::try_from(raw) {
        Ok(raw) if raw % NANO == 0 => put(signed(raw / NANO) << 1, out),
        _ => {
            put(1, out);
            put_wide(raw, out);
        }
    }
}

#[inline]
fn take_money(bytes: &mut &[u8]) -> Option<Money> {
    match take(bytes)? {
        1 => take_wide(bytes).map(Money::from_raw),
        nanos if nanos & 1 == 0 => {
            unsigned(nanos >> 1).checked_mul(NANO).map(|raw| Money::from_raw(raw.into()))
        }
        _ => None,
    }
}

/// The word that stands at a place.
fn place<T>(bytes: &mut &[u8], word: impl Fn(u8) -> Option<T>) -> Option<T> {
    word(u8::try_from(take(bytes)?).ok()?)
}

/// With the sign in the lowest bit.
#[inline]
const fn signed(n: i64) -> u64 {
    (n << 1 ^ n >> 63).cast_unsigned()
}

#[inline]
const fn unsigned(n: u64) -> i64 {
    (n >> 1).cast_signed() ^ -(n & 1).cast_signed()
}

/// Writes and reads numbers of a type.
macro_rules! groups_of_seven {
    ($number:ty, $put:ident, $take:ident) => {
        /// Writes a number.
        #[inline]
        pub(super) fn $put(mut n: $number, out: &mut Vec<u8>) {
            while n >= 0x80 {
                out.push(n.to_le_bytes()[0] | 0x80);
                n >>= 7;
            }
            out.push(n.to_le_bytes()[0]);
        }

        /// Reads a number.
        #[inline]
        pub(super) fn $take(bytes: &mut &[u8]) -> Option<$number> {
            let mut n = 0;
            for shift in (0..<$number>::BITS).step_by(7) {
                let byte = take_byte(bytes)?;
                let bits = <$number>::from(byte & 0x7f);
                // What is shifted out must have been nothing.
                if bits << shift >> shift != bits {
                    return None;
                }
                n |= bits << shift;
                if byte < 0x80 {
                    return Some(n);
                }
            }
            None
        }
    };
}

groups_of_seven!(u64, put, take);
groups_of_seven!(u128, put_u128, take_u128);

/// Writes a number of up to 128 bits: as [`put`] where it fits, so that small ones are as short.
#[inline]
fn put_wide(n: i128, out: &mut Vec<u8>) {
    match i64::try_from(n) {
        Ok(n) => put(signed(n), out),
        Err(_) => put_u128((n << 1 ^ n >> 127).cast_unsigned(), out),
    }
}

#[inline]
fn take_wide(bytes: &mut &[u8]) -> Option<i128> {
    take_u128(bytes).map(|n| (n >> 1).cast_signed() ^ -(n & 1).cast_signed())
}

#[inline]
pub(super) fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*byte)
}
