//! The program: [`tapeline::cli`] with the exit code that it gives.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "sabotage")]
    types::sabotage::take_out_by_name();
    ExitCode::from(tapeline::cli::run(std::env::args_os()))
}
