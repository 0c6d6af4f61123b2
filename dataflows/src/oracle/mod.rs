//! The slow, obvious twins of the operators: plain functions from the final set of rows to the rows
//! of the view. Tests compare them with what the dataflow adds up to; nothing else calls them, and
//! they share no code with the operators.

mod aggregate;
pub mod alert;
pub mod anomaly;
mod asof_join;
mod distinct;
pub mod features;
pub mod fold;
pub mod indicators;
mod join;
mod latest;
pub mod marks;
mod rollup;
mod top_k;

pub use aggregate::{Asked, aggregate};
pub use asof_join::asof_join;
pub use distinct::distinct;
pub use features::features;
pub use join::join;
pub use latest::latest;
pub use rollup::rollup;
pub use top_k::top_k;

use types::json::write_row;
use types::relations::Relation;
use types::{EventId, Names, Schema, Value, VenueTime};

/// A row's place in the order of SEMANTICS section 3, spelt out. `None` where its time is null.
pub(crate) fn place<R: Relation>(
    row: &R,
    schema: &Schema,
    names: &Names,
) -> Option<(VenueTime, Value, Option<EventId>, Vec<u8>)> {
    let column = |name: &str| schema.index(name).map(|index| row.column(index, names));
    let Value::Time(time) = row.column(schema.time?, names) else { return None };
    let id = match column("id") {
        Some(Value::Text(text)) => Some(EventId::new(text.as_str())),
        _ => None,
    };
    let mut text = Vec::new();
    write_row(&mut text, row, schema, names);
    Some((time, column("seq").unwrap_or(Value::Null), id, text))
}
