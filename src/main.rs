//! The program `tapeline`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tapeline::cli::run()
}
