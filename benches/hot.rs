//! The hot path.
#![forbid(unsafe_code)]

mod support;

use std::hint::black_box;

use support::clocks::Clocks;
use support::{loops, snapshots, stream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stdout, reason = "the table is what a bench gives")]
fn main() {
    let c = Clocks::thread();
    let n = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(5_000_000);
    let fills = stream::arrivals(n, 1);
    let truth = stream::truth(&fills);
    println!("gen {:?} {} events {} truth", c.spent(), fills.len(), truth.len());
    let p = loops::positions(&truth);
    println!("{} keys", p.len());
    let top = truth.iter().filter(|f| f.wallet == 0).count();
    println!("top wallet {top}");
    drop(p);
    for _ in 0..3 {
        let c = Clocks::thread();
        black_box(loops::positions(&fills));
        println!("positions {:?}", c.spent());
        let c = Clocks::thread();
        black_box(loops::bars(&fills));
        println!("bars {:?}", c.spent());
        let c = Clocks::thread();
        black_box(loops::positions_and_bars(&fills));
        println!("both {:?}", c.spent());
    }
    let c = Clocks::thread();
    let mut rows = 0;
    black_box(snapshots::everything(&fills, (0, 1), |r| {
        rows += 1;
        black_box(r);
    }));
    println!("everything {:?} {rows}", c.spent());
    let c = Clocks::process();
    let parts = loops::parts(&fills, 2, |f| u64::from(f.wallet) * 31 + u64::from(f.asset));
    println!("parts {:?}", c.spent());
    for _ in 0..3 {
        let c = Clocks::process();
        std::thread::scope(|s| {
            for p in &parts {
                s.spawn(|| black_box(loops::positions(p).len()));
            }
        });
        println!("two {:?}", c.spent());
    }
}
