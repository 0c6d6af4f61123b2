use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};
use proptest::prelude::*;

use super::*;

/// An exact value, `None` after a division by zero, and whether all on the way to it is short.
type Exact = (Option<BigRational>, bool);

/// Calculations over small decimals: their text, and their value by fractions of any size.
fn arithmetic() -> impl Strategy<Value = (String, Exact)> {
    let literal = (-99_999i64..=99_999, 0u8..=4).prop_map(|(mantissa, scale)| {
        let exact = BigRational::new(mantissa.into(), BigInt::from(10).pow(scale.into()));
        (format!("({})", Decimal::new(mantissa.into(), scale)), (Some(exact), true))
    });
    literal.prop_recursive(4, 16, 2, |inner| {
        (inner.clone(), prop::sample::select(vec!["+", "-", "*", "/"]), inner).prop_map(
            |((a, x), sign, (b, y))| {
                let value = x.0.zip(y.0).and_then(|(x, y)| match sign {
                    "+" => Some(x + y),
                    "-" => Some(x - y),
                    "*" => Some(x * y),
                    _ => divide(&x, &y),
                });
                let is_short = value.as_ref().is_none_or(is_short);
                (format!("({a} {sign} {b})"), (value, x.1 && y.1 && is_short))
            },
        )
    })
}

/// Divides half-even at 1e-9.
fn divide(x: &BigRational, y: &BigRational) -> Option<BigRational> {
    if y.is_zero() {
        return None;
    }
    let unit = BigRational::new(1.into(), 1_000_000_000.into());
    let steps = x / y / &unit;
    let below = steps.floor();
    let half = BigRational::new(1.into(), 2.into());
    let part = &steps - &below;
    let is_up = part > half || (part == half && below.to_integer().bit(0));
    Some((below + BigRational::from_integer(is_up.into())) * unit)
}

/// Whether a value is below 1e12 and has at most 12 decimals, so that nothing done with two such
/// overflows.
fn is_short(value: &BigRational) -> bool {
    let limit = BigRational::from_integer(BigInt::from(10).pow(12));
    value.abs() < limit && (value * limit).is_integer()
}

proptest! {
    #[test]
    fn parsing_never_panics(text in ".{0,40}") {
        let _checked = compile(&text);
    }

    #[test]
    fn words_in_any_order_never_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "qty", "side", "final", "score", "event_time", "wallet", "nothing", "and", "or", "not",
            "in", "is", "null", "(", ")", ",", "=", "<", "+", "-", "*", "/", "||", "'x'", "'0xA'",
            "1", "0", "1e30", "abs(", "min(", "coalesce(", "starts_with(", "\"qty\"", "é", "'",
        ]), 0..14),
    ) {
        if let Ok(compiled) = compile(&words.join(" ")) {
            let value = compiled.eval(&cell);
            prop_assert!(value.is_ok() || compiled.may_fail());
            // The type that is told is the type that comes.
            let of = match value {
                Ok(Value::Null) | Err(EvalError::Overflow) => None,
                Ok(Value::Bool(_)) => Some(Type::Bool),
                Ok(Value::Number(_)) => Some(Type::Number),
                Ok(Value::Float(_)) => Some(Type::Float),
                Ok(Value::Time(_)) => Some(Type::Time),
                Ok(Value::Text(_)) => Some(Type::Text),
            };
            prop_assert!(of.is_none_or(|of| of == compiled.value_type()));
        }
    }

    #[test]
    fn arithmetic_is_exact((text, (expected, is_short)) in arithmetic()) {
        // What overflows or is null is known before the row, so it may be told as an error.
        match compile(&text).map(|compiled| compiled.eval(&cell)) {
            Ok(Ok(Value::Number(value))) => {
                let unit = BigInt::from(10).pow(value.scale().into());
                let value = BigRational::new(value.mantissa().into(), unit);
                prop_assert_eq!(Some(value), expected, "{}", text);
            }
            Ok(Ok(value)) => prop_assert!(value.is_null() && expected.is_none(), "{}", text),
            Ok(Err(_)) | Err(_) => prop_assert!(!is_short, "{} overflows", text),
        }
    }

    #[test]
    fn quotients_that_fit_are_given(a: i128, s in 0u8..=36, b: i128, t in 0u8..30) {
        let exact = |d: Decimal| {
            BigRational::new(d.mantissa().into(), BigInt::from(10).pow(d.scale().into()))
        };
        let (a, b) = (Decimal::new(a, s), Decimal::new(b, t));
        let column = |index| Cow::Owned(Value::Number(if index == 0 { a } else { b }));
        let expected = divide(&exact(a), &exact(b));
        match compile("qty / price").unwrap().eval(&column) {
            Ok(Value::Number(quotient)) => prop_assert_eq!(Some(exact(quotient)), expected),
            Ok(_) => prop_assert!(expected.is_none()),
            Err(EvalError::Overflow) => {
                let limit = BigRational::new(i128::MAX.into(), 1_000_000_000.into());
                prop_assert!(expected.is_some_and(|quotient| quotient.abs() > limit));
            }
        }
    }

    #[test]
    fn columns_and_constants_give_the_same(a in -99i64..99, b in -99i64..99) {
        for sign in ["+", "-", "*", "/", "=", "!=", "<", "<=", ">", ">="] {
            let folded = compile(&format!("{a} {sign} {b}")).unwrap();
            prop_assert!(folded.columns().is_empty());
            let read = compile(&format!("qty {sign} price")).unwrap();
            let column = |index| Cow::Owned(Value::from(if index == 0 { a } else { b }));
            prop_assert_eq!(folded.eval(&cell), read.eval(&column));
        }
    }
}
