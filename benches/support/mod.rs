//! What the benches share: the events, the loops that the engine is measured against, clocks, tables.

pub(crate) mod clocks;
pub(crate) mod loops;
pub(crate) mod snapshots;
pub(crate) mod stream;
