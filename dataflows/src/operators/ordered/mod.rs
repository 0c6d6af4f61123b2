//! Rows in the order of SEMANTICS section 3: event time, `seq`, id, the row's text.

mod places;

use std::collections::BTreeMap;
use std::sync::Arc;

use types::json::write_row;
use types::relations::{
    Alert, Bar, Break, Fill, FoldError, MarkNow, Pnl, PnlNow, Position, PositionPnl, Quote,
    Relation, Settlement, Trade,
};
use types::sabotage::{Safeguard, is_out};
use types::schema::{Column, Type};
use types::{EventId, Names, Row, Schema, Value, VenueTime};

use self::places::Places;

/// A row's place, without its text: only rows that tie are worth writing out.
pub(crate) type Place = (VenueTime, Value, Option<EventId>);

/// Stands before every place of a time.
pub(crate) const fn first_at(time: VenueTime) -> Place {
    (time, Value::Null, None)
}

/// Whether a column tells rows of one key apart, as their places do: their time, or their id.
pub(crate) fn is_of_row(schema: &Schema, index: usize) -> bool {
    let is_id = |column: &Column| {
        column.name == "id" && matches!(column.kind.of(), Type::Text | Type::Number)
    };
    Some(index) == schema.time || schema.columns.get(index).is_some_and(is_id)
}

/// A row whose id may be known better than its text tells.
pub(crate) trait HasId: Relation {
    /// The id, where the type has one of its own.
    fn event_id(&self) -> Option<EventId> {
        None
    }

    /// The row without the columns behind the first so many, where it has columns of its own.
    fn cut(self, _n_columns: usize) -> Self {
        self
    }
}

impl HasId for Row {
    fn cut(self, n_columns: usize) -> Self {
        match self.0.get(..n_columns) {
            Some(kept) if kept.len() < self.0.len() => Self(kept.into()),
            _ => self,
        }
    }
}

macro_rules! has_id {
    (with: $($with:ty),*; without: $($without:ty),*) => {
        $(impl HasId for $with {
            fn event_id(&self) -> Option<EventId> {
                Some(self.id)
            }
        })*
        $(impl HasId for $without {})*
    };
}
has_id! {
    with: Fill, Trade, FoldError, Break;
    without: Quote, Settlement, Position, Bar, Pnl, PositionPnl, PnlNow, MarkNow, Alert
}

/// Finds places and texts of a view's rows.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) schema: Arc<Schema>,
    pub(crate) names: Arc<Names>,
    seq: Option<usize>,
    id: Option<usize>,
}

impl Order {
    pub(crate) fn new(schema: &Arc<Schema>, names: &Arc<Names>) -> Self {
        Self {
            schema: Arc::clone(schema),
            names: Arc::clone(names),
            seq: schema.index("seq"),
            id: schema.index("id"),
        }
    }

    /// The columns that places are made of.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> {
        [self.schema.time, self.seq, self.id].into_iter().flatten()
    }

    /// Whether rows of different keys that agree in these columns, shown as texts, have different places.
    pub(crate) fn tells_apart(&self, agreed: &[usize]) -> bool {
        let Schema { columns, n_key, .. } = &*self.schema;
        columns.iter().enumerate().take(*n_key).all(|(index, column)| {
            // A null may look as a text does.
            let is_agreed = agreed.contains(&index) && !column.nullable;
            is_agreed || Some(index) == self.seq || is_of_row(&self.schema, index)
        })
    }

    /// When a row happened; `None` where that is null or no column says it.
    pub(crate) fn time<R: Relation>(&self, row: &R) -> Option<VenueTime> {
        match row.column(self.schema.time?, &self.names) {
            Value::Time(time) => Some(time),
            _ => None,
        }
    }

    /// The place of a row that counts as of a time.
    pub(crate) fn place<R: HasId>(&self, row: &R, time: VenueTime) -> Place {
        let seq = self.seq.map_or(Value::Null, |seq| row.column(seq, &self.names));
        let id = row.event_id().or_else(|| match row.column(self.id?, &self.names) {
            Value::Text(text) => Some(EventId::new(text.as_str())),
            Value::Number(number) => Some(EventId::new(&number.to_string())),
            _ => None,
        });
        (time, seq, id)
    }

    /// The row's text, which breaks ties.
    pub(crate) fn text<R: Relation>(&self, row: &R) -> Vec<u8> {
        let mut text = Vec::new();
        if is_out(Safeguard::TiesByText) {
            return text;
        }
        write_row(&mut text, row, &self.schema, &self.names);
        text
    }
}

/// Rows in order. Equal rows may stand more than once.
pub(crate) struct Ordered<R> {
    rows: Places<R>,
}

/// The rows of a place: nearly always one.
enum Ties<R> {
    One(R),
    /// By their texts. None is empty.
    Many(BTreeMap<Vec<u8>, Vec<R>>),
}

impl<R: Relation> Ties<R> {
    fn last(&self) -> Option<&R> {
        match self {
            Self::One(row) => Some(row),
            Self::Many(ties) => ties.last_key_value()?.1.last(),
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &R> {
        let (one, many) = match self {
            Self::One(row) => (Some(row), None),
            Self::Many(ties) => (None, Some(ties.values().flatten())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

impl<R: Relation> Ordered<R> {
    pub(crate) const fn new() -> Self {
        Self { rows: Places::Few(Vec::new()) }
    }

    pub(crate) fn insert(&mut self, order: &Order, place: Place, row: R) {
        let Some(ties) = self.rows.get_mut(&place) else {
            self.rows.insert(place, Ties::One(row));
            return;
        };
        let text = order.text(&row);
        if let Ties::Many(ties) = ties {
            ties.entry(text).or_default().push(row);
            return;
        }
        if let Ties::One(first) = std::mem::replace(ties, Ties::Many(BTreeMap::new()))
            && let Ties::Many(ties) = ties
        {
            ties.entry(order.text(&first)).or_default().push(first);
            ties.entry(text).or_default().push(row);
        }
    }

    /// Takes a row out.
    ///
    /// # Panics
    /// If it isn't there: an input never goes below zero.
    pub(crate) fn remove(&mut self, order: &Order, place: &Place, row: &R) {
        match self.rows.get_mut(place) {
            Some(Ties::One(one)) if one == row => {
                self.rows.remove(place);
                return;
            }
            Some(Ties::Many(ties)) => {
                let text = order.text(row);
                let same = ties.get_mut(&text);
                // Rows with one text are nearly always equal, so the last is the one.
                if let Some(rows) = same
                    && let Some(index) = rows.iter().rposition(|tie| tie == row)
                {
                    rows.remove(index);
                    if rows.is_empty() {
                        ties.remove(&text);
                    }
                    if ties.is_empty() {
                        self.rows.remove(place);
                    }
                    return;
                }
            }
            Some(Ties::One(_)) | None => {}
        }
        panic!("a row that isn't held was removed: {row:?}");
    }

    /// The last row.
    pub(crate) fn last(&self) -> Option<&R> {
        self.rows.last()?.last()
    }

    /// Forgets all rows but the last.
    pub(crate) fn keep_last(&mut self) {
        self.rows.keep_last();
        if let Places::Few(few) = &mut self.rows
            && let Some((_, ties)) = few.last_mut()
            && let Ties::Many(many) = ties
            && let Some(last) = many.last_entry().and_then(|mut rows| rows.get_mut().pop())
        {
            *ties = Ties::One(last);
        }
    }

    /// The rows before a place with their times, the last first.
    pub(crate) fn back_from(&self, place: &Place) -> impl Iterator<Item = (VenueTime, &R)> {
        let places = self.rows.before(place).rev();
        places.flat_map(|(place, ties)| ties.iter().rev().map(|row| (place.0, row)))
    }

    /// The rows from a place on, with their times.
    pub(crate) fn from(&self, place: &Place) -> impl Iterator<Item = (VenueTime, &R)> {
        self.rows.from(place).flat_map(|(place, ties)| ties.iter().map(|row| (place.0, row)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests;
