//! Each writer against the slow one that it replaced.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::number::{div_half_even, pow10};

/// `raw x 10^-scale` by `fmt`.
fn slow_scaled(raw: i128, scale: u8) -> String {
    let unit = pow10(u32::from(scale)).unwrap().unsigned_abs();
    let (whole, mut part) = (raw.unsigned_abs() / unit, raw.unsigned_abs() % unit);
    let mut text = String::new();
    if raw < 0 {
        text.push('-');
    }
    write!(text, "{whole}").unwrap();
    if part == 0 {
        return text;
    }
    let mut width = usize::from(scale);
    while part % 10 == 0 {
        part /= 10;
        width -= 1;
    }
    write!(text, ".{part:0width$}").unwrap();
    text
}

/// RFC 3339 by `jiff`.
fn slow_time(nanos: i64) -> String {
    format!("{:.9}", jiff::Timestamp::from_nanosecond(nanos.into()).unwrap())
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    write(&mut out);
    String::from_utf8(out).unwrap().split_off(6)
}

/// Numbers of all sizes, with many zeros at their end.
fn raws() -> impl Strategy<Value = i128> {
    (any::<i128>(), 0u32..127, 0u32..39).prop_map(|(raw, shift, zeros)| {
        let unit = pow10(zeros).unwrap();
        (raw >> shift) / unit * unit
    })
}

/// What lies at the bounds of the fast paths.
fn edges() -> Vec<i128> {
    let mut edges = vec![0, i128::MIN, i128::MAX];
    for n in 0..39 {
        let power = pow10(n).unwrap();
        edges.extend([power - 1, power, power + 1, power / 2, power + power / 2]);
    }
    for shift in [32, 52, 63, 64, 95, 96, 115, 116, 117] {
        edges.extend([(1 << shift) - 1, 1 << shift, (1 << shift) + 1]);
    }
    edges.iter().flat_map(|edge| [*edge, edge.saturating_neg()]).collect()
}

fn check_number(raw: i128) {
    for scale in [0, 1, 6, 9, 17, 18, 19, 27, 36, 38] {
        assert_eq!(
            text(|out| write_quoted_scaled(out, raw, scale)),
            quoted(&slow_scaled(raw, scale))
        );
        with_scaled(raw, scale, |text| assert_eq!(text, slow_scaled(raw, scale)));
    }
    assert_eq!(text(|out| write_quoted_nano(out, raw)), quoted(&slow_scaled(raw, 9)));
    assert_eq!(nano_of_atto(raw), div_half_even(raw, 1_000_000_000), "{raw}");
    if let Ok(count) = u64::try_from(raw) {
        check_count(count);
    }
}

fn check_count(count: u64) {
    assert_eq!(text(|out| write_count(out, count)), count.to_string());
    assert_eq!(text(|out| write_quoted_count(out, count)), quoted(&count.to_string()));
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[test]
fn numbers_at_the_edges_are_those_of_fmt() {
    edges().into_iter().for_each(check_number);
    [0, 9, 10, 99, 100, 101, u64::MAX].into_iter().for_each(check_count);
}

#[test]
fn eight_digits_are_those_of_fmt() {
    // Each of the four pairs of digits, and numbers that touch all of them.
    let pairs = (0..100).flat_map(|pair| [pair, pair * 100, pair * 10_000, pair * 1_000_000]);
    for number in pairs.chain((0..EIGHT).step_by(9973)).chain([EIGHT - 1]) {
        let digits = (eight(number) | ZEROS).to_le_bytes();
        assert_eq!(std::str::from_utf8(&digits).unwrap(), format!("{number:08}"));
    }
}

#[test]
fn times_at_the_edges_are_those_of_jiff() {
    let mut nanos = vec![i64::MIN, i64::MAX, 0, -1, 1];
    // Each day for some years around what is special: 1700, 1900 and 2000 with and without leap day.
    for year in [1677i64, 1699, 1899, 1967, 1999, 2023, 2099, 2261] {
        for day in 0..800 {
            let days = (year - 1970) * 36_525 / 100 + day;
            nanos.extend(days.checked_mul(DAY));
        }
    }
    for nanos in nanos {
        let time = VenueTime::from_nanos(nanos);
        assert_eq!(text(|out| write_quoted_time(out, time)), quoted(&slow_time(nanos)));
        assert_eq!(time.to_string(), slow_time(nanos));
    }
}

proptest! {
    #[test]
    fn numbers_are_those_of_fmt(raw in raws()) {
        check_number(raw);
    }

    #[test]
    fn times_are_those_of_jiff(nanos: i64) {
        let time = VenueTime::from_nanos(nanos);
        prop_assert_eq!(text(|out| write_quoted_time(out, time)), quoted(&slow_time(nanos)));
    }

    /// Nearly all bytes are plain, so that one that isn't may stand anywhere in a word.
    #[test]
    fn texts_are_those_of_serde(
        given in "[a-z\u{7f}\u{e9}\u{1f600}\"\\\\\u{0}-\u{20}]{0,40}",
        plain in "[!#\\[\\]a-z\u{7f}\u{e9}\u{ff}]{0,40}",
        odd in "[\"\\\\\u{0}-\u{20}]{0,1}",
        at: prop::sample::Index,
    ) {
        let mut mixed: Vec<char> = plain.chars().collect();
        let at = at.index(mixed.len() + 1);
        mixed.splice(at..at, odd.chars());
        for given in [given, plain, mixed.into_iter().collect()] {
            prop_assert_eq!(text(|out| write_text(out, &given)), serde_json::to_string(&given).unwrap());
        }
    }
}

#[test]
fn texts_of_all_lengths_with_each_byte_at_each_place_are_those_of_serde() {
    for n in 0..=24 {
        for place in 0..=n {
            for odd in (0..0x30u8).chain([0x5b, 0x5c, 0x5d, 0x7f]) {
                let mut given = vec![b'a'; n];
                given.splice(place..n.min(place + 1), [odd]);
                let given = String::from_utf8(given).unwrap();
                let expected = serde_json::to_string(&given).unwrap();
                assert_eq!(text(|out| write_text(out, &given)), expected);
            }
        }
    }
}
