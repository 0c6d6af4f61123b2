//! `Row`: a row of a relation that a config declares, or that an expression made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::Names;
use crate::relations::Relation;
use crate::schema::Schema;
use crate::value::Value;

/// The values of a row in its schema's order, key first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row(pub Arc<[Value]>);

impl Relation for Row {
    type Key = Box<[Value]>;

    fn key(&self, schema: &Schema) -> Self::Key {
        self.0.iter().take(schema.n_key).cloned().collect()
    }

    fn column(&self, index: usize, _names: &Names) -> Value {
        self.0.get(index).cloned().unwrap_or(Value::Null)
    }
}
