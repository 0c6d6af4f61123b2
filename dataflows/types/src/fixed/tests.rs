use proptest::prelude::*;

use super::*;

#[test]
fn bounds_are_kept() {
    assert!(Price::parse(b"999999999.999999999", Rounding::Exact).is_ok());
    assert_eq!(Price::parse(b"1e9", Rounding::Exact), Err(NumberError::OutOfRange));
    assert_eq!(Price::parse(b"-1000000000", Rounding::Exact), Err(NumberError::OutOfRange));
    let most = Size::from_nano(Size::MAX_RAW).unwrap();
    assert_eq!(most.checked_add(Size::from_nano(1).unwrap()), None);
    assert_eq!(Size::from_nano(Size::MAX_RAW + 1), None);
    assert_eq!(most.checked_mul_price(Price::from_nano(2_000_000_000).unwrap()), None);
    assert_eq!(Money::from_raw(i128::MAX).checked_add(Money::from_raw(1)), None);
    assert_eq!(Money::from_raw(i128::MIN).checked_neg(), None);
}

#[test]
fn money_leaves_at_nine_decimals() {
    for (raw, text) in [
        (1_500_000_000, "0.000000002"),
        (500_000_000, "0"),
        (2_500_000_001, "0.000000003"),
        (-1_500_000_000, "-0.000000002"),
    ] {
        assert_eq!(Money::from_raw(raw).rounded().to_string(), text);
    }
}

proptest! {
    #[test]
    fn text_round_trips(price in -Price::MAX_RAW..=Price::MAX_RAW, size in -Size::MAX_RAW..=Size::MAX_RAW, nano in any::<i64>()) {
        let price = Price::from_nano(price.into()).unwrap();
        let size = Size::from_nano(size).unwrap();
        let money = Money::from_nano(nano.into()).unwrap();
        prop_assert_eq!(Price::parse(price.to_string().as_bytes(), Rounding::Exact), Ok(price));
        prop_assert_eq!(Size::parse(size.to_string().as_bytes(), Rounding::Exact), Ok(size));
        prop_assert_eq!(Money::parse(money.to_string().as_bytes(), Rounding::Exact), Ok(money));
    }

    #[test]
    fn agrees_with_rust_decimal(price in -1_000_000_000_000i64..1_000_000_000_000, size in -1_000_000_000_000i64..1_000_000_000_000) {
        let ours = Size::from_nano(size.into()).unwrap().checked_mul_price(Price::from_nano(price.into()).unwrap()).unwrap();
        let theirs = rust_decimal::Decimal::from_i128_with_scale(size.into(), 9)
            * rust_decimal::Decimal::from_i128_with_scale(price.into(), 9);
        prop_assert_eq!(ours.to_string(), theirs.normalize().to_string());
        let rounded = theirs.round_dp_with_strategy(9, rust_decimal::RoundingStrategy::MidpointNearestEven);
        prop_assert_eq!(ours.rounded().to_string(), rounded.normalize().to_string());
    }

    #[test]
    fn shares_add_up(raw in any::<i64>(), part in 0i64..1_000_000, whole in 1i64..1_000_000) {
        prop_assume!(part <= whole);
        let size = |n: i64| Size::from_nano(n.into()).unwrap();
        let all = Money::from_raw(raw.into());
        let one = all.share_half_even(size(part), size(whole)).unwrap();
        let rest = all.checked_sub(one).unwrap();
        prop_assert_eq!(one.checked_add(rest), Some(all));
        prop_assert!(all.share_half_even(size(whole), size(whole)) == Some(all));
    }

    #[test]
    fn orders_as_numbers(a: i64, b: i64) {
        let money = |n: i64| Money::from_raw(n.into());
        prop_assert_eq!(money(a).cmp(&money(b)), Decimal::from(money(a)).cmp(&Decimal::from(money(b))));
    }
}
