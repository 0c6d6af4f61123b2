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
    for shift in [32, 63, 64, 96] {
        edges.extend([(1 << shift) - 1, 1 << shift, (1 << shift) + 1]);
    }
    edges.iter().flat_map(|edge| [*edge, edge.saturating_neg()]).collect()
}

fn check_number(raw: i128) {
    for scale in [0, 1, 6, 9, 17, 18, 19, 27, 36, 38] {
        assert_eq!(text(|out| write_scaled(out, raw, scale)), slow_scaled(raw, scale));
        with_scaled(raw, scale, |text| assert_eq!(text, slow_scaled(raw, scale)));
    }
    assert_eq!(text(|out| write_nano(out, raw)), slow_scaled(raw, 9));
    assert_eq!(nano_of_atto(raw), div_half_even(raw, 1_000_000_000), "{raw}");
    if let Ok(count) = u64::try_from(raw) {
        assert_eq!(text(|out| write_count(out, count)), count.to_string());
    }
}

#[test]
fn numbers_at_the_edges_are_those_of_fmt() {
    edges().into_iter().for_each(check_number);
    for count in [0, 9, 10, 99, 100, 101, u64::MAX] {
        assert_eq!(text(|out| write_count(out, count)), count.to_string());
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
        let found = time(VenueTime::from_nanos(nanos));
        assert_eq!(std::str::from_utf8(&found).unwrap(), slow_time(nanos));
    }
}

proptest! {
    #[test]
    fn numbers_are_those_of_fmt(raw in raws()) {
        check_number(raw);
    }

    #[test]
    fn times_are_those_of_jiff(nanos: i64) {
        let found = time(VenueTime::from_nanos(nanos));
        prop_assert_eq!(std::str::from_utf8(&found).unwrap(), slow_time(nanos));
    }

    #[test]
    fn texts_are_those_of_serde(given in "[a-z\"\\\\\u{0}-\u{20}\u{7f}\u{e9}\u{1f600}]{0,40}") {
        prop_assert_eq!(text(|out| write_text(out, &given)), serde_json::to_string(&given).unwrap());
    }
}
