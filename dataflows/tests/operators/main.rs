//! Operators against their slow twins, on random histories, cuts into epochs and numbers of workers.
#![expect(clippy::unwrap_used, reason = "a test that can not go on panics where it stands")]

mod aggregate;
mod alert;
mod anomaly;
mod asof_join;
mod distinct;
mod edges;
mod features;
mod folds;
mod harness;
mod join;
mod latest;
mod marks;
mod rollup;
mod top_k;
