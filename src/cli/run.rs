//! `tapeline run CONFIG`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Format, environment, is_colored, put, say, summary};
use crate::config::load;
use crate::config::message::{Weight, render};
use crate::engine::{self, Begin, Progress, RunOptions, Summary};
use crate::env::{Stopwatch, System};
use crate::error::Error;
use crate::stop::Stop;

/// How long stopping may take: what isn't delivered by then is kept.
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs a config until its sources end.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline run configs/demo.toml\n  \
    tapeline run configs/demo-server.toml --serve      keep serving when the files are read\n  \
    tapeline run configs/demo.toml --strict            exit 1 if a row went to quarantine")]
pub(super) struct Args {
    /// A config file, or a folder whose .toml files are one config.
    config: PathBuf,
    /// Keeps serving after the sources have ended, until SIGINT or SIGTERM.
    #[arg(long)]
    serve: bool,
    /// Starts anew where an interrupted run would be gone on with.
    #[arg(long)]
    fresh: bool,
    /// Goes on though the log is damaged: puts the damaged part aside, tells what is lost, and reads it
    /// again from the sources.
    #[arg(long, conflicts_with = "fresh")]
    salvage: bool,
    /// Ends with exit code 1 if a row went to quarantine.
    #[arg(long)]
    strict: bool,
    /// How many of each view's newest rows the summary for people shows.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rows: usize,
    /// How the summary is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs a config and prints what it did.
pub(super) fn run(arguments: &Args) -> Result<(), Error> {
    let plan = load(&arguments.config, &environment)?;
    say(&render(&plan.texts, &plan.warnings, Weight::Warning, is_colored()));
    if arguments.serve && plan.server.is_none() {
        return Err(Error::Usage {
            doing: format!("`--serve` needs a `[server]` in {}", arguments.config.display()),
            hint: Some("add `[server]` with `listen = \"127.0.0.1:8080\"`".to_owned()),
        });
    }
    let mut teller = Teller::new();
    let mut printed = Ok(());
    let is_served = arguments.serve;
    let format = arguments.format;
    let stop = Stop::on_signals(DEADLINE, say)?;
    let options = RunOptions {
        env: Arc::new(System),
        stop: stop.clone(),
        begin: match (arguments.fresh, arguments.salvage) {
            (true, _) => Begin::Fresh,
            (false, true) => Begin::Salvage,
            (false, false) => Begin::GoOn,
        },
        // A summary for programs holds no rows.
        n_newest: if format == Format::Json { 0 } else { arguments.rows },
        progress: &mut |progress| teller.tell(progress),
        listening: &mut |address| say(&format!("listening on http://{address}\n")),
        hold: &mut |done: &Summary| {
            printed = put(&summary::write(done, format));
            if is_served && !done.is_stopped {
                say("all sources have ended; serving until SIGINT or SIGTERM\n");
                stop.wait();
            }
        },
    };
    let done = engine::run(plan, options);
    teller.end();
    let done = done?;
    printed?;
    let n_refused: u64 = done.sinks.iter().map(|(_, report)| report.n_refused).sum();
    let n_set_aside = done.counts.quarantined + n_refused;
    if arguments.strict && n_set_aside > 0 {
        let found = format!("{n_set_aside} rows are in quarantine");
        return Err(Error::Findings { found });
    }
    Ok(())
}

/// How often plain progress lines come.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows progress: a bar on a terminal, else a line now and then.
struct Teller {
    bar: Option<ProgressBar>,
    watch: Stopwatch,
    /// How many lines were due so far.
    n_lines: u64,
}

impl Teller {
    fn new() -> Self {
        Self { bar: None, watch: Stopwatch::start(), n_lines: 0 }
    }

    fn tell(&mut self, progress: &Progress) {
        let (done, all) = progress.bytes;
        let seconds = self.watch.elapsed();
        let rate = u128::from(progress.n_rows) * 1000 / seconds.as_millis().max(1);
        let time = progress.event_time.map(|time| time.to_string()).unwrap_or_default();
        let time = time.get(..19).unwrap_or_default();
        let words = format!("{} rows, {rate}/s, event time {time}", progress.n_rows);
        if super::is_terminal() {
            let bar = self.bar.get_or_insert_with(|| ProgressBar::new(all).with_style(style()));
            bar.set_position(done);
            bar.set_message(words);
            return;
        }
        let due = u64::try_from(seconds.as_millis() / LINE_EVERY.as_millis()).unwrap_or(0);
        if due > self.n_lines {
            self.n_lines = due;
            say(&format!("{words}, {}% of the files\n", done * 100 / all.max(1)));
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{wide_bar} {percent}%  {msg}  {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
