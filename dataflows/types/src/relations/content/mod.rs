//! What tells a repeat from a conflict: a digest of a row's content.

use super::Input;
use crate::digest::Fold;
use crate::event::Cells;
use crate::schema::Schema;
use crate::time::VenueTime;
use crate::value::Value;

/// A digest on its way through a row's columns, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    fold: Fold,
    /// A bit for each column that may be null, so that no value is taken for that of another.
    present: u64,
}

/// 32 bits of a row's content, pinned: [`Fold`] over its fields and its names' texts.
#[inline]
pub fn content32<R: Input>(row: &R, cells: &Cells<'_>, schema: &Schema) -> u32 {
    u32::try_from(digest(row, cells, schema, 0) >> 32).unwrap_or_default()
}

/// 128 bits of a row's content, pinned, where nothing else tells rows apart.
#[inline]
pub fn content128<R: Input>(row: &R, cells: &Cells<'_>, schema: &Schema) -> u128 {
    let [low, high] = [1, 2].map(|seed| u128::from(digest(row, cells, schema, seed)));
    high << 64 | low
}

#[inline]
fn digest<R: Input>(row: &R, cells: &Cells<'_>, schema: &Schema, seed: u64) -> u64 {
    let mut content = Content { fold: Fold::new(seed), present: 1 };
    row.digest(cells, schema, &mut content);
    content.fold.add(content.present);
    content.fold.finish()
}

impl Content {
    /// Adds a word that is never null.
    #[inline]
    pub fn word(&mut self, word: u64) {
        self.fold.add(word);
    }

    /// Adds a time.
    #[inline]
    pub fn time(&mut self, time: VenueTime) {
        self.fold.add(time.nanos().cast_unsigned());
    }

    /// Adds a number that is never null.
    #[inline]
    pub fn number(&mut self, number: i128) {
        self.fold.add_wide(number);
    }

    /// Adds a word or null.
    #[inline]
    pub fn maybe_word(&mut self, word: Option<u64>) {
        self.mark(word.is_some());
        if let Some(word) = word {
            self.fold.add(word);
        }
    }

    /// Adds a number or null.
    #[inline]
    pub fn maybe_number(&mut self, number: Option<i128>) {
        self.mark(number.is_some());
        if let Some(number) = number {
            self.fold.add_wide(number);
        }
    }

    /// Adds a text or null.
    #[inline]
    pub fn text(&mut self, text: Option<&str>) {
        self.mark(text.is_some());
        if let Some(text) = text {
            self.fold.add_text(text);
        }
    }

    /// Adds a value of a declared relation, and of which type it is.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.word(0),
            Value::Bool(flag) => self.word(1 + u64::from(*flag)),
            Value::Number(number) => {
                self.word(3 | u64::from(number.scale()) << 8);
                self.number(number.mantissa());
            }
            Value::Float(float) => {
                self.word(4);
                self.word(float.get().to_bits());
            }
            Value::Time(time) => {
                self.word(5);
                self.time(*time);
            }
            Value::Text(text) => {
                self.word(6);
                self.fold.add_text(text.as_str());
            }
        }
    }

    #[inline]
    fn mark(&mut self, is_present: bool) {
        self.present = self.present << 1 | u64::from(is_present);
    }
}

#[cfg(test)]
mod tests;
