//! What a bench is asked to do.

use super::stream::STEP;

/// The words behind `cargo bench --bench NAME --`.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// Parts to run; all where none is named.
    parts: Vec<String>,
    /// Fills.
    pub(crate) n_fills: u32,
    /// Nanoseconds of event time from one fill to the next.
    pub(crate) step: i64,
    /// How often each line is measured; the best counts.
    pub(crate) n_runs: usize,
    /// Events of an epoch.
    pub(crate) batches: Vec<usize>,
    /// Workers.
    pub(crate) workers: Vec<usize>,
    /// Whether one only asks if it works.
    pub(crate) is_test: bool,
    /// Whether differential's `reduce` is left out, which is slow.
    pub(crate) skips_reduce: bool,
}

impl Arguments {
    /// Reads the process's arguments; `n_fills` is for a run without `--events`.
    pub(crate) fn read(n_fills: u32) -> Self {
        let mut read = Self {
            parts: Vec::new(),
            n_fills,
            step: STEP,
            n_runs: 3,
            batches: vec![10_000, 100, 1],
            workers: vec![1, 2],
            is_test: false,
            skips_reduce: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_default();
            match word.as_str() {
                "--events" => read.n_fills = number(&value()),
                "--runs" => read.n_runs = number(&value()),
                "--batches" => read.batches = value().split(',').map(number).collect(),
                "--workers" => read.workers = value().split(',').map(number).collect(),
                "--no-reduce" => read.skips_reduce = true,
                "--test" => {
                    (read.n_fills, read.n_runs, read.is_test) = (20_000, 1, true);
                    // Some hours, so that there are snapshots.
                    read.step = STEP * 20;
                }
                // Cargo adds words of its own.
                word if word.starts_with("--") => {}
                part => read.parts.push(part.to_owned()),
            }
        }
        read
    }

    /// Whether a part is asked for.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.names(part)
    }

    /// Whether a part is asked for by name.
    pub(crate) fn names(&self, part: &str) -> bool {
        self.parts.iter().any(|name| name == part)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}
