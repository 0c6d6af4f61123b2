//! Cells to the fields of the built-in relations.

use std::borrow::Cow;

use super::input::{InputColumn, InputKind};
use crate::event::{Cell, Cells, Reason, Reject};
use crate::fixed::{Money, ONE, Price, Size};
use crate::time::VenueTime;

/// Reads the cells of a row, telling the relation's column where one is wrong.
pub(super) struct Reading<'a> {
    cells: &'a Cells<'a>,
    columns: &'static [InputColumn],
}

impl<'a> Reading<'a> {
    #[inline]
    pub(super) fn new(cells: &'a Cells<'a>, columns: &'static [InputColumn]) -> Self {
        Self { cells, columns }
    }

    pub(super) fn missing(&self, column: usize) -> Reject {
        self.reject(Reason::MissingValue, column, "no value")
    }

    fn reject(&self, reason: Reason, column: usize, detail: &str) -> Reject {
        let name = self.columns.get(column).map(|c| c.name.clone());
        Reject { reason, column: name, detail: detail.to_owned() }
    }

    #[inline]
    pub(super) fn maybe_text(&self, column: usize) -> Option<&'a str> {
        self.cells.text(column)
    }

    #[inline]
    pub(super) fn text(&self, column: usize) -> Result<&'a str, Reject> {
        self.maybe_text(column).ok_or_else(|| self.missing(column))
    }

    #[inline]
    pub(super) fn word<T>(
        &self,
        column: usize,
        from_place: impl Fn(u8) -> Option<T>,
        from_word: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Reject> {
        let word = match self.cells.get(column) {
            Cell::Word(place) => from_place(place),
            Cell::Text(..) => self.maybe_text(column).and_then(from_word),
            _ => return Ok(None),
        };
        word.map(Some).ok_or_else(|| self.unknown_word(column))
    }

    #[cold]
    fn unknown_word(&self, column: usize) -> Reject {
        let reason = match self.columns.get(column).map(|c| c.kind) {
            Some(InputKind::Word(_, reason)) => reason,
            _ => Reason::UnknownValue,
        };
        let text = self.maybe_text(column).unwrap_or_default();
        self.reject(reason, column, &format!("`{text}`"))
    }

    #[inline]
    fn fits<T>(
        &self,
        column: usize,
        make: impl Fn(i128) -> Option<T>,
    ) -> Result<Option<T>, Reject> {
        let Some(nano) = self.cells.nano(column) else { return Ok(None) };
        make(nano).map(Some).ok_or_else(|| self.too_large(column))
    }

    #[cold]
    fn too_large(&self, column: usize) -> Reject {
        self.reject(Reason::OutOfRange, column, "too large")
    }

    #[inline]
    pub(super) fn price(&self, column: usize) -> Result<Option<Price>, Reject> {
        self.fits(column, Price::from_nano)
    }

    #[inline]
    pub(super) fn size(&self, column: usize) -> Result<Option<Size>, Reject> {
        self.fits(column, Size::from_nano)
    }

    #[inline]
    pub(super) fn money(&self, column: usize) -> Result<Option<Money>, Reject> {
        if let Cell::Nano(nano) = self.cells.get(column) {
            // A product of two 64-bit numbers always fits, and costs one multiplication.
            return Ok(Some(Money::from_raw(i128::from(nano) * i128::from(ONE))));
        }
        self.fits(column, Money::from_nano)
    }

    #[inline]
    pub(super) fn time(&self, column: usize) -> Result<VenueTime, Reject> {
        match self.cells.get(column) {
            Cell::Time(time) if time.is_in_range() => Ok(time),
            Cell::Time(_) => {
                let detail = "before 1990-01-01 or not before 2100-01-01";
                Err(self.reject(Reason::TimeOutOfRange, column, detail))
            }
            _ => Err(self.missing(column)),
        }
    }
}

/// A wallet's name as it is kept: hex addresses in lower case, others unchanged.
#[inline]
pub(super) fn wallet_text(text: &str) -> Cow<'_, str> {
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    if is_hex && text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

/// Checks that a fill or trade says what it is worth, and that its price fits.
#[inline]
pub(super) fn notional_or_price(
    price: Option<Price>,
    notional: Option<Money>,
    size: Size,
) -> Result<(), Reject> {
    match (price, notional) {
        (None, None) => {
            Err(Reject::of(Reason::MissingValue, "price", "neither price nor notional"))
        }
        // A product of two 64-bit numbers always fits.
        (Some(_), None) if i64::try_from(size.raw()).is_ok() => Ok(()),
        (Some(price), None) => {
            let value = size.checked_mul_price(price);
            value
                .map(drop)
                .ok_or_else(|| Reject::of(Reason::OutOfRange, "size", "price x size is too large"))
        }
        (_, Some(notional)) => {
            let reads = notional.price_half_even(size).map(drop);
            reads.ok_or_else(|| {
                Reject::of(Reason::PriceOutOfRange, "notional", "notional / size reaches 1e9")
            })
        }
    }
}
