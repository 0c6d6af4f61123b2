//! The view `alerts`: what all rules of a config find, in one place.

use types::relations::RelationKind;

use crate::edge::Edge;
use crate::plan::{Build, Context, Output, Port, Prepared};

/// Puts the alerts of several rules together. Each rule's name is part of the key, so that no two
/// of them meet. It keeps nothing.
///
/// # Panics
/// If there is no input.
pub fn alerts(inputs: Vec<Port>) -> Prepared {
    assert!(!inputs.is_empty(), "a union of alerts reads at least one rule");
    let outputs = vec![Output::built_in("", RelationKind::Alerts)];
    Prepared { inputs, outputs, build: Box::new(Union) }
}

struct Union;

impl Build for Union {
    fn build<'s>(&self, _context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let mut rules = inputs.iter().map(|edge| match edge {
            Edge::Alerts(rows) => rows.clone(),
            other => panic!("alerts were planned, {:?} came", other.kind()),
        });
        let first = rules.next().expect("checked when it was planned");
        vec![Edge::Alerts(first.concatenate(rules))]
    }
}
