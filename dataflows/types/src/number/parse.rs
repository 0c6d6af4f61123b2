//! Decimals from text.

use super::{NumberError, Rounding, div_half_even, pow10};

/// Digits that 64 bits hold whatever they are, with room for a sign and a point.
const SMALL_BYTES: usize = 18;

/// Powers of ten that 64 bits hold.
const POWERS: [u64; 19] = {
    let mut powers = [1; 19];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// Reads a plain decimal of at most 18 characters at a fixed scale, as nearly all are; `None` leaves
/// the text to [`parse_scaled`], which gives the same wherever this gives something.
pub fn parse_small(text: &[u8], scale: u8) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.len() > SMALL_BYTES {
        return None;
    }
    let (mut value, mut n_digits, mut n_decimals) = (0u64, 0usize, 0usize);
    let mut rest = digits.iter();
    for byte in rest.by_ref() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            if *byte != b'.' {
                return None;
            }
            n_decimals = rest.len();
            break;
        }
        // 18 digits stay far below 64 bits, so that nothing wraps here and in the next loop.
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        n_digits += 1;
    }
    for byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        n_digits += 1;
    }
    if n_digits == 0 {
        return None;
    }
    let power = POWERS.get(usize::from(scale).checked_sub(n_decimals)?)?;
    let scaled = i64::try_from(value.checked_mul(*power)?).ok()?;
    Some(if is_negative { -scaled } else { scaled })
}

/// Reads a decimal number at a fixed scale: the result is the value x 10^`scale`.
///
/// Takes a sign, digits with or without a point, and an exponent (`3e-04`, `.48`, `+1`).
///
/// # Errors
/// [`NumberError`], see there. Zeros behind the last place are no decimals.
pub fn parse_scaled(text: &[u8], scale: u8, rounding: Rounding) -> Result<i128, NumberError> {
    if let Some(small) = parse_small(text, scale) {
        return Ok(i128::from(small));
    }
    parse_any(text, scale, rounding)
}

/// Reads any decimal number.
fn parse_any(text: &[u8], scale: u8, rounding: Rounding) -> Result<i128, NumberError> {
    let (mantissa, exponent, lost) = digits(text)?;
    rescale(mantissa, exponent, scale, rounding, lost)
}

/// What [`digits`] read past the 38 digits that it keeps.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Lost {
    Nothing,
    Some,
}

/// Splits a number into mantissa and power of ten; digits that don't fit are told as lost.
pub(super) fn digits(text: &[u8]) -> Result<(i128, i64, Lost), NumberError> {
    let (negative, mut rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mut mantissa, mut exponent, mut seen, mut point) = (0i128, 0i64, false, false);
    let mut lost = Lost::Nothing;
    while let [byte, tail @ ..] = rest {
        match byte {
            b'0'..=b'9' => {
                seen = true;
                let digit = i128::from(byte - b'0');
                match mantissa.checked_mul(10).and_then(|m| m.checked_add(digit)) {
                    Some(m) if lost == Lost::Nothing => {
                        mantissa = m;
                        exponent -= i64::from(point);
                    }
                    _ if digit == 0 && lost == Lost::Nothing => exponent += i64::from(!point),
                    _ => {
                        lost = Lost::Some;
                        exponent += i64::from(!point);
                    }
                }
            }
            b'.' if !point => point = true,
            b'e' | b'E' if seen => {
                exponent = exponent.checked_add(power(tail)?).ok_or(NumberError::OutOfRange)?;
                break;
            }
            _ => return Err(NumberError::NotANumber),
        }
        rest = tail;
    }
    if !seen {
        return Err(NumberError::NotANumber);
    }
    Ok((if negative { -mantissa } else { mantissa }, exponent, lost))
}

/// Reads the exponent behind an `e`.
fn power(text: &[u8]) -> Result<i64, NumberError> {
    let (sign, rest) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    if rest.is_empty() || rest.len() > 9 || !rest.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::NotANumber);
    }
    Ok(sign * rest.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
}

/// Brings `mantissa x 10^exponent` to 10^-`scale`.
pub(super) fn rescale(
    mantissa: i128,
    exponent: i64,
    scale: u8,
    rounding: Rounding,
    lost: Lost,
) -> Result<i128, NumberError> {
    if mantissa == 0 && lost == Lost::Nothing {
        return Ok(0);
    }
    let shift = exponent + i64::from(scale);
    if shift >= 0 {
        let factor = u32::try_from(shift).ok().and_then(pow10).ok_or(NumberError::OutOfRange)?;
        if lost == Lost::Some {
            return Err(NumberError::OutOfRange);
        }
        return mantissa.checked_mul(factor).ok_or(NumberError::OutOfRange);
    }
    let divisor = u32::try_from(-shift).ok().and_then(pow10);
    let exact = lost == Lost::Nothing && divisor.is_some_and(|d| mantissa % d == 0);
    match (divisor, rounding) {
        (Some(d), _) if exact => Ok(mantissa / d),
        (_, Rounding::Exact) => Err(NumberError::TooManyDecimals(scale)),
        // Lost digits only matter at a tie, where they mean "a little more than half".
        (Some(d), Rounding::HalfEven)
            if lost == Lost::Some && mantissa % d == (d / 2) * mantissa.signum() =>
        {
            Ok(mantissa / d + mantissa.signum())
        }
        (Some(d), Rounding::HalfEven) => Ok(div_half_even(mantissa, d)),
        (None, Rounding::HalfEven) => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_read_at_once_is_what_the_full_parser_reads(
            text in prop_oneof![
                "[-+]?[0-9]{0,12}\\.?[0-9]{0,12}",
                "-?[0-9]{15,20}",
                "-?0{0,9}[0-9]{0,3}\\.[0-9]{0,4}0{0,9}",
                "[-+.0-9e]{0,20}",
            ],
            scale in 0u8..20,
        ) {
            let full = parse_any(text.as_bytes(), scale, Rounding::Exact);
            if let Some(small) = parse_small(text.as_bytes(), scale) {
                prop_assert_eq!(Ok(i128::from(small)), full);
            }
            prop_assert_eq!(parse_scaled(text.as_bytes(), scale, Rounding::Exact), full);
            // Plain short numbers take the short way.
            let is_plain = text.len() <= 18
                && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
                && text.bytes().rev().position(|b| b == b'.').unwrap_or(0) <= usize::from(scale);
            if let (true, Ok(number)) = (is_plain, full)
                && i64::try_from(number).is_ok()
            {
                prop_assert!(parse_small(text.as_bytes(), scale).is_some());
            }
        }
    }
}
