//! `tapeline score`: a CSV of numbers through a detector, in one pass.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use connectors::ConnectError;
use csv::StringRecord;
use detectors::{Kind, Options};
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::{is_terminal, say};
use crate::error::Error;
use crate::score::{Columns, Scored, Scorer, TimeUnit, Wanted};

/// Scores the rows of a CSV: how unusual each is among those before it.
///
/// One pass, row by row: each is scored by what was learnt from the rows before it, and then learnt. For
/// each row in there is one out, in the same order: `score` (1 - p, at least 0.999 for one usual row in a
/// thousand; 0 while too little is known), `raw` (the detector's own measure), `state` (`warming` or `ok`)
/// and `why` (of rows whose score is at least `--why`). All columns that no option names must hold
/// numbers; an empty cell is a missing value. The same rows give the same bytes everywhere.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline score rows.csv                               scores on stdout\n  \
    tapeline score rows.csv.gz --drop label -o scores.csv\n  \
    tapeline score series.csv --key file --time timestamp --drop label,window")]
pub(super) struct Args {
    /// The CSV, with a header; a name that ends in .gz is read as gzip.
    rows: PathBuf,
    /// Columns that don't reach the detector.
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    drop: Vec<String>,
    /// The column that says whose row it is: each key has a detector of its own.
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The column that says when it happened: RFC 3339, `2026-01-31 09:00:00` (UTC), or a number.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// What a time that is a number counts, since 1970.
    #[arg(long, value_enum, default_value_t)]
    time_unit: TimeUnit,
    /// Which detector: `combined`, `robust_z`, `loda` or `forest`.
    #[arg(long, default_value = "combined", value_parser = kind)]
    detector: Kind,
    /// What all its chance comes from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The score from which on a row is explained.
    #[arg(long, default_value_t = 0.999)]
    why: f64,
    /// Keys at most: each takes memory, up to 256 KiB or so.
    #[arg(long, default_value_t = 100_000)]
    max_keys: usize,
    /// Where the scores go; stdout by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn kind(name: &str) -> Result<Kind, String> {
    match name {
        "combined" => Ok(Kind::Combined),
        "robust_z" => Ok(Kind::RobustZ),
        "loda" => Ok(Kind::Loda),
        "forest" => Ok(Kind::Forest),
        _ => Err("known: combined, robust_z, loda, forest".to_owned()),
    }
}

/// Scores a file.
pub(super) fn run(arguments: &Args) -> Result<(), Error> {
    let path = &arguments.rows;
    let reading = |error| ConnectError::file("reading", path, error);
    let file = File::open(path).map_err(reading)?;
    let n_bytes = file.metadata().map_err(reading)?.len();
    let bar = ProgressBar::new(n_bytes);
    if arguments.output.is_none() || !is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let bytes = bar.wrap_read(file);
    let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> =
        if is_gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    let mut rows = csv::Reader::from_reader(bytes);
    let wanted = Wanted {
        drop: &arguments.drop,
        key: arguments.key.as_deref(),
        time: arguments.time.as_deref(),
        time_unit: arguments.time_unit,
    };
    let header = rows.headers().map_err(|error| failed(path, error))?;
    let columns = Columns::new(header, &wanted).map_err(|wrong| wrong.of(path))?;
    let options = Options { kind: arguments.detector, seed: arguments.seed, ..Options::default() };
    let mut scorer = Scorer::new(columns, options, arguments.why, arguments.max_keys);
    let out: Box<dyn Write> = match &arguments.output {
        Some(path) => {
            Box::new(File::create(path).map_err(|error| ConnectError::file("making", path, error))?)
        }
        None => Box::new(io::stdout().lock()),
    };
    let mut out = csv::Writer::from_writer(BufWriter::new(out));
    let written = put(&mut out, &["score", "raw", "state", "why"]);
    if written.and_then(|()| score(&mut rows, &mut scorer, &mut out, path))? == Reader::Gone {
        return Ok(());
    }
    bar.finish_and_clear();
    let end = out.flush().or_else(unless_gone);
    end.map_err(|error| Error::Io { doing: "writing scores".to_owned(), source: error })?;
    say(&scorer.summary());
    Ok(())
}

/// Whether there is still somebody who reads what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

fn score(
    rows: &mut csv::Reader<Box<dyn Read>>,
    scorer: &mut Scorer,
    out: &mut csv::Writer<BufWriter<Box<dyn Write>>>,
    path: &Path,
) -> Result<Reader, Error> {
    let mut row = StringRecord::new();
    while rows.read_record(&mut row).map_err(|error| failed(path, error))? {
        let line = row.position().map_or(0, csv::Position::line);
        let Scored { score, raw, state, why } =
            scorer.score(&row, line).map_err(|wrong| wrong.of(path))?;
        match put(out, &[&score.to_string(), &raw.to_string(), state, &why]) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(Reader::Gone);
            }
            written => written?,
        }
    }
    Ok(Reader::There)
}

fn put(out: &mut csv::Writer<BufWriter<Box<dyn Write>>>, cells: &[&str; 4]) -> Result<(), Error> {
    out.write_record(cells)
        .map_err(|error| Error::Io { doing: "writing scores".to_owned(), source: error.into() })
}

/// A reader that has gone away has what it wanted.
fn unless_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// A CSV that can't be read: the library names line and what is wrong.
fn failed(path: &Path, error: csv::Error) -> Error {
    ConnectError::broken(format!("reading {}", path.display())).because(error).into()
}
