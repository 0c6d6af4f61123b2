//! Numbers, times and texts as bytes, without the machinery of `fmt`: what every row passes through
//! on its way out.

use crate::time::VenueTime;

/// Two digits for each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let (mut index, mut tens) = (0, b'0');
    while tens <= b'9' {
        let mut ones = b'0';
        while ones <= b'9' {
            pairs[index] = [tens, ones];
            index += 1;
            ones += 1;
        }
        tens += 1;
    }
    pairs
};

/// One whole at nine decimals.
const NANO: u64 = 1_000_000_000;
/// The most digits that one step writes.
const STEP_DIGITS: usize = 18;
const STEP: u64 = 1_000_000_000_000_000_000;
/// Room for 39 digits, a point, a sign and a zero in front.
const ROOM: usize = 48;

/// The digits of a number, written from its end.
struct Digits {
    room: [u8; ROOM],
    start: usize,
    end: usize,
}

impl Digits {
    const fn new() -> Self {
        Self { room: [b'0'; ROOM], start: ROOM, end: ROOM }
    }

    fn bytes(&self) -> &[u8] {
        &self.room[self.start..self.end]
    }

    fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.room[self.start] = byte;
    }

    /// Puts two digits in front, of what is left below a hundred, and gives the rest.
    fn push_pair(&mut self, number: u64) -> u64 {
        let pair = PAIRS[usize::try_from(number % 100).unwrap_or(0)];
        self.start -= 2;
        self.room[self.start..self.start + 2].copy_from_slice(&pair);
        number / 100
    }

    /// Puts a number in front, with as many digits as it has.
    fn push_number(&mut self, mut number: u64) {
        while number >= 100 {
            number = self.push_pair(number);
        }
        if number >= 10 {
            self.push_pair(number);
        } else {
            self.push(b'0' + u8::try_from(number).unwrap_or(0));
        }
    }

    /// Puts a number in front, with zeros up to `n_digits`.
    fn push_padded(&mut self, mut number: u64, n_digits: usize) {
        for _ in 0..n_digits / 2 {
            number = self.push_pair(number);
        }
        if n_digits % 2 == 1 {
            self.push(b'0' + u8::try_from(number % 10).unwrap_or(0));
        }
    }

    /// Puts a number of any size in front.
    fn push_wide(&mut self, mut number: u128) {
        let step = u128::from(STEP);
        loop {
            if let Ok(number) = u64::try_from(number) {
                return self.push_number(number);
            }
            self.push_padded(u64::try_from(number % step).unwrap_or(0), STEP_DIGITS);
            number /= step;
        }
    }

    /// Leaves zeros at the end out; the last byte written was a digit behind the point.
    fn trim(&mut self) {
        while self.room[self.end - 1] == b'0' {
            self.end -= 1;
        }
    }
}

/// Writes a whole number.
pub fn write_count(out: &mut Vec<u8>, number: u64) {
    let mut digits = Digits::new();
    digits.push_number(number);
    out.extend_from_slice(digits.bytes());
}

/// Writes `raw x 10^-9` as the shortest decimal: `6`, `0.5`, `-0.000000001`.
pub fn write_nano(out: &mut Vec<u8>, raw: i128) {
    let Ok(size) = u64::try_from(raw.unsigned_abs()) else {
        out.extend_from_slice(scaled(raw, 9).bytes());
        return;
    };
    let mut digits = Digits::new();
    let (whole, part) = (size / NANO, size % NANO);
    if part != 0 {
        digits.push_padded(part, 9);
        digits.trim();
        digits.push(b'.');
    }
    digits.push_number(whole);
    if raw < 0 {
        digits.push(b'-');
    }
    out.extend_from_slice(digits.bytes());
}

/// Writes `raw x 10^-scale` as the shortest decimal.
///
/// # Panics
/// If `scale` is above 38.
pub fn write_scaled(out: &mut Vec<u8>, raw: i128, scale: u8) {
    out.extend_from_slice(scaled(raw, scale).bytes());
}

/// Hands the text of `raw x 10^-scale` to `use_text`.
pub(crate) fn with_scaled<T>(raw: i128, scale: u8, use_text: impl FnOnce(&str) -> T) -> T {
    use_text(std::str::from_utf8(scaled(raw, scale).bytes()).expect("digits are ASCII"))
}

fn scaled(raw: i128, scale: u8) -> Digits {
    assert!(scale <= 38, "scale {scale} is above 38");
    let mut digits = Digits::new();
    let mut size = raw.unsigned_abs();
    let mut n_part = usize::from(scale);
    if n_part > 0 {
        let unit = 10u128.pow(u32::from(scale));
        let mut part = size % unit;
        size /= unit;
        if part != 0 {
            let step = u128::from(STEP);
            while n_part > STEP_DIGITS {
                digits.push_padded(u64::try_from(part % step).unwrap_or(0), STEP_DIGITS);
                part /= step;
                n_part -= STEP_DIGITS;
            }
            digits.push_padded(u64::try_from(part).unwrap_or(0), n_part);
            digits.trim();
            digits.push(b'.');
        }
    }
    digits.push_wide(size);
    if raw < 0 {
        digits.push(b'-');
    }
    digits
}

/// Units of 1e-9 of units of 1e-18, rounded half-even, without a division of 128 bits: by limbs of
/// 32 bits, each of which leaves a rest below 2^30.
pub(crate) fn nano_of_atto(raw: i128) -> i128 {
    let size = raw.unsigned_abs();
    let (quotient, rest) = if let Ok(size) = u64::try_from(size) {
        (u128::from(size / NANO), size % NANO)
    } else {
        let (mut quotient, mut rest) = (0, 0);
        for shift in [96, 64, 32, 0] {
            let limb = u64::try_from((size >> shift) & 0xffff_ffff).unwrap_or(0);
            let part = (rest << 32) | limb;
            quotient = (quotient << 32) | u128::from(part / NANO);
            rest = part % NANO;
        }
        (quotient, rest)
    };
    let is_up = rest * 2 > NANO || (rest * 2 == NANO && quotient % 2 == 1);
    let nano = quotient + u128::from(is_up);
    // A billionth of 128 bits fits them.
    let nano = i128::try_from(nano).unwrap_or(i128::MAX);
    if raw < 0 { -nano } else { nano }
}

/// Nanoseconds of a day.
const DAY: i64 = 86_400 * 1_000_000_000;

/// The bytes of a time: RFC 3339 with nine digits and `Z`.
pub(crate) fn time(time: VenueTime) -> [u8; 30] {
    let nanos = time.nanos();
    let (year, month, day) = date(nanos.div_euclid(DAY));
    let rest = u64::try_from(nanos.rem_euclid(DAY)).unwrap_or(0);
    let (seconds, part) = (rest / NANO, rest % NANO);
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let mut pair = |at: usize, number: u64| {
        text[at..at + 2].copy_from_slice(&PAIRS[usize::try_from(number % 100).unwrap_or(0)]);
    };
    // 64 bits of nanoseconds hold the years 1677 to 2262.
    for (at, number) in [
        (0, year / 100),
        (2, year),
        (5, month),
        (8, day),
        (11, seconds / 3_600),
        (14, seconds / 60 % 60),
        (17, seconds % 60),
        (20, part / 10_000_000),
        (22, part / 100_000),
        (24, part / 1_000),
        (26, part / 10),
    ] {
        pair(at, number);
    }
    text[28] = b'0' + u8::try_from(part % 10).unwrap_or(0);
    text
}

/// Year, month and day of a day counted from 1970, within the years of 64 bits of nanoseconds.
fn date(day: i64) -> (u64, u64, u64) {
    // Years that begin in March, so that the leap day is the last; in eras of 400 years, of which
    // all days have the same length.
    let day = u64::try_from(day + 719_468).unwrap_or(0);
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day_of_month)
}

/// Writes a text as JSON, in its quotes.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        by_serde(out, text);
    }
}

/// Writes a finite float as JSON: its shortest digits that read back the same.
pub(crate) fn write_float(out: &mut Vec<u8>, float: f64) {
    by_serde(out, &float);
}

fn by_serde<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts and finite floats are JSON, memory takes all");
}

/// Whether a byte stands in JSON as it is.
const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests;
