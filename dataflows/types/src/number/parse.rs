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
#[inline]
pub fn parse_small(text: &[u8], scale: u8) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.len() > SMALL_BYTES {
        return None;
    }
    let (value, n_decimals) = by_eights(digits).or_else(|| by_ones(digits))?;
    let power = POWERS.get(usize::from(scale).checked_sub(n_decimals)?)?;
    let scaled = i64::try_from(value.checked_mul(*power)?).ok()?;
    Some(if is_negative { -scaled } else { scaled })
}

/// A digit in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Reads digits with or without a point, eight at a time, and tells how many are decimals; `None`
/// leaves them to [`by_ones`].
#[inline]
fn by_eights(text: &[u8]) -> Option<(u64, usize)> {
    let zeros = ONES * u64::from(b'0');
    let (head, tail) = if let Some((head, tail)) = text.split_last_chunk::<8>() {
        (head, u64::from_le_bytes(*tail) ^ zeros)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        // The two meet or overlap; what is missing in front reads as zeros.
        let n_missing = u32::try_from(8 - text.len()).ok()? * 8;
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        let word = u64::from(first) << n_missing | u64::from(last) << 32;
        let all = u64::MAX << n_missing;
        ([].as_slice(), word ^ (zeros & all))
    } else {
        return None;
    };
    let points = equal_bytes(tail, b'.' ^ b'0');
    let (digits, n_digits, n_decimals) = if points == 0 {
        (tail, 8, 0)
    } else {
        // What stands before the point moves up into its place.
        let n_before = points.trailing_zeros() / 8;
        let before = (1u64 << (n_before * 8)) - 1;
        let behind = u64::MAX << (n_before * 8) << 8;
        let n_decimals = usize::try_from(7 - n_before).ok()?;
        ((tail & before) << 8 | (tail & behind), 7, n_decimals)
    };
    let low = eight_digits(digits)?;
    let high = match head {
        [] => return Some((low, n_decimals)),
        head => match head.as_array::<8>() {
            Some(head) => eight_digits(u64::from_le_bytes(*head) ^ zeros)?,
            None => digits_alone(head)?,
        },
    };
    // At most 18 digits: far below 64 bits.
    Some((
        high.wrapping_mul(if n_digits == 8 { 100_000_000 } else { 10_000_000 }) + low,
        n_decimals,
    ))
}

/// The number of eight digits, the first in the lowest byte; `None` where a byte isn't one.
#[inline]
fn eight_digits(digits: u64) -> Option<u64> {
    if (digits.wrapping_add(ONES * 0x76) | digits) & (ONES * 0x80) != 0 {
        return None;
    }
    // Pairs, then all four pairs at once: nothing passes its own bits but what is cut off below.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let every_other = 0x0000_00ff_0000_00ff;
    let upper = (pairs & every_other).wrapping_mul(100 + (1_000_000 << 32));
    let lower = (pairs >> 16 & every_other).wrapping_mul(1 + (10_000 << 32));
    Some(upper.wrapping_add(lower) >> 32)
}

/// Sets the upper bit of each byte of the word that equals `byte`, and no other.
#[inline]
pub const fn equal_bytes(word: u64, byte: u8) -> u64 {
    const LOW: u64 = ONES * 0x7f;
    let difference = word ^ u64::from_le_bytes([byte; 8]);
    // The sum can't carry out of a byte: 0x7f + 0x7f is below 0x100.
    !((difference & LOW).wrapping_add(LOW) | difference | LOW)
}

/// Reads a few digits; `None` where a byte isn't one.
#[inline]
fn digits_alone(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value.wrapping_mul(10).wrapping_add(u64::from(digit)))
    })
}

/// Reads digits with or without a point, and tells how many are decimals.
fn by_ones(text: &[u8]) -> Option<(u64, usize)> {
    let (mut value, mut point) = (0u64, None);
    for (index, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            // 18 digits stay far below 64 bits.
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        } else if *byte == b'.' && point.is_none() {
            point = Some(index);
        } else {
            return None;
        }
    }
    let n_decimals = point.map_or(0, |point| text.len() - point - 1);
    // A point alone is no number.
    (text.len() > usize::from(point.is_some())).then_some((value, n_decimals))
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
            // Plain short numbers take the short way, where the power of ten fits.
            let is_plain = text.len() <= SMALL_BYTES
                && usize::from(scale) < POWERS.len()
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
