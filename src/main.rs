//! The program: [`tapeline::cli`] with the exit code that it gives.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(tapeline::cli::run(std::env::args_os()))
}
