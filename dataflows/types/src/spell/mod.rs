//! Numbers, times and texts as bytes, without the machinery of `fmt`: what every row passes through
//! on its way out.

use crate::number::div_rem_nano;
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

/// Adds what `write` puts into room for `N` bytes; it gives how many they are.
#[inline]
fn add<const N: usize>(out: &mut Vec<u8>, write: impl FnOnce(&mut [u8; N]) -> usize) {
    let start = out.len();
    // Room of a fixed size needs no call to copy or clear memory.
    out.extend_from_slice(&[0; N]);
    let room = out.get_mut(start..).and_then(|room| room.first_chunk_mut());
    let n_bytes = room.map_or(0, write);
    out.truncate(start + n_bytes);
}

/// Room for a number of 64 bits, with sign, point and quotes.
const SHORT_ROOM: usize = 24;
/// What eight digits can't hold.
const EIGHT: u64 = 100_000_000;

/// Eight digits of a number below 1e8, the first in the lowest byte, all computed at once.
const fn eight(number: u64) -> u64 {
    // Two numbers below 1e4, then four below 100, then eight below 10, each in its own bits.
    let fours = (number / 10_000) | (number % 10_000) << 32;
    let hundreds = (fours.wrapping_mul(10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | fours.wrapping_sub(hundreds.wrapping_mul(100)) << 16;
    let tens = (twos.wrapping_mul(103) >> 10) & 0x000f_000f_000f_000f;
    tens | twos.wrapping_sub(tens.wrapping_mul(10)) << 8
}

/// Eight zeros.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Puts eight bytes at a place, the lowest first.
fn put(room: &mut [u8; SHORT_ROOM], at: usize, bytes: u64) {
    room[at..at + 8].copy_from_slice(&bytes.to_le_bytes());
}

/// Puts a number at a place, where there is room for eight bytes more than it has; gives where it ends.
fn put_number(room: &mut [u8; SHORT_ROOM], at: usize, number: u64) -> usize {
    if number < 10 {
        room[at] = b'0' + u8::try_from(number).unwrap_or(0);
        return at + 1;
    }
    if number < EIGHT {
        let digits = eight(number);
        let n_missing = usize::try_from(digits.trailing_zeros() / 8).unwrap_or(0);
        put(room, at, (digits | ZEROS) >> (8 * n_missing));
        return at + 8 - n_missing;
    }
    let at = put_number(room, at, number / EIGHT);
    put(room, at, eight(number % EIGHT) | ZEROS);
    at + 8
}

/// Puts `size x 10^-9` at a place; gives where it ends.
fn put_nano(room: &mut [u8; SHORT_ROOM], at: usize, size: u64) -> usize {
    let (whole, part) = (size / NANO, size % NANO);
    let at = put_number(room, at, whole);
    if part == 0 {
        return at;
    }
    room[at] = b'.';
    room[at + 1] = b'0' + u8::try_from(part / EIGHT).unwrap_or(0);
    let digits = eight(part % EIGHT);
    put(room, at + 2, digits | ZEROS);
    // Without zeros at the end.
    let n_zeros = usize::try_from(digits.leading_zeros() / 8).unwrap_or(0);
    at + 10 - n_zeros
}

/// Writes a whole number.
pub fn write_count(out: &mut Vec<u8>, number: u64) {
    add(out, |room| put_number(room, 0, number));
}

/// Writes a whole number in quotes.
pub(crate) fn write_quoted_count(out: &mut Vec<u8>, number: u64) {
    add(out, |room| {
        room[0] = b'"';
        let end = put_number(room, 1, number);
        room[end] = b'"';
        end + 1
    });
}

/// Writes `raw x 10^-9` as the shortest decimal, in quotes: `"6"`, `"0.5"`, `"-0.000000001"`.
pub(crate) fn write_quoted_nano(out: &mut Vec<u8>, raw: i128) {
    let Ok(size) = u64::try_from(raw.unsigned_abs()) else {
        return write_quoted_scaled(out, raw, 9);
    };
    add(out, |room| {
        // Without a sign the first digit takes its place.
        room[0] = b'"';
        room[1] = b'-';
        let end = put_nano(room, 1 + usize::from(raw < 0), size);
        room[end] = b'"';
        end + 1
    });
}

/// Writes `raw x 10^-scale` as the shortest decimal, in quotes.
///
/// # Panics
/// If `scale` is above 38.
pub(crate) fn write_quoted_scaled(out: &mut Vec<u8>, raw: i128, scale: u8) {
    out.push(b'"');
    out.extend_from_slice(scaled(raw, scale).bytes());
    out.push(b'"');
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

/// Units of 1e-9 of units of 1e-18, rounded half-even, without a division of 128 bits.
pub(crate) fn nano_of_atto(raw: i128) -> i128 {
    let size = raw.unsigned_abs();
    let (quotient, rest) = div_rem_nano::<9>(size);
    let is_up = rest * 2 > NANO || (rest * 2 == NANO && quotient % 2 == 1);
    let nano = quotient + u128::from(is_up);
    // A billionth of 128 bits fits them.
    let nano = i128::try_from(nano).unwrap_or(i128::MAX);
    if raw < 0 { -nano } else { nano }
}

/// Nanoseconds of a day.
const DAY: i64 = 86_400 * 1_000_000_000;

/// Writes a time in quotes: RFC 3339 with nine digits and `Z`.
pub(crate) fn write_quoted_time(out: &mut Vec<u8>, time: VenueTime) {
    add(out, |room: &mut [u8; 32]| {
        *room = quoted_time(time);
        room.len()
    });
}

/// The text of a time in quotes.
pub(crate) fn quoted_time(time: VenueTime) -> [u8; 32] {
    let nanos = time.nanos();
    let (year, month, day) = date(nanos.div_euclid(DAY));
    let rest = u64::try_from(nanos.rem_euclid(DAY)).unwrap_or(0);
    let (seconds, part) = (rest / NANO, rest % NANO);
    let mut text = *b"\"0000-00-00T00:00:00.000000000Z\"";
    let mut pair = |at: usize, number: u64| {
        text[at..at + 2].copy_from_slice(&PAIRS[usize::try_from(number % 100).unwrap_or(0)]);
    };
    // 64 bits of nanoseconds hold the years 1677 to 2262.
    for (at, number) in [
        (1, year / 100),
        (3, year),
        (6, month),
        (9, day),
        (12, seconds / 3_600),
        (15, seconds / 60 % 60),
        (18, seconds % 60),
        (21, part / 10_000_000),
        (23, part / 100_000),
        (25, part / 1_000),
        (27, part / 10),
    ] {
        pair(at, number);
    }
    text[29] = b'0' + u8::try_from(part % 10).unwrap_or(0);
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
    let bytes = text.as_bytes();
    if bytes.len() > SHORT_TEXT {
        if bytes.chunks(8).all(|bytes| are_plain(word(bytes))) {
            out.push(b'"');
            out.extend_from_slice(bytes);
            return out.push(b'"');
        }
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // The two meet or overlap.
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        if are_plain(first) && are_plain(last) {
            return add(out, |room| {
                put(room, 1, first);
                put(room, bytes.len() - 7, last);
                in_quotes(room, bytes.len())
            });
        }
    } else {
        let word = word(bytes);
        if are_plain(word) {
            return add(out, |room| {
                put(room, 1, word);
                in_quotes(room, bytes.len())
            });
        }
    }
    by_serde(out, text);
}

/// The most bytes of a text that is written as two words.
const SHORT_TEXT: usize = 16;

/// Puts quotes around `n_bytes` from the second on; gives where they end.
const fn in_quotes(room: &mut [u8; SHORT_ROOM], n_bytes: usize) -> usize {
    room[0] = b'"';
    room[n_bytes + 1] = b'"';
    n_bytes + 2
}

/// The first eight bytes as a number, the first lowest; spaces, which are plain, behind the last.
fn word(bytes: &[u8]) -> u64 {
    if let Some(whole) = bytes.first_chunk() {
        return u64::from_le_bytes(*whole);
    }
    let spaces = 0x2020_2020_2020_2020 << (8 * bytes.len());
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // The two meet or overlap.
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (bytes.len() - 4)) | spaces;
    }
    let text = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    text | spaces
}

/// Whether eight bytes stand in JSON as they are.
const fn are_plain(word: u64) -> bool {
    // The top bit of a byte is set where subtracting borrows, and in the byte itself beyond ASCII, which
    // is plain. A borrow may also reach the next byte, but only from one that isn't plain.
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    const fn below(word: u64, bound: u64) -> u64 {
        word.wrapping_sub(bound * ONES) & !word
    }
    let quote = below(word ^ (0x22 * ONES), 1);
    let escape = below(word ^ (0x5c * ONES), 1);
    (below(word, 0x20) | quote | escape) & TOPS == 0
}

/// Writes a finite float as JSON: its shortest digits that read back the same.
pub(crate) fn write_float(out: &mut Vec<u8>, float: f64) {
    by_serde(out, &float);
}

fn by_serde<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("texts and finite floats are JSON, memory takes all");
}

#[cfg(test)]
mod tests;
