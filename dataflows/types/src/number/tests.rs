use proptest::prelude::*;

use super::*;

fn scaled(text: &str) -> Result<i128, NumberError> {
    parse_scaled(text.as_bytes(), 9, Rounding::Exact)
}

#[test]
fn reads_what_venues_write() {
    for (text, nano) in [
        ("1", 1_000_000_000),
        ("+1", 1_000_000_000),
        ("-0.5", -500_000_000),
        (".48", 480_000_000),
        ("3e-04", 300_000),
        ("7.22E+2", 722_000_000_000),
        ("0", 0),
        ("-0", 0),
        ("0e99", 0),
        ("0.1000000000000", 100_000_000),
        ("100.", 100_000_000_000),
        ("1.0000000000000000000000000000000000000000000000000", 1_000_000_000),
    ] {
        assert_eq!(scaled(text), Ok(nano), "{text}");
    }
}

#[test]
fn refuses_what_is_no_number() {
    for text in ["", "NA", "NaN", "inf", "1,5", "1.2.3", "--1", "1e", "e5", ".", "0x10", " 1", "1 "]
    {
        assert_eq!(scaled(text), Err(NumberError::NotANumber), "{text}");
    }
    assert_eq!(scaled("0.1234567891"), Err(NumberError::TooManyDecimals(9)));
    assert_eq!(scaled("1e-10"), Err(NumberError::TooManyDecimals(9)));
    assert_eq!(scaled("1e40"), Err(NumberError::OutOfRange));
    assert_eq!(scaled(&"9".repeat(60)), Err(NumberError::OutOfRange));
}

#[test]
fn rounds_half_even_on_request() {
    for (text, nano) in [
        ("0.0000000005", 0),
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("-0.0000000015", -2),
        ("0.00000000050000000000000000000000000000000000000000001", 1),
        ("0.00000000149999999999999999999999999999999999999999999", 1),
        ("1e-99", 0),
    ] {
        assert_eq!(parse_scaled(text.as_bytes(), 9, Rounding::HalfEven), Ok(nano), "{text}");
    }
    // Lost digits at a tie mean more than half, also when 38 digits come before them.
    let text = format!("{}.0000000005{}1", "1".repeat(20), "0".repeat(40));
    let nano = ("1".repeat(20) + "000000001").parse().unwrap();
    assert_eq!(parse_scaled(text.as_bytes(), 9, Rounding::HalfEven), Ok(nano));
}

#[test]
fn divides_half_even() {
    for (n, d, q) in
        [(1, 2, 0), (3, 2, 2), (5, 2, 2), (-1, 2, 0), (-3, 2, -2), (7, -2, -4), (2, 3, 1)]
    {
        assert_eq!(div_half_even(n, d), q, "{n}/{d}");
        assert_eq!(mul_div_half_even(n, i128::from(u64::MAX), d * i128::from(u64::MAX)), Some(q));
    }
    assert_eq!(mul_div_half_even(i128::MAX, i128::MAX, 1), None);
    assert_eq!(mul_div_half_even(i128::MAX, i128::MAX, i128::MAX), Some(i128::MAX));
}

fn decimal() -> impl Strategy<Value = Decimal> {
    (any::<i64>(), 0u8..12).prop_map(|(m, s)| Decimal::new(m.into(), s))
}

proptest! {
    #[test]
    fn text_round_trips(raw: i128, scale in 0u8..=36) {
        let number = Decimal::new(raw, scale);
        let text = number.to_string();
        prop_assert_eq!(Decimal::parse(text.as_bytes()), Ok(number), "{}", text);
    }

    #[test]
    fn agrees_with_rust_decimal(a in decimal(), b in decimal()) {
        let other = |d: Decimal| rust_decimal::Decimal::from_i128_with_scale(d.mantissa(), d.scale().into());
        let (x, y) = (other(a), other(b));
        prop_assert_eq!(a.cmp(&b), x.cmp(&y));
        if let (Some(ours), Some(theirs)) = (a.checked_add(b), x.checked_add(y)) {
            // rust_decimal rounds what passes its 96 bits.
            if ours.mantissa().unsigned_abs() < 1 << 95 {
                prop_assert_eq!(ours.to_string(), theirs.normalize().to_string());
            }
        }
        if let Some(ours) = a.checked_mul(b) && ours.mantissa().unsigned_abs() < 1 << 95 {
            prop_assert_eq!(ours.to_string(), (x * y).normalize().to_string());
        }
    }

    #[test]
    fn orders_totally(a: i128, s in 0u8..=36, b: i128, t in 0u8..=36) {
        let (x, y) = (Decimal::new(a, s), Decimal::new(b, t));
        prop_assert_eq!(x.cmp(&y), y.cmp(&x).reverse());
        prop_assert_eq!(x == y, x.cmp(&y) == Ordering::Equal);
    }

    #[test]
    fn wide_and_narrow_products_agree(a in any::<i64>(), b in any::<i64>(), d in any::<i64>()) {
        prop_assume!(d != 0);
        let (a, b, d) = (i128::from(a), i128::from(b), i128::from(d));
        let wide = mul_div_half_even(a << 62, b, d << 31).map(|q| q >> 31);
        if let (Some(narrow), Some(wide)) = (mul_div_half_even(a, b, d), wide) {
            prop_assert!((narrow - wide).abs() <= 1);
        }
    }
}
