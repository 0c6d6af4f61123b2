//! Times: nanoseconds since 1970, UTC. A venue's time and our receive time never mix.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::spell;

/// When something happened at the venue: data, never the dataflow's time.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct VenueTime(i64);

/// When we got it. Recorded in the log; nothing else reads the clock.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ReceiveTime(pub i64);

/// A length of time in nanoseconds, above zero: a bar's size, a snapshot's step, a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span(i64);

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;
const WEEK: i64 = 7 * DAY;
/// 1970-01-01 was a Thursday; weeks run from Monday, so the grid of weeks starts 4 days later.
const FIRST_MONDAY: i64 = 4 * DAY;

impl VenueTime {
    /// Before everything.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything: the watermark once all finite sources have ended.
    pub const END: Self = Self(i64::MAX);
    /// 1990-01-01: what is earlier goes to quarantine.
    pub const EARLIEST: Self = Self(631_152_000_000_000_000);
    /// 2100-01-01: what isn't earlier goes to quarantine.
    pub const LATEST: Self = Self(4_102_444_800_000_000_000);

    /// Makes a time from nanoseconds since 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since 1970.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339: date, time and offset; `None` for what isn't, or doesn't fit 64 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let time: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(time.as_nanosecond()).ok().map(Self)
    }

    /// Whether an event may bear this time.
    pub fn is_in_range(self) -> bool {
        (Self::EARLIEST..Self::LATEST).contains(&self)
    }

    /// This time less a length, held at [`VenueTime::MIN`].
    #[must_use]
    pub const fn less(self, nanos: i64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }

    /// This time and a length, held at [`VenueTime::END`].
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The start of the grid's bucket that holds this time. Weeks (and their multiples) run from
    /// Monday, all else from 1970; the grid is UTC.
    #[must_use]
    pub const fn bucket(self, span: Span) -> Self {
        let origin = if span.0 % WEEK == 0 { FIRST_MONDAY } else { 0 };
        let offset = self.0.saturating_sub(origin).rem_euclid(span.0);
        Self(self.0.saturating_sub(offset))
    }

    /// The first step of the grid after this time: the first snapshot that covers it.
    #[must_use]
    pub const fn next_step(self, span: Span) -> Self {
        self.bucket(span).plus(span)
    }
}

impl Span {
    /// Makes a length; `None` unless above zero.
    pub const fn new(nanos: i64) -> Option<Self> {
        if nanos > 0 { Some(Self(nanos)) } else { None }
    }

    /// Nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Reads `"5m"`, `"1h"`, `"100ms"`, `"1h30m"`: units w, d, h, m, s, ms, us, ns.
    pub fn parse(text: &str) -> Option<Self> {
        Self::new(parse_nanos(text)?)
    }
}

/// Reads a length that may be zero (`"0s"`); see [`Span::parse`].
pub fn parse_nanos(text: &str) -> Option<i64> {
    let (mut rest, mut total) = (text.as_bytes(), 0i64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let n_digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, tail) = rest.split_at(n_digits);
        let n_unit = tail.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let (unit, tail) = tail.split_at(n_unit);
        let factor = match unit {
            b"w" => WEEK,
            b"d" => DAY,
            b"h" => 3_600_000_000_000,
            b"m" => 60_000_000_000,
            b"s" => 1_000_000_000,
            b"ms" => 1_000_000,
            b"us" => 1_000,
            b"ns" => 1,
            _ => return None,
        };
        let number: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = tail;
    }
    Some(total)
}

/// RFC 3339 with 9 digits and `Z`.
impl fmt::Display for VenueTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = spell::quoted_time(*self);
        let text = std::str::from_utf8(&quoted).map_err(|_| fmt::Error)?;
        f.write_str(text.trim_matches('"'))
    }
}

/// The largest unit that divides it: `5m`, `1h`, `90s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 8] = [
            (WEEK, "w"),
            (DAY, "d"),
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ];
        let (factor, unit) =
            UNITS.iter().find(|(factor, _)| self.0 % factor == 0).unwrap_or(&(1, "ns"));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> VenueTime {
        let time: jiff::Timestamp = text.parse().unwrap();
        VenueTime::from_nanos(i64::try_from(time.as_nanosecond()).unwrap())
    }

    #[test]
    fn buckets_are_utc_and_weeks_start_on_monday() {
        let time = at("2026-11-21T10:04:03.5Z");
        for (span, start) in [
            ("1m", "2026-11-21T10:04:00.000000000Z"),
            ("1h", "2026-11-21T10:00:00.000000000Z"),
            ("1d", "2026-11-21T00:00:00.000000000Z"),
            ("1w", "2026-11-16T00:00:00.000000000Z"),
        ] {
            assert_eq!(time.bucket(Span::parse(span).unwrap()).to_string(), start);
        }
        let before_1970 = VenueTime::from_nanos(-1).bucket(Span::parse("1m").unwrap());
        assert_eq!(before_1970.nanos(), -60_000_000_000);
    }

    #[test]
    fn a_step_covers_what_lies_before_it() {
        let step = Span::parse("5m").unwrap();
        assert_eq!(at("2026-01-01T00:00:00Z").next_step(step), at("2026-01-01T00:05:00Z"));
        assert_eq!(at("2026-01-01T00:04:59Z").next_step(step), at("2026-01-01T00:05:00Z"));
    }

    #[test]
    fn lengths_are_read_and_written() {
        for (text, nanos) in [("5m", 300_000_000_000), ("1h30m", 5_400_000_000_000), ("1ns", 1)] {
            assert_eq!(Span::parse(text).map(Span::nanos), Some(nanos));
        }
        for text in ["", "5", "m", "5 m", "0s", "-1s", "5 minuts", "99999999999w"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
        assert_eq!(parse_nanos("0s"), Some(0));
        for text in ["5m", "1h", "90s", "1w", "1500ms"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_allowed_range_is_1990_to_2100() {
        assert_eq!(VenueTime::EARLIEST, at("1990-01-01T00:00:00Z"));
        assert_eq!(VenueTime::LATEST, at("2100-01-01T00:00:00Z"));
        assert!(VenueTime::EARLIEST.is_in_range() && !VenueTime::LATEST.is_in_range());
    }
}
