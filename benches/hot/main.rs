//! The hot path: what the operators cost, beside loops that one would write by hand, beside an empty
//! dataflow and beside differential's `reduce`, all in one process. Each run's rows must be those of
//! the loop over the same events in order.
//!
//!     cargo bench --bench hot                            all parts, 5,000,000 fills: minutes
//!     cargo bench --bench hot -- positions wallet        some parts: positions bars both marks all
//!                                                        wallet corrections memory path
//!     cargo bench --bench hot -- --events 1000000 --runs 5 --batches 100 --workers 1 --no-reduce
//!     cargo bench --bench hot -- --test                  few events, once: whether it works
//!     cargo bench --bench hot --no-run, then
//!     valgrind --tool=callgrind --toggle-collect='*one_by_one*' target/release/deps/hot-*
//!         once-positions --events 200000                 a part once, for exact instruction counts
//!
//! Ratios are of CPU time on one worker and of wall time on two, each of the best of several runs.
#![forbid(unsafe_code)]

mod memory;
mod path;
mod support;
mod views;
mod wallet;

use support::arguments::Arguments;
use support::stream;

/// The events of ENGINE's section 2.
const N_FILLS: u32 = 5_000_000;
const SEED: u64 = 1;

fn main() {
    let arguments = Arguments::read(N_FILLS);
    if memory::is_child(&arguments) {
        return;
    }
    let fills = stream::arrivals(arguments.n_fills, SEED, arguments.step);
    if views::once(&arguments, &fills) {
        return;
    }
    views::run(&arguments, &fills);
    wallet::run(&arguments, &fills);
    memory::run(&arguments);
    path::run(&arguments, &fills);
}
