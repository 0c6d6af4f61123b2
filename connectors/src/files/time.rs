//! Times from texts: RFC 3339, units since 1970, strftime with a zone.

use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};
use types::VenueTime;
use types::event::Reason;
use types::number::{NumberError, Rounding, parse_scaled, parse_small};

use crate::source::TimeFormat;

/// Decimals of a nanosecond's second; also those that a number of units is read with.
const NANO_SCALE: u8 = 9;
const NANO: i128 = 1_000_000_000;

/// Reads the times of one column. Remembers the last text, because rows that follow one another
/// often share theirs.
pub(super) struct TimeReader {
    format: Format,
    last_text: Vec<u8>,
    last_time: VenueTime,
}

enum Format {
    Rfc3339,
    Unit(i64),
    Strftime { format: String, zone: TimeZone },
}

impl TimeReader {
    /// Settles a format.
    ///
    /// # Errors
    /// An unknown zone, or a format that can't be read; says which.
    pub(super) fn new(format: &TimeFormat) -> Result<Self, String> {
        let format = match format {
            TimeFormat::Rfc3339 => Format::Rfc3339,
            TimeFormat::Unit(nanos) if *nanos > 0 => Format::Unit(*nanos),
            TimeFormat::Unit(nanos) => return Err(format!("a unit of {nanos} ns")),
            TimeFormat::Strftime { format, zone } => {
                check_format(format)?;
                let zone = zone.as_deref().map_or(Ok(TimeZone::UTC), parse_zone)?;
                Format::Strftime { format: format.clone(), zone }
            }
        };
        Ok(Self { format, last_text: Vec::new(), last_time: VenueTime::MIN })
    }

    /// Reads a whole number of units, as nearly all are that count; `None` leaves it to
    /// [`TimeReader::read`].
    #[inline]
    pub(super) fn plain(&self, text: &[u8]) -> Option<VenueTime> {
        match self.format {
            Format::Unit(nanos) => whole_units(text, nanos),
            Format::Rfc3339 | Format::Strftime { .. } => None,
        }
    }

    /// Reads a time.
    ///
    /// # Errors
    /// Why it isn't one, and what was found.
    pub(super) fn read(&mut self, text: &[u8]) -> Result<VenueTime, (Reason, String)> {
        if let Some(time) = self.plain(text) {
            return Ok(time);
        }
        if !text.is_empty() && text == self.last_text {
            return Ok(self.last_time);
        }
        let time = match &self.format {
            Format::Rfc3339 => rfc3339(text)?,
            Format::Unit(nanos) => units(text, *nanos)?,
            Format::Strftime { format, zone } => strftime(text, format, zone)?,
        };
        if !time.is_in_range() {
            let detail = format!("`{}` isn't from 1990 to 2099", shown(text));
            return Err((Reason::TimeOutOfRange, detail));
        }
        self.last_text.clear();
        self.last_text.extend_from_slice(text);
        self.last_time = time;
        Ok(time)
    }
}

/// Reads an offset (`+05:30`) or a zone's name (`Europe/Berlin`).
fn parse_zone(zone: &str) -> Result<TimeZone, String> {
    if zone.starts_with(['+', '-']) {
        let with_colon = BrokenDownTime::parse("%:z", zone);
        let parsed = with_colon.or_else(|_| BrokenDownTime::parse("%z", zone));
        let offset: Option<Offset> = parsed.ok().and_then(|tm| tm.offset());
        return offset.map(TimeZone::fixed).ok_or_else(|| format!("`{zone}` is no offset"));
    }
    if zone == "Z" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(zone).map_err(|_| format!("the zone `{zone}` isn't known"))
}

/// Refuses a format that can't be read or gives no day, by writing a time with it and reading that.
fn check_format(format: &str) -> Result<(), String> {
    let time = jiff::civil::date(2001, 2, 3).at(4, 5, 6, 0);
    let zoned = time.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
    let bad = |error: jiff::Error| format!("the time format `{format}`: {error}");
    let text = BrokenDownTime::from(&zoned).to_string(format).map_err(bad)?;
    let tm = BrokenDownTime::parse(format, text).map_err(bad)?;
    timestamp(&tm, &TimeZone::UTC).map(drop).map_err(bad)
}

fn strftime(text: &[u8], format: &str, zone: &TimeZone) -> Result<VenueTime, (Reason, String)> {
    let not_a_time = |_| (Reason::NotATime, format!("`{}` isn't like {format}", shown(text)));
    let tm = BrokenDownTime::parse(format, text).map_err(not_a_time)?;
    let time = timestamp(&tm, zone).map_err(not_a_time)?;
    venue_time(time.as_nanosecond(), text)
}

/// The instant that a parsed time names. What the text says of its zone wins over the column's; a
/// local time that a clock change makes twofold is the earlier one, one that it skips the later.
fn timestamp(tm: &BrokenDownTime, zone: &TimeZone) -> Result<jiff::Timestamp, jiff::Error> {
    if tm.iana_time_zone().is_some() {
        return tm.to_zoned().map(|zoned| zoned.timestamp());
    }
    if tm.offset().is_some() || tm.timestamp().is_some() {
        return tm.to_timestamp();
    }
    zone.to_ambiguous_timestamp(tm.to_datetime()?).compatible()
}

/// Reads a whole number of units in range, as nearly all are; `None` leaves the text to [`units`].
fn whole_units(text: &[u8], nanos: i64) -> Option<VenueTime> {
    let time = VenueTime::from_nanos(parse_small(text, 0)?.checked_mul(nanos)?);
    time.is_in_range().then_some(time)
}

fn units(text: &[u8], nanos: i64) -> Result<VenueTime, (Reason, String)> {
    let not_a_time = |what: &str| (Reason::NotATime, format!("`{}` {what}", shown(text)));
    let scaled = match parse_scaled(text, NANO_SCALE, Rounding::Exact) {
        Ok(scaled) => scaled,
        Err(NumberError::NotANumber) => return Err(not_a_time("isn't a number")),
        Err(NumberError::TooManyDecimals(_)) => {
            return Err(not_a_time("is finer than a nanosecond"));
        }
        Err(NumberError::OutOfRange) => return venue_time(i128::MAX, text),
    };
    let Some(product) = scaled.checked_mul(nanos.into()) else {
        return venue_time(i128::MAX, text);
    };
    if product % NANO != 0 {
        return Err(not_a_time("is finer than a nanosecond"));
    }
    venue_time(product / NANO, text)
}

fn rfc3339(text: &[u8]) -> Result<VenueTime, (Reason, String)> {
    if let Some(nanos) = plain_utc(text) {
        return Ok(VenueTime::from_nanos(nanos));
    }
    let not_a_time = || (Reason::NotATime, format!("`{}` isn't RFC 3339", shown(text)));
    let text_str = std::str::from_utf8(text).map_err(|_| not_a_time())?;
    let time: jiff::Timestamp = text_str.parse().map_err(|_| not_a_time())?;
    venue_time(time.as_nanosecond(), text)
}

/// Reads `2026-01-02T03:04:05[.digits]Z` of this and the last century, the form that nearly all
/// files have; `None` leaves the text to the full parser.
fn plain_utc(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T' | b' ',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
    ] = head
    else {
        return None;
    };
    let year = pair(y1, y2)? * 100 + pair(y3, y4)?;
    let (month, day) = (pair(m1, m2)?, pair(d1, d2)?);
    let (hour, minute, second) = (pair(h1, h2)?, pair(n1, n2)?, pair(s1, s2)?);
    let days = days_since_1970(year, month, day)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match tail {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            let mut n = 0i64;
            for i in 0..9 {
                n = n * 10 + digits.get(i).map_or(Some(0), |b| digit(*b))?;
            }
            n
        }
        _ => return None,
    };
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000_000 + fraction)
}

/// Days since 1970 of a date from 1901 to 2099, where each fourth year is a leap year.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const LENGTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month).ok()?.checked_sub(1)?;
    let leap = i64::from(year % 4 == 0);
    let length = LENGTHS.get(index)? + if month == 2 { leap } else { 0 };
    if !(1901..2100).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let leap_days = (year - 1901) / 4 - 17 + if month > 2 { leap } else { 0 };
    Some((year - 1970) * 365 + leap_days + BEFORE.get(index)? + day - 1)
}

fn pair(a: u8, b: u8) -> Option<i64> {
    Some(digit(a)? * 10 + digit(b)?)
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

fn venue_time(nanos: i128, text: &[u8]) -> Result<VenueTime, (Reason, String)> {
    let out = |_| (Reason::TimeOutOfRange, format!("`{}` isn't from 1990 to 2099", shown(text)));
    i64::try_from(nanos).map(VenueTime::from_nanos).map_err(out)
}

/// A text as messages show it: not longer than a line.
pub(super) fn shown(text: &[u8]) -> String {
    const SHOWN_MAX: usize = 80;
    let text = String::from_utf8_lossy(text);
    if text.chars().count() <= SHOWN_MAX {
        return text.into_owned();
    }
    text.chars().take(SHOWN_MAX).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reader(format: &TimeFormat) -> TimeReader {
        TimeReader::new(format).unwrap()
    }

    fn strf(format: &str, zone: Option<&str>) -> TimeFormat {
        TimeFormat::Strftime { format: format.to_owned(), zone: zone.map(str::to_owned) }
    }

    #[test]
    fn times_are_read_in_each_format() {
        let dash = "%d-%m-%Y %H:%M";
        for (format, text, expected) in [
            (TimeFormat::Rfc3339, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000000Z"),
            (TimeFormat::Rfc3339, "2024-02-29T23:59:59.5Z", "2024-02-29T23:59:59.500000000Z"),
            (
                TimeFormat::Rfc3339,
                "2026-01-01T05:30:00.000000001+05:30",
                "2026-01-01T00:00:00.000000001Z",
            ),
            (TimeFormat::Unit(1_000_000_000), "1700000000", "2023-11-14T22:13:20.000000000Z"),
            (
                TimeFormat::Unit(1_000_000_000),
                "1700000000.123456789",
                "2023-11-14T22:13:20.123456789Z",
            ),
            (TimeFormat::Unit(1_000_000_000), "1.7e9", "2023-11-14T22:13:20.000000000Z"),
            (TimeFormat::Unit(1_000_000), "1700000000000.5", "2023-11-14T22:13:20.000500000Z"),
            (TimeFormat::Unit(1), "1700000000000000001", "2023-11-14T22:13:20.000000001Z"),
            (strf(dash, Some("+05:30")), "1-9-2024 9:05", "2024-09-01T03:35:00.000000000Z"),
            (strf(dash, Some("+0530")), "01-09-2024 09:05", "2024-09-01T03:35:00.000000000Z"),
            (strf(dash, None), "01-09-2024 09:05", "2024-09-01T09:05:00.000000000Z"),
            (
                strf(dash, Some("Europe/Berlin")),
                "01-07-2024 12:00",
                "2024-07-01T10:00:00.000000000Z",
            ),
            // A clock change makes 02:30 twofold in October and skips it in March.
            (
                strf(dash, Some("Europe/Berlin")),
                "27-10-2024 02:30",
                "2024-10-27T00:30:00.000000000Z",
            ),
            (
                strf(dash, Some("Europe/Berlin")),
                "31-03-2024 02:30",
                "2024-03-31T01:30:00.000000000Z",
            ),
            (strf("%Y-%m-%d", None), "2022-12-31", "2022-12-31T00:00:00.000000000Z"),
            (
                strf("%Y-%m-%d %H:%M:%S%.f", None),
                "2022-12-31 1:2:3.25",
                "2022-12-31T01:02:03.250000000Z",
            ),
            (
                strf("%Y-%m-%d %H:%M:%S", None),
                "2022-12-31 01:02:03",
                "2022-12-31T01:02:03.000000000Z",
            ),
            (
                strf("%d/%b/%Y:%H:%M:%S %z", Some("+09:00")),
                "01/Jan/2024:00:00:00 +0100",
                "2023-12-31T23:00:00.000000000Z",
            ),
            (strf("%m/%d/%Y %I:%M %p", None), "1/2/2024 3:04 PM", "2024-01-02T15:04:00.000000000Z"),
        ] {
            assert_eq!(
                reader(&format).read(text.as_bytes()).unwrap().to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_says_so() {
        let (no, out) = (Reason::NotATime, Reason::TimeOutOfRange);
        for (format, text, reason) in [
            (TimeFormat::Rfc3339, "", no),
            (TimeFormat::Rfc3339, "2024-02-30T00:00:00Z", no),
            (TimeFormat::Rfc3339, "2024-01-01T00:00:00", no),
            (TimeFormat::Rfc3339, "1700000000", no),
            (TimeFormat::Rfc3339, "\u{fffd}024-01-01T00:00:00Z", no),
            (TimeFormat::Rfc3339, "1989-12-31T23:59:59Z", out),
            (TimeFormat::Rfc3339, "2100-01-01T00:00:00Z", out),
            (TimeFormat::Rfc3339, "9999-01-01T00:00:00Z", out),
            (TimeFormat::Unit(1), "1700000000000000000.5", no),
            (TimeFormat::Unit(1_000_000_000), "NaN", no),
            (TimeFormat::Unit(1_000_000_000), "0", out),
            (TimeFormat::Unit(1_000_000_000), "1e30", out),
            (TimeFormat::Unit(1_000_000), "99999999999999999999999999999999999999", out),
            (strf("%d-%m-%Y", None), "2024-01-01", no),
            (strf("%d-%m-%Y", None), "01-13-2024", no),
            (strf("%d-%m-%Y", None), "01-12-2024 ", no),
            (strf("%d-%m-%Y", None), "01-12-1980", out),
        ] {
            assert_eq!(reader(&format).read(text.as_bytes()).unwrap_err().0, reason, "{text}");
        }
    }

    #[test]
    fn a_wrong_format_or_zone_is_told_at_once() {
        for format in [
            strf("%d-%m-%Y", Some("Europe/Berlni")),
            strf("%d-%m-%Y", Some("+25:99")),
            strf("%H:%M", None),
            strf("%Q2", None),
            strf("%", None),
            TimeFormat::Unit(0),
        ] {
            assert!(TimeReader::new(&format).is_err(), "{format:?}");
        }
    }

    proptest! {
        #[test]
        fn whole_units_are_those_of_the_full_parser(
            text in "-?[0-9]{1,20}(\\.[0-9]{0,3})?",
            nanos in prop::sample::select(vec![1, 1000, 1_000_000, 1_000_000_000, 86_400_000_000_000]),
        ) {
            if let Some(time) = whole_units(text.as_bytes(), nanos) {
                prop_assert_eq!(units(text.as_bytes(), nanos), Ok(time));
            } else if let Ok(time) = units(text.as_bytes(), nanos) {
                prop_assert!(!time.is_in_range() || text.contains('.') || text.len() > 18);
            }
        }

        #[test]
        fn the_fast_path_agrees_with_the_full_parser(
            seconds in -2_300_000_000i64..4_102_444_800, nanos in 0u32..1_000_000_000, places in 0usize..10,
        ) {
            let time = jiff::Timestamp::new(seconds, 0).unwrap();
            let digits = format!("{nanos:09}");
            let (fraction, _) = digits.split_at(places);
            let dot = if places > 0 { "." } else { "" };
            let text = format!("{}{dot}{fraction}Z", time.strftime("%Y-%m-%dT%H:%M:%S"));
            let full: jiff::Timestamp = text.parse().unwrap();
            let fast = plain_utc(text.as_bytes());
            if seconds >= -2_177_452_800 {
                prop_assert_eq!(fast.map(i128::from), Some(full.as_nanosecond()));
            }
        }

        #[test]
        fn what_the_fast_path_takes_the_full_parser_takes(
            text in "[12][0-9]{3}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?Z",
        ) {
            if let Some(nanos) = plain_utc(text.as_bytes()) {
                let full: jiff::Timestamp = text.parse().unwrap();
                prop_assert_eq!(i128::from(nanos), full.as_nanosecond());
            }
        }
    }
}
