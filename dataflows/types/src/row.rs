//! `Row`: a row of a relation that a config declares, or that an expression made.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::id::Sym;
use crate::names::Names;
use crate::relations::{Relation, TakeColumn};
use crate::schema::Schema;
use crate::spell::write_text;
use crate::value::Value;

/// The values of a row in its schema's order, key first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row(pub Arc<[Value]>);

impl Relation for Row {
    type Key = Box<[Value]>;

    fn key(&self, schema: &Schema) -> Self::Key {
        self.0.iter().take(schema.n_key).cloned().collect()
    }

    fn hash_key(&self, schema: &Schema) -> u64 {
        let mut hasher = FxHasher::default();
        self.0.iter().take(schema.n_key).for_each(|value| value.hash(&mut hasher));
        hasher.finish()
    }

    fn has_key_of(&self, other: &Self, schema: &Schema) -> bool {
        self.0.iter().take(schema.n_key).eq(other.0.iter().take(schema.n_key))
    }

    fn column(&self, index: usize, _names: &Names) -> Value {
        self.0.get(index).cloned().unwrap_or(Value::Null)
    }

    fn column_ref(&self, index: usize, _names: &Names) -> Cow<'_, Value> {
        self.0.get(index).map_or(Cow::Owned(Value::Null), Cow::Borrowed)
    }

    fn cell<'a>(&'a self, index: usize, _names: &'a Names) -> Cell<'a> {
        self.0.get(index).map_or(Cell::Null, Cell::from)
    }

    fn sym(&self, _index: usize, _names: &Names) -> Option<Sym> {
        None
    }

    fn for_each_cell(&self, first: usize, _names: &Names, mut take: impl FnMut(&Cell<'_>)) {
        self.0.iter().skip(first).for_each(|value| take(&Cell::from(value)));
    }

    fn take_column<'a, T: TakeColumn>(
        rows: impl Iterator<Item = &'a Self>,
        index: usize,
        names: &'a Names,
        take: T,
    ) -> T::Output {
        take.take(rows.map(|row| row.cell(index, names)))
    }

    fn write_json(&self, out: &mut Vec<u8>, n_columns: usize, schema: &Schema, names: &Names) {
        let mut separator = b'{';
        for (index, column) in schema.columns.iter().take(n_columns).enumerate() {
            out.push(separator);
            write_text(out, &column.name);
            out.push(b':');
            self.cell(index, names).write_json(out);
            separator = b',';
        }
        out.push(b'}');
    }
}
