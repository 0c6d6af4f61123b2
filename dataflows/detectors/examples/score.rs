//! Scores a csv file, plain or gzipped: a row out for each row in, `score,raw,state,why`.
//!
//! ```text
//! score FILE [--drop COLUMN]... [--key COLUMN] [--time COLUMN] [--seed N] [--kind KIND]
//!       [--why SCORE]
//! score FILE ... --runs N       what scoring and learning a row costs, and the state's bytes
//! score --market ROWS           the csv of a made-up market without anomalies
//! ```
//!
//! All other columns are numbers. A new value of the key starts a new model. What isn't a number is a
//! missing value. A row has a reason if its score is at least `--why` (default 0.999).
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read, Write, stderr, stdout};
use std::path::Path;
use std::time::Instant;

use detectors::{Chance, Detector, Kind, Model, Options, State};

fn main() -> Result<(), Box<dyn Error>> {
    let asked = Asked::read(std::env::args().skip(1))?;
    if let Some(rows) = asked.market {
        return write_market(rows, &asked.options);
    }
    let table = Table::read(&asked)?;
    match asked.runs {
        Some(runs) => measure(&table, &asked, runs),
        None => score(&table, &asked),
    }
}

/// The command line.
#[derive(Default)]
struct Asked {
    file: String,
    drop: Vec<String>,
    key: Option<String>,
    time: Option<String>,
    why: f64,
    runs: Option<usize>,
    market: Option<usize>,
    options: Options,
}

impl Asked {
    fn read(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut asked = Self { why: 0.999, ..Self::default() };
        while let Some(arg) = args.next() {
            if !arg.starts_with("--") {
                asked.file = arg;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
            match arg.as_str() {
                "--drop" => asked.drop.push(value),
                "--key" => asked.key = Some(value),
                "--time" => asked.time = Some(value),
                "--seed" => asked.options.seed = value.parse()?,
                "--kind" => asked.options.kind = kind(&value)?,
                "--why" => asked.why = value.parse()?,
                "--runs" => asked.runs = Some(value.parse::<usize>()?.max(1)),
                "--market" => asked.market = Some(value.parse()?),
                _ => return Err(format!("what is {arg}?").into()),
            }
        }
        Ok(asked)
    }
}

/// A detector by its name in a config.
fn kind(name: &str) -> Result<Kind, Box<dyn Error>> {
    Ok(match name {
        "combined" => Kind::Combined,
        "robust_z" => Kind::RobustZ,
        "loda" => Kind::Loda,
        "forest" => Kind::Forest,
        _ => return Err(format!("no detector is named {name}").into()),
    })
}

/// The file, parsed.
struct Table {
    names: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    key: String,
    time: Option<i64>,
    values: Vec<f64>,
}

impl Table {
    fn read(asked: &Asked) -> Result<Self, Box<dyn Error>> {
        let file = File::open(&asked.file).map_err(|error| format!("{}: {error}", asked.file))?;
        let source: Box<dyn Read> =
            if Path::new(&asked.file).extension().is_some_and(|end| end == "gz") {
                Box::new(flate2::read::GzDecoder::new(file))
            } else {
                Box::new(file)
            };
        let mut reader = csv::Reader::from_reader(source);
        let header = reader.headers()?.clone();
        let place = |name: &Option<String>| {
            let Some(name) = name else { return Ok(None) };
            let found = header.iter().position(|column| column == name);
            found.map(Some).ok_or_else(|| format!("no column {name}"))
        };
        let (key, time) = (place(&asked.key)?, place(&asked.time)?);
        let is_value = |at: &usize| {
            Some(*at) != key
                && Some(*at) != time
                && !asked.drop.iter().any(|name| *name == header[*at])
        };
        let values: Vec<usize> = (0..header.len()).filter(is_value).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record?;
            rows.push(Row {
                key: key.map_or(String::new(), |at| record[at].to_owned()),
                time: time.map(|at| nanoseconds(&record[at])).transpose()?,
                values: values.iter().map(|at| record[*at].parse().unwrap_or(f64::NAN)).collect(),
            });
        }
        Ok(Self { names: values.iter().map(|at| header[*at].to_owned()).collect(), rows })
    }

    /// Rows of one key that follow one another.
    fn series(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|one, next| one.key == next.key)
    }
}

/// A time like `2014-04-01 00:05:00`, read as UTC, in nanoseconds since 1970.
fn nanoseconds(text: &str) -> Result<i64, Box<dyn Error>> {
    let local: jiff::civil::DateTime = text.parse()?;
    let instant = local.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp();
    Ok(i64::try_from(instant.as_nanosecond())?)
}

fn score(table: &Table, asked: &Asked) -> Result<(), Box<dyn Error>> {
    let mut out = csv::Writer::from_writer(BufWriter::new(stdout().lock()));
    out.write_record(["score", "raw", "state", "why"])?;
    for rows in table.series() {
        let mut model = Model::new(&asked.options, table.names.len())?;
        for row in rows {
            let assessed = model.assess(&row.values, row.time);
            let why = if assessed.score.is_some_and(|score| score >= asked.why) {
                let reasons = model.explain(&row.values, row.time);
                reasons.first().map(|reason| reason.sentence(&table.names[reason.column]))
            } else {
                None
            };
            let state = if assessed.state == State::Ok { "ok" } else { "warming" };
            out.write_record([
                assessed.score.unwrap_or(0.0).to_string(),
                assessed.raw.to_string(),
                state.to_owned(),
                why.unwrap_or_default(),
            ])?;
            model.learn(&row.values, row.time, &assessed);
        }
    }
    Ok(out.flush()?)
}

/// Microseconds a row over several runs, and the state's bytes at the end of the longest key.
fn measure(table: &Table, asked: &Asked, runs: usize) -> Result<(), Box<dyn Error>> {
    let (mut costs, mut bytes) = (Vec::new(), 0);
    let series: Vec<&[Row]> = table.series().collect();
    for _ in 0..runs {
        #[expect(clippy::disallowed_methods, reason = "what this measures is time")]
        let start = Instant::now();
        for rows in &series {
            let mut model = Model::new(&asked.options, table.names.len())?;
            for row in *rows {
                let assessed = model.assess(&row.values, row.time);
                model.learn(&row.values, row.time, &assessed);
            }
            bytes = bytes.max(model.state_bytes());
        }
        #[expect(
            clippy::as_conversions,
            clippy::cast_precision_loss,
            reason = "a figure to be read"
        )]
        let rows = table.rows.len() as f64;
        costs.push(start.elapsed().as_secs_f64() * 1e6 / rows);
    }
    costs.sort_by(f64::total_cmp);
    writeln!(stdout(), "us a row, median of {runs} runs: {:.3}", costs[runs / 2])?;
    writeln!(stdout(), "us a row, least: {:.3}", costs[0])?;
    writeln!(stdout(), "bytes of state: {bytes}")?;
    Ok(())
}

/// A market without anomalies: returns whose volatility wanders and has a daily shape, volumes and
/// counts that go with it, a spread, an imbalance.
fn write_market(rows: usize, options: &Options) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(stdout().lock());
    writeln!(out, "return,volume,trades,spread,imbalance,range")?;
    let mut chance = Chance::new(options.seed ^ 0x6d61_726b_6574);
    let (mut calm, mut phase) = (0.0_f64, 0.0_f64);
    for _ in 0..rows {
        phase = (phase + 1.0 / 1440.0) % 1.0;
        calm = 0.995 * calm + 0.05 * chance.normal();
        let daily = 0.4 * wave(phase);
        let volatility = (calm + daily).exp();
        let change = volatility * (chance.normal() + 0.3 * chance.normal() * chance.normal());
        let trades = (4.0 + 0.7 * (calm + daily) + 0.3 * chance.normal()).exp().round();
        let volume = trades * (0.5 * chance.normal()).exp();
        let spread = 0.01 * (1.0 + volatility) * (0.2 * chance.normal()).exp();
        let imbalance = (0.5 * change / volatility + chance.normal()).tanh();
        let range = change.abs() + volatility * chance.normal().abs();
        writeln!(out, "{change},{volume},{trades},{spread},{imbalance},{range}")?;
    }
    out.flush()?;
    writeln!(stderr(), "{rows} rows")?;
    Ok(())
}

/// One wave over a phase in [0, 1).
fn wave(phase: f64) -> f64 {
    (std::f64::consts::TAU * phase).sin()
}
