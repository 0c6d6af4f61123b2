//! The program: [`tapeline::cli`] with the exit code that it gives.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// In place of the system's, which lets a thread's heap grow by a few pages at a time; what that costs
/// where many rows are made stands in benches/FINDINGS.md.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    #[cfg(feature = "sabotage")]
    types::sabotage::take_out_by_name();
    ExitCode::from(tapeline::cli::run(std::env::args_os()))
}
