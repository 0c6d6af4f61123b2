//! From a plan to a timely dataflow. Knows epochs only: no clock, no file, no environment.
//!
//! Reading order: [`plan`] (what is computed, settled before anything runs), [`edge`] (what flows
//! between views), [`render`] (one walk from plan to dataflow), [`operators`].
//!
//! To add an operator: a file in `operators/` with its options, `outputs`, `prepare` and `build`; a
//! line in [`operators::OPERATORS`]; its slow twin and a line in the oracle tests.
#![forbid(unsafe_code)]

pub mod clock;
pub mod cold;
pub mod edge;
pub mod inputs;
pub mod operators;
pub mod oracle;
pub mod outputs;
pub mod plan;
pub mod render;
mod resolve;
mod revisions;
pub mod route;

pub use clock::Clock;
pub use cold::{ColdStore, Spilling};
pub use edge::{Coll, Edge};
pub use plan::{Plan, PlanBuilder};
