//! The program: [`tapeline::cli`] with the exit code that it gives.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tapeline::cli::run(std::env::args_os()))
}
