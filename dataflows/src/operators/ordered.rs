//! Rows in the order of SEMANTICS section 3: event time, `seq`, id, the row's text.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::json::write_row;
use types::relations::{
    Alert, Bar, Break, Fill, FoldError, Pnl, PnlNow, Position, PositionPnl, Quote, Relation,
    Settlement, Trade,
};
use types::{EventId, Names, Row, Schema, Value, VenueTime};

/// A row's place, without its text: only rows that tie are worth writing out.
pub(crate) type Place = (VenueTime, Value, Option<EventId>);

/// Stands before every place of a time.
pub(crate) const fn first_at(time: VenueTime) -> Place {
    (time, Value::Null, None)
}

/// A row whose id may be known better than its text tells.
pub(crate) trait HasId: Relation {
    /// The id, where the type has one of its own.
    fn event_id(&self) -> Option<EventId> {
        None
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
    without: Quote, Settlement, Position, Bar, Pnl, PositionPnl, PnlNow, Alert, Row
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
        write_row(&mut text, row, &self.schema, &self.names);
        text
    }
}

/// Rows in order. Equal rows may stand more than once.
pub(crate) struct Ordered<R> {
    rows: BTreeMap<Place, Vec<R>>,
}

impl<R: Relation> Ordered<R> {
    pub(crate) const fn new() -> Self {
        Self { rows: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, order: &Order, place: Place, row: R) {
        let ties = self.rows.entry(place).or_default();
        if ties.is_empty() {
            ties.reserve_exact(1);
            ties.push(row);
            return;
        }
        let text = order.text(&row);
        let index = ties.partition_point(|tie| order.text(tie) <= text);
        ties.insert(index, row);
    }

    /// Takes a row out.
    ///
    /// # Panics
    /// If it isn't there: an input never goes below zero.
    pub(crate) fn remove(&mut self, place: &Place, row: &R) {
        let ties = self.rows.get_mut(place);
        let index = ties.as_ref().and_then(|ties| ties.iter().position(|tie| tie == row));
        let (Some(ties), Some(index)) = (ties, index) else {
            panic!("a row that isn't held was removed: {row:?}");
        };
        ties.remove(index);
        if ties.is_empty() {
            self.rows.remove(place);
        }
    }

    /// The last row.
    pub(crate) fn last(&self) -> Option<&R> {
        self.rows.last_key_value()?.1.last()
    }

    /// Forgets all rows but the last.
    pub(crate) fn keep_last(&mut self) {
        while self.rows.len() > 1 {
            self.rows.pop_first();
        }
        if let Some(mut entry) = self.rows.first_entry() {
            let ties = entry.get_mut();
            ties.drain(..ties.len().saturating_sub(1));
        }
    }

    /// The last row before a place.
    pub(crate) fn before(&self, place: &Place) -> Option<&R> {
        self.rows.range(..place).next_back()?.1.last()
    }

    /// The rows from a place on, with their times.
    pub(crate) fn from(&self, place: &Place) -> impl Iterator<Item = (VenueTime, &R)> {
        self.rows.range(place..).flat_map(|(place, ties)| ties.iter().map(|row| (place.0, row)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
