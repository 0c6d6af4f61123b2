//! Operators against their slow twins, on random histories, cuts into epochs and numbers of workers.

mod harness;
mod marks;
mod rollup;
