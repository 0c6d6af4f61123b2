//! Operators against their slow twins, on random histories, cuts into epochs and numbers of workers.

mod alert;
mod harness;
mod latest;
mod marks;
mod rollup;
