//! The command line: a verb a file.

mod subscribe;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "tapeline", version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Subscribe(subscribe::SubscribeArgs),
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let Verb::Subscribe(args) = Cli::parse().verb;
    match subscribe::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "failed");
            ExitCode::from(error.exit_code())
        }
    }
}
