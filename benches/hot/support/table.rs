//! The tables that benches print: each line has its rate, its CPU time and its ratios to what was
//! measured beside it.

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::clocks::Spent;

/// A measured line.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) n_events: usize,
    pub(crate) spent: Spent,
    /// Whether ratios are of wall time: on several threads CPU time says too little.
    pub(crate) by_wall: bool,
}

impl Line {
    /// What counts for ratios.
    fn time(&self) -> Duration {
        if self.by_wall { self.spent.wall } else { self.spent.cpu }
    }

    /// Seconds for an event.
    fn each(&self) -> f64 {
        let n = f64::from(u32::try_from(self.n_events).expect("fewer than 2^32 events"));
        self.time().as_secs_f64() / n
    }

    /// How much of the other's rate this one reaches.
    pub(crate) fn over(&self, other: &Self) -> f64 {
        other.each() / self.each()
    }

    /// Keeps the better of two runs of the same work.
    pub(crate) fn is_better(&self, other: &Self) -> bool {
        self.each() < other.each()
    }
}

/// Prints what the columns are.
#[expect(clippy::print_stdout, reason = "the table is what a bench gives")]
pub(crate) fn title(text: &str) {
    println!("\n{text}");
    println!("{:<44}{:>11}{:>10}{:>10}", "", "events/s", "wall s", "CPU s/M");
}

/// Prints a line with its ratios.
#[expect(clippy::print_stdout, reason = "the table is what a bench gives")]
pub(crate) fn line(line: &Line, ratios: &[(&str, &Line)], notes: &str) {
    let n = f64::from(u32::try_from(line.n_events).expect("fewer than 2^32 events"));
    let Spent { wall, cpu } = line.spent;
    let (rate, each) = (n / wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / n);
    let mut text = format!("{rate:>11.0}{:>10.3}{each:>10.3}", wall.as_secs_f64());
    for (name, other) in ratios {
        write!(text, "  {:.3} x {name}", line.over(other)).expect("memory takes all");
    }
    println!("{:<44}{text}{notes}", line.what);
}

/// Prints a line of words.
#[expect(clippy::print_stdout, reason = "the table is what a bench gives")]
pub(crate) fn note(text: &str) {
    println!("{text}");
}

/// Times of epochs in microseconds.
pub(crate) fn percentiles(epochs: &Histogram<u64>) -> String {
    if epochs.is_empty() {
        return String::new();
    }
    let micros = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e6;
    format!(
        "; epoch p50 {:.1} p99 {:.1} max {:.0} us",
        micros(epochs.value_at_quantile(0.5)),
        micros(epochs.value_at_quantile(0.99)),
        micros(epochs.max()),
    )
}
