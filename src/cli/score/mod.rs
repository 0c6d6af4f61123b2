//! `tapeline score`: a CSV of numbers through a detector, in one pass.

mod out;

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use connectors::ConnectError;
use csv::StringRecord;
use dataflows::plan::{Node, Scoring};
use detectors::{Kind, Options};
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget};

use self::out::Out;
use super::{environment, is_terminal, say};
use crate::config::load;
use crate::error::Error;
use crate::score::{Columns, Scope, Scored, Scorer, TimeUnit, Wanted, Wrong};

/// Scores the rows of a CSV: how unusual each is among those before it.
///
/// One pass, row by row: each is scored by what was learnt from the rows before it, and then learnt. For
/// each row in there is one out, in the same order: `score` (1 - p, at least 0.999 for one usual row in a
/// thousand; 0 while too little is known), `raw` (the detector's own measure), `state` (`warming` or `ok`)
/// and `why` (of rows whose score is at least `--why`). All columns that no option names must hold
/// numbers; an empty cell is a missing value. A blank line is no row: in a CSV of one column a missing value
/// is `""`. The same rows give the same bytes everywhere.
///
/// With `--config` rows are scored as its view with `op = "anomaly"` scores them that come in this order:
/// by its detector, its `columns` (where it lists none those that it looks at and the rows have, or all)
/// and its `scope`. One model serves all keys then, each in units of its own: its rows are `warming`, and not
/// learnt, until one of its columns had 8 values. With `scope = "key"` each has a model. A key that rests for
/// longer than its `forget_after` is forgotten, by `--time`, when its next row comes: until then it counts
/// towards `--max-memory`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline score rows.csv                               scores on stdout\n  \
    tapeline score rows.csv.gz --drop label -o scores.csv\n  \
    tapeline score series.csv --key file --time timestamp --drop label,window\n  \
    tapeline score flow.csv -c configs/market-watch.toml --time time
                                                          as the view of a config scores them")]
pub(super) struct Args {
    /// The CSV, with a header; a name that ends in .gz is read as gzip, and `-` is stdin.
    rows: PathBuf,
    /// What stands between cells: `,` by default, `;` or `tab`.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Columns that don't reach the detector, as a line of CSV: a name that holds a comma stands in double
    /// quotes, like `--drop 'label,"price, USD"'`. It may be given several times.
    #[arg(long, value_name = "COLUMN,..", value_parser = names)]
    drop: Vec<Listed>,
    /// The column that says whose row it is: each key has a detector of its own. With `--config` what the
    /// view tells keys apart by where not given, if the rows have it.
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The column that says when it happened: RFC 3339 (also with `[Zone/Name]`), `2026-01-31 09:00:00` (UTC), or a number since 1970.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// What a time that is a number counts.
    #[arg(long, value_enum, default_value_t)]
    time_unit: TimeUnit,
    /// A config that says how rows are scored, in its view with `op = "anomaly"`.
    #[arg(short, long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Which view of the config, where it has several.
    #[arg(long, requires = "config")]
    view: Option<String>,
    /// Which detector: `combined` (default), `robust_z`, `loda` or `forest`.
    #[arg(long, value_parser = kind)]
    detector: Option<Kind>,
    /// Rows that are learnt before the first score, 16 to 65536; 32 by default.
    #[arg(long, value_name = "N", value_parser = warm_up)]
    warm_up: Option<usize>,
    /// What all its chance comes from; 0 by default.
    #[arg(long)]
    seed: Option<u64>,
    /// The score from which on a row is explained; 0.999 by default. Above 1 none is.
    #[arg(long, value_parser = least_score)]
    why: Option<f64>,
    /// What all detectors may hold: a key's takes about 160 KiB and 10 KiB a column once it has seen a
    /// thousand rows.
    #[arg(long, default_value = "4GiB", value_parser = bytes)]
    max_memory: u64,
    /// Where the scores go; `-` or nothing is stdout. A name that ends in .gz is written as gzip.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Names of columns.
#[derive(Clone, Debug)]
struct Listed(Vec<String>);

/// Reads names as the header that they stand in.
fn names(text: &str) -> Result<Listed, String> {
    let mut lines = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut lines = lines.records().map(|line| line.map_err(|error| error.to_string()));
    // A header may have a column without a name.
    let line = lines.next().unwrap_or_else(|| Ok(StringRecord::from(vec![""])))?;
    match lines.next() {
        None => Ok(Listed(line.iter().map(str::to_owned).collect())),
        Some(_) => Err("one line of names".to_owned()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    crate::config::bytes(text).ok_or_else(|| "sizes look like 64MiB, 4GiB".to_owned())
}

/// What stands between cells: one byte of ASCII.
fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if text == "tab" => Ok(b'\t'),
        // What stands in numbers or about texts can't stand between cells.
        [byte] if byte.is_ascii_punctuation() && !b"\"'.-+".contains(byte) => Ok(*byte),
        b" " => Ok(b' '),
        _ => Err("one character, like `;`, or `tab`".to_owned()),
    }
}

fn warm_up(text: &str) -> Result<usize, String> {
    let rows = text.parse().ok().filter(|rows| (16..=65_536).contains(rows));
    rows.ok_or_else(|| "a number from 16 to 65536".to_owned())
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

impl Args {
    /// The columns that don't reach the detector.
    fn dropped(&self) -> Vec<String> {
        self.drop.iter().flat_map(|Listed(names)| names).cloned().collect()
    }

    /// How the config's view scores rows.
    fn scoring(&self) -> Result<Option<Scoring>, Error> {
        let Some(path) = &self.config else { return Ok(None) };
        let config = load(path, &environment)?;
        let of = |node: &Node| Some((node.name.clone(), node.build.scoring()?.clone()));
        let all = config.plan.nodes.iter().filter_map(of).collect();
        chosen(all, self.view.as_deref()).map(Some).map_err(|wrong| wrong.of(path))
    }

    /// The detector's options, and the score from which on rows are explained: those of the config, but
    /// for what is said here.
    fn detector(&self, scoring: Option<&Scoring>) -> (Options, f64) {
        let options = scoring.map_or_else(Options::default, |scoring| scoring.options.clone());
        let kind = self.detector.unwrap_or(options.kind);
        let seed = self.seed.unwrap_or(options.seed);
        let warm_up = self.warm_up.unwrap_or(options.warm_up);
        let why = self.why.or(scoring.map(|scoring| scoring.explain_from)).unwrap_or(0.999);
        (Options { kind, seed, warm_up, ..options }, why)
    }

    /// The columns that are looked at; all where there is no view, or the rows have none of its columns.
    fn columns(&self, scoring: Option<&Scoring>, header: &StringRecord) -> Option<Vec<String>> {
        let scoring = scoring?;
        if scoring.lists_columns {
            return Some(scoring.columns.clone());
        }
        let is_there = |name: &&String| header.iter().any(|column| column == name.as_str());
        let there: Vec<String> = scoring.columns.iter().filter(is_there).cloned().collect();
        // Dropped ones aren't looked for.
        let dropped = self.dropped();
        let is_known = |name: &&String| there.contains(name) || dropped.contains(name);
        (!there.is_empty()).then(|| scoring.columns.iter().filter(is_known).cloned().collect())
    }

    /// Where the rows aren't scored as the view would score them.
    fn departures(&self, scoring: &Scoring, columns: Option<&[String]>) -> String {
        let mut text = String::new();
        let mut warn = |what: String| text.extend(["warning: ", &what, "\n"]);
        if columns.is_none() {
            warn("the rows have none of the columns that the view looks at: all count".to_owned());
        }
        let is_left_out = |name: &&String| columns.is_some_and(|columns| !columns.contains(name));
        let lacking: Vec<&str> =
            scoring.columns.iter().filter(is_left_out).map(String::as_str).collect();
        if !lacking.is_empty() {
            warn(format!("the rows lack columns that the view looks at: {}", lacking.join(", ")));
        }
        if let Some(name) = &scoring.refit_on {
            warn(format!("fits that `{name}` asks for (refit_on) aren't made"));
        }
        if scoring.forget_after.is_some() && self.time.is_none() {
            warn("without `--time` no key rests, so none is forgotten (forget_after)".into());
        }
        if self.key.is_some() && !scoring.is_by_key && !scoring.is_normalised {
            warn(
                "the view takes all numbers as they are: `--key` only leaves its column out".into(),
            );
        }
        text
    }

    /// The columns of the key, and what to say where the view's aren't there.
    fn key(
        &self,
        scoring: Option<&Scoring>,
        header: &StringRecord,
    ) -> (Vec<String>, Option<String>) {
        let (None, Some(scoring)) = (&self.key, scoring) else {
            return (self.key.iter().cloned().collect(), None);
        };
        let by = &scoring.by;
        if by.iter().all(|name| header.iter().any(|column| column == name)) {
            return (by.clone(), None);
        }
        let is_needed = scoring.is_by_key || scoring.is_normalised;
        let warning = format!(
            "warning: the rows lack what the view tells keys apart by, {}: all count as one key's, unless \
             `--key` names a column\n",
            by.join(", ")
        );
        (Vec::new(), is_needed.then_some(warning))
    }
}

/// What keys have of their own, as a view says.
const fn scope(scoring: &Scoring) -> Scope {
    let Scoring { is_by_key, is_normalised, forget_after, .. } = *scoring;
    Scope { is_by_key, is_normalised, passes_over: true, forget_after }
}

/// The scoring of a view, or of the only one.
fn chosen(mut views: Vec<(String, Scoring)>, wanted: Option<&str>) -> Result<Scoring, Wrong> {
    let names: Vec<String> = views.iter().map(|(name, _)| format!("`{name}`")).collect();
    if let Some(wanted) = wanted {
        views.retain(|(name, _)| name == wanted);
    }
    match (views.len(), views.pop(), wanted) {
        (1, Some((_, scoring)), _) => Ok(scoring),
        (0, _, None) => Err(Wrong {
            what: "no view of the config has `op = \"anomaly\"`".to_owned(),
            hint: Some("leave `--config` out for the default detector".to_owned()),
        }),
        (0, _, Some(wanted)) => Err(Wrong {
            what: format!("no view `{wanted}` of the config has `op = \"anomaly\"`"),
            hint: Some(format!("those that have: {}", names.join(", "))),
        }),
        _ => Err(Wrong {
            what: "several views of the config have a detector".to_owned(),
            hint: Some(format!("name one with `--view`: {}", names.join(", "))),
        }),
    }
}

/// Scores a file.
pub(super) fn run(arguments: &Args) -> Result<(), Error> {
    let path = arguments.rows.as_path();
    let output = arguments.output.as_deref().filter(|path| !is_standard(path));
    let (bytes, bar) = open(path, output.is_none())?;
    let left = Rc::new(Cell::new(ROW_BYTES));
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(arguments.delimiter.unwrap_or(b','))
        .from_reader(Bounded { bytes, left: Rc::clone(&left) });
    let header = rows.headers().map_err(|error| failed(path, error))?;
    check_header(header, arguments.delimiter.is_some()).map_err(|wrong| wrong.of(path))?;
    let mut scorer = scorer(arguments, header)?;
    let mut out = Out::open(output, path)?;
    let mut row = StringRecord::new();
    out.put(&["score", "raw", "state", "why"])?;
    while !out.is_closed() {
        left.set(ROW_BYTES);
        if !rows.read_record(&mut row).map_err(|error| failed(path, error))? {
            break;
        }
        let line = row.position().map_or(0, csv::Position::line);
        let Scored { score, raw, state, why } =
            scorer.score(&row, line).map_err(|wrong| wrong.of(path))?;
        out.put(&[&score.to_string(), &raw.to_string(), state, &why])?;
    }
    bar.finish_and_clear();
    if out.finish()? {
        say(&scorer.summary());
    }
    Ok(())
}

/// The bytes of the rows, and how far they were read.
fn open(path: &Path, is_quiet: bool) -> Result<(Box<dyn Read>, ProgressBar), Error> {
    if is_standard(path) {
        return Ok((Box::new(io::stdin().lock()), ProgressBar::hidden()));
    }
    let reading = |error| ConnectError::file("reading", path, error);
    let file = File::open(path).map_err(reading)?;
    let bar = ProgressBar::new(file.metadata().map_err(reading)?.len());
    if is_quiet || !is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let bytes = bar.wrap_read(file);
    let bytes: Box<dyn Read> =
        if is_gzip(path) { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    Ok((bytes, bar))
}

/// Tells a header that can't be one: of nothing, or of cells that something else stands between.
fn check_header(header: &StringRecord, is_told: bool) -> Result<(), Wrong> {
    if header.iter().all(str::is_empty) {
        let what = "there is no header".to_owned();
        let hint = "the first line names the columns, and rows follow".to_owned();
        return Err(Wrong { what, hint: Some(hint) });
    }
    let whole = header.get(0).filter(|_| header.len() == 1).unwrap_or_default();
    let others = [(';', ";"), ('\t', "tab"), ('|', "|")];
    match others.iter().find(|(c, _)| !is_told && whole.contains(*c)) {
        None => Ok(()),
        Some((_, name)) => Err(Wrong {
            what: format!("the header is one column, `{whole}`"),
            hint: Some(format!(
                "say what stands between cells: `--delimiter '{name}'`, or `','` if it is one"
            )),
        }),
    }
}

/// The least score of something; none is above 1.
fn least_score(text: &str) -> Result<f64, String> {
    let score = text.parse().ok().filter(|score: &f64| *score >= 0.0);
    score.ok_or_else(|| "a score is at least 0; above 1 no row is explained".to_owned())
}

/// What scores the rows under a header.
fn scorer(arguments: &Args, header: &StringRecord) -> Result<Scorer, Error> {
    let scoring = arguments.scoring()?;
    let scoring = scoring.as_ref();
    let (key, warning) = arguments.key(scoring, header);
    let columns = arguments.columns(scoring, header);
    let departures = scoring.map(|scoring| arguments.departures(scoring, columns.as_deref()));
    let dropped = arguments.dropped();
    let wanted = Wanted {
        columns: columns.as_deref(),
        drop: &dropped,
        key: &key,
        time: arguments.time.as_deref(),
        time_unit: arguments.time_unit,
    };
    let columns = Columns::new(header, &wanted).map_err(|wrong| wrong.of(&arguments.rows))?;
    say(&(warning.unwrap_or_default() + &departures.unwrap_or_default()));
    let detector = arguments.detector(scoring);
    Ok(Scorer::new(columns, scoring.map(scope).unwrap_or_default(), detector, arguments.max_memory))
}

/// Bytes of one row at most: a quote that is never closed makes one of all the rest.
const ROW_BYTES: usize = 8 << 20;

/// Gives no more than is left, which is set anew for each row.
struct Bounded {
    bytes: Box<dyn Read>,
    left: Rc<Cell<usize>>,
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.read(into)?;
        let Some(left) = self.left.get().checked_sub(n) else {
            return Err(io::Error::other("a row is longer than 8 MiB: is a quote not closed?"));
        };
        self.left.set(left);
        Ok(n)
    }
}

/// Whether a name stands for stdin or stdout.
fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether a file's name says that it is gzip.
fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// A CSV that can't be read: the library names line and what is wrong.
fn failed(path: &Path, error: csv::Error) -> Error {
    ConnectError::broken(format!("reading {}", path.display())).because(error).into()
}
