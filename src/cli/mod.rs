//! The command line: a verb each. Data on stdout, words on stderr; a closed pipe is no error.

mod checkpoint;
pub mod list;
mod quarantine;
mod replay;
mod run;
mod score;
pub(crate) mod subscribe;
mod summary;
mod test;
pub mod validate;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use clap::{Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::ConfigError;
use crate::config::message::{Weight, render};
use crate::error::Error;

/// A streaming dataflow engine for market data: exact, correctable, incremental.
#[derive(Debug, Parser)]
#[command(
    name = "tapeline",
    version,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        tapeline run configs/demo.toml           run a config until its files end\n  \
        tapeline validate configs/demo.toml      find every mistake in a config\n  \
        tapeline test configs/demo.toml          run the tests that a config carries\n  \
        tapeline list operators                  see what a view can be\n  \
        tapeline quarantine list configs/demo.toml   see rows that couldn't be used, and why\n  \
        tapeline checkpoint list configs/demo.toml   see what a run can go on from\n  \
        tapeline score rows.csv -o scores.csv    how unusual each row is among those before it\n\n\
        Exit codes: 0 fine, 1 findings, 2 wrong usage or config, 3 failed while running, \
        4 something outside couldn't be reached."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Validate(validate::Args),
    Test(test::Args),
    List(list::Args),
    Quarantine(quarantine::Args),
    Checkpoint(checkpoint::Args),
    Subscribe(subscribe::SubscribeArgs),
    Score(score::Args),
}

/// How data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What is told while a command runs, unless `RUST_LOG` says otherwise.
const TOLD: &str = "warn,tapeline=info,connectors=info";

/// Lets what stages tell go to stderr. Where that was done before, in this process, it stays so.
fn tell_on_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(TOLD));
    let told = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    told.with_ansi(is_colored()).with_target(false).try_init().unwrap_or_default();
}

/// Runs a command line, program name first; gives the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    tell_on_stderr();
    let outcome = match Cli::try_parse_from(arguments) {
        Ok(cli) => match cli.verb {
            Verb::Run(arguments) => run::run(&arguments),
            Verb::Subscribe(arguments) => subscribe::run(&arguments).map_err(Error::from),
            Verb::Validate(arguments) => validate::run(&arguments),
            Verb::Test(arguments) => test::run(&arguments),
            Verb::List(arguments) => list::run(arguments),
            Verb::Checkpoint(arguments) => checkpoint::run(&arguments),
            Verb::Quarantine(arguments) => quarantine::run(&arguments),
            Verb::Score(arguments) => score::run(&arguments),
        },
        Err(error) => {
            // Help and versions are data, mistakes are words: clap knows which stream is whose.
            drop(error.print());
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            say(&told(&error));
            error.exit_code()
        }
    }
}

/// Writes data to stdout. A reader that has gone away has what it wanted.
///
/// # Errors
/// Where stdout can't be written for another reason.
pub(crate) fn put(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { doing: "writing to stdout".to_owned(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes words to stderr; nobody can be told where that fails.
pub(crate) fn say(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Whether words go to a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether words may be coloured.
pub(crate) fn is_colored() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// The environment, as configs see it.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An error and what caused it, each once.
fn told(error: &Error) -> String {
    if let Error::Config(ConfigError::Problems { texts, problems }) = error {
        let shown = render(texts, problems, Weight::Error, is_colored());
        return format!("{shown}\nerror: {error}\n");
    }
    let mut lines = vec![format!("error: {error}")];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        lines.push(format!("  because: {error}"));
        cause = error.source();
    }
    lines.extend(error.hint().map(|hint| format!("  hint: {hint}")));
    lines.push(String::new());
    lines.join("\n")
}
