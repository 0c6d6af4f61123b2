//! What the benches share: the events, the loops that the engine is measured against, the harness
//! that drives dataflows, clocks, tables.

pub(crate) mod arguments;
pub(crate) mod baselines;
pub(crate) mod clocks;
pub(crate) mod digest;
pub(crate) mod engine;
pub(crate) mod harness;
pub(crate) mod loops;
pub(crate) mod snapshots;
pub(crate) mod stream;
pub(crate) mod table;
