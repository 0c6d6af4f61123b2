//! `alerts`: what rules found.

use std::any::Any;

use super::fills::words;
use super::{Relation, relation};
use crate::schema::Kind;
use crate::time::VenueTime;
use crate::value::Text;

words! {
    /// How much an alert matters.
    Severity {
        /// Good to know.
        Info = "info",
        /// Of little weight.
        Low = "low",
        /// Worth a look.
        Medium = "medium",
        /// Look now.
        High = "high",
        /// Wake someone.
        Critical = "critical",
    }
}

words! {
    /// Whether an alert's condition still holds.
    AlertState {
        /// It holds.
        Firing = "firing",
        /// A later row ended it.
        Resolved = "resolved",
    }
}

relation! {
    /// One firing of a rule. Gone again where its cause is corrected away.
    Alert {
        key {
            /// The rule's name in the config.
            rule: Text,
            /// Whom or what it is about.
            entity: Text,
            /// The time of the row that fired it.
            time: VenueTime,
            /// The id of the row that fired it; empty where its view has none.
            id: Text,
        }
        /// How much it matters.
        severity: Severity,
        /// Firing or resolved.
        state: AlertState,
        /// The time of the row that resolved it.
        resolved_at: Option<VenueTime>,
        /// What held, with the values that it was about.
        message: Text,
    }
    columns(4, time Some("time")) {
        rule: Kind::Name => |r, _n| &r.rule;
        entity: Kind::Text => |r, _n| &r.entity;
        time: Kind::Time => |r, _n| r.time;
        id: Kind::Text => |r, _n| &r.id;
        severity: Kind::Word(Severity::WORDS) => |r, _n| r.severity;
        state: Kind::Word(AlertState::WORDS) => |r, _n| r.state;
        resolved_at: Kind::Time, null => |r, _n| r.resolved_at;
        message: Kind::Text => |r, _n| &r.message;
    }
}

impl Alert {
    /// The row as an alert; `None` for rows of another type, which the compiler knows.
    pub fn of<R: Relation>(row: &R) -> Option<&Self> {
        let row: &dyn Any = row;
        row.downcast_ref()
    }
}
