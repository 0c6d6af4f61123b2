//! Histories through the engine: rows in memory, as readers would give them, and what came of them as
//! JSON lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use connectors::source::Record;
use dataflows::Plan;
use tapeline::cold::Spill;
use tapeline::config;
use tapeline::ingest::SequencerOptions;
use tapeline::simulate::{Simulated, simulate_within};
use types::event::{Cell, Draft};
use types::json::{write_key, write_row};
use types::relations::InputColumn;
use types::{Op, VenueTime, with_changes};

use super::history::{Arrival, Change, Fill, Placed, Quote, Settlement, Trade, UNIT};
use super::live::live_rows;

/// 2026-01-05, a Monday.
pub(super) const START: i64 = 1_767_571_200;

/// A plan, and where its relations are.
pub(super) struct Loaded {
    pub(super) plan: Arc<Plan>,
    keeps_id_texts: bool,
    columns: BTreeMap<String, (usize, Vec<InputColumn>)>,
}

/// Loads a config text.
pub(super) fn load(text: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("laws.toml");
    fs::write(&path, text).unwrap();
    let loaded = match config::load(&path, &|_| None) {
        Ok(loaded) => loaded,
        Err(config::ConfigError::Problems { problems, .. }) => panic!("{problems:#?}"),
        Err(error) => panic!("{error}"),
    };
    let columns = |(index, spec): (usize, &dataflows::plan::RelationSpec)| {
        (spec.name.clone(), (index, spec.kind.input_columns(&spec.schema)))
    };
    let relations = loaded.plan.relations.iter().enumerate();
    Loaded {
        columns: relations.map(columns).collect(),
        plan: loaded.plan,
        keeps_id_texts: loaded.keeps_id_texts,
    }
}

/// How a history is run. What else must make no difference belongs here, and into the strategy `way`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) order: Order,
    pub(super) max_events: usize,
    pub(super) lateness_seconds: i64,
    pub(super) n_workers: usize,
    /// Whether nothing of the history is in memory between epochs.
    pub(super) spills: bool,
}

/// In which order a history arrives.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    AsGiven,
    ByTime,
    First,
    Second,
}

/// What came of a run.
pub(super) struct Ran {
    /// Rows at the end, by view.
    pub(super) rows: BTreeMap<String, BTreeSet<String>>,
    /// Watermark and changes of each epoch.
    pub(super) epochs: Vec<(VenueTime, Vec<String>)>,
    pub(super) simulated: Simulated,
}

impl Order {
    /// A history's arrivals in this order.
    pub(super) fn of(self, history: &[Placed]) -> Vec<&Placed> {
        let mut arrivals: Vec<&Placed> = history.iter().collect();
        match self {
            Self::AsGiven => {}
            Self::ByTime => arrivals.sort_by_key(|placed| placed.0.second()),
            Self::First => arrivals.sort_by_key(|placed| placed.1),
            Self::Second => arrivals.sort_by_key(|placed| placed.2),
        }
        arrivals
    }
}

/// Runs a history of which nothing is refused.
pub(super) fn run(loaded: &Loaded, history: &[Placed], way: Way) -> Ran {
    let ran = run_all(loaded, history, way);
    assert_eq!(ran.simulated.counts.quarantined, 0, "{:?}", ran.simulated.refused);
    ran
}

/// The rows of a history as they arrive, each with its relation.
pub(super) fn rows(loaded: &Loaded, history: &[Placed], way: Way) -> Vec<(usize, Record)> {
    let arrivals = way.order.of(history).into_iter();
    arrivals.map(|placed| record(loaded, &placed.0)).collect()
}

pub(super) fn options(loaded: &Loaded, way: Way) -> SequencerOptions {
    SequencerOptions {
        max_events: way.max_events,
        lateness_nanos: way.lateness_seconds * 1_000_000_000,
        keeps_id_texts: loaded.keeps_id_texts,
        keeps_events: false,
    }
}

/// Runs a history.
pub(super) fn run_all(loaded: &Loaded, history: &[Placed], way: Way) -> Ran {
    let (rows, options) = (rows(loaded, history, way), options(loaded, way));
    let folder = tempfile::tempdir().unwrap();
    let spill = way.spills.then(|| Spill::new(folder.path(), 0).unwrap());
    let spill = spill.as_ref();
    let simulated = simulate_within(&loaded.plan, rows, options, way.n_workers, spill).unwrap();
    let counts = simulated.counts;
    assert_eq!(counts.received, counts.applied + counts.duplicate + counts.quarantined);
    let (mut rows, epochs) = read(&loaded.plan, &simulated);
    rows.extend(live_rows(&loaded.plan, &simulated, simulated.outputs.len()));
    Ran { rows, epochs, simulated }
}

type Rows = BTreeMap<String, BTreeSet<String>>;

/// Adds changes up, and checks on the way that each takes back only what stands, and that a key
/// never holds two rows.
pub(super) fn read(plan: &Plan, simulated: &Simulated) -> (Rows, Vec<(VenueTime, Vec<String>)>) {
    let names = &simulated.names;
    let mut held: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut epochs = Vec::new();
    for output in &simulated.outputs {
        let mut told = Vec::new();
        for (view, changes) in plan.emitted_views().zip(&output.changes) {
            let held = held.entry(view.name.clone()).or_default();
            let mut lines: Vec<(isize, String, String)> = with_changes!(changes.as_ref(), rows => {
                let line = |(row, diff): &(_, isize)| {
                    let (mut key, mut line) = (Vec::new(), Vec::new());
                    write_key(&mut key, row, &view.schema, names);
                    write_row(&mut line, row, &view.schema, names);
                    let text = |bytes| String::from_utf8(bytes).unwrap();
                    (*diff, text(key), text(line))
                };
                rows.iter().map(line).collect()
            });
            lines.sort();
            for (diff, key, line) in lines {
                let before = if diff < 0 { held.remove(&key) } else { None };
                match diff {
                    -1 => assert_eq!(before.as_ref(), Some(&line), "{}", view.name),
                    1 => {
                        let other = held.insert(key, line.clone());
                        assert_eq!(other, None, "two rows of a key of {}: {line}", view.name);
                    }
                    _ => panic!("{}: {diff} x {line}", view.name),
                }
                told.push(format!("{} {diff:+} {line}", view.name));
            }
        }
        epochs.push((output.watermark, told));
    }
    let rows = held.into_iter().map(|(view, rows)| (view, rows.into_values().collect()));
    (rows.collect(), epochs)
}

/// The row of an arrival and its relation, as a reader would give it.
pub(super) fn record(loaded: &Loaded, arrival: &Arrival) -> (usize, Record) {
    let (relation, op, cells) = match arrival {
        Arrival::Fill(change) => ("fills", change.op, fill_cells(change)),
        Arrival::Settlement(change) => ("settlements", change.op, settlement_cells(change)),
        Arrival::Trade(change) => ("trades", change.op, trade_cells(change)),
        Arrival::Quote(row) => ("quotes", Op::Insert, quote_cells(row)),
        Arrival::Declared(event) => event.cells(),
    };
    let (index, columns) = &loaded.columns[relation];
    let mut draft = Draft::default();
    draft.reset(columns.len());
    draft.op = op;
    draft.seq_is_mapped = true;
    for (name, value) in cells {
        let column = columns.iter().position(|column| column.name == name);
        let Some(column) = column else { panic!("{relation} has no column {name}") };
        match value {
            Given::Text(text) => draft.set_text(column, text),
            Given::Nano(nano) => draft.set_nano(column, nano),
            Given::Cell(cell) => draft.set(column, cell),
        }
    }
    (*index, Record { draft, ..Record::default() })
}

/// A cell as a source has it.
pub(super) enum Given {
    Text(&'static str),
    Nano(i128),
    Cell(Cell),
}

/// Cells by column.
pub(super) type Cells = Vec<(&'static str, Given)>;

pub(super) fn text(text: &'static str) -> Given {
    Given::Text(text)
}

pub(super) fn maybe_text(text: Option<&'static str>) -> Given {
    text.map_or(Given::Cell(Cell::Null), Given::Text)
}

pub(super) fn nano(nano: impl Into<Option<i128>>) -> Given {
    nano.into().map_or(Given::Cell(Cell::Null), Given::Nano)
}

pub(super) fn count(count: Option<u64>) -> Given {
    Given::Cell(count.map_or(Cell::Null, Cell::Count))
}

pub(super) fn time(second: i64) -> Given {
    Given::Cell(Cell::Time(VenueTime::from_nanos((START + second) * 1_000_000_000)))
}

pub(super) fn maybe_time(second: Option<i64>) -> Given {
    second.map_or(Given::Cell(Cell::Null), time)
}

/// Of a bust, readers give identity, key and revision alone.
pub(super) fn cells<R>(change: &Change<R>, key: Cells, rest: Cells) -> Cells {
    let mut cells = key;
    cells.push(("revision", count(change.revision)));
    if change.op != Op::Bust {
        cells.extend(rest);
    }
    cells
}

fn asset_cells(asset: super::history::Asset) -> Cells {
    vec![("venue", text(asset.0)), ("asset", text(asset.1))]
}

fn fill_cells(change: &Change<Fill>) -> Cells {
    let row = &change.row;
    let mut key = asset_cells(row.asset);
    key.extend([("wallet", text(row.wallet)), ("id", text(row.id))]);
    let rest = vec![
        ("market", maybe_text(row.market)),
        ("side", text(if row.buys { "buy" } else { "sell" })),
        ("price", nano(row.price)),
        ("size", nano(row.size)),
        ("notional", nano(row.notional)),
        ("fee", nano(row.fee)),
        ("fee_asset", maybe_text(row.fee_asset)),
        ("quote_asset", maybe_text(row.quote_asset)),
        ("kind", text(row.kind)),
        ("start_qty", nano(row.start_qty)),
        ("event_time", time(row.second)),
        ("seq", count(Some(row.seq))),
    ];
    cells(change, key, rest)
}

fn settlement_cells(change: &Change<Settlement>) -> Cells {
    let row = &change.row;
    let rest = vec![("payout", nano(row.payout)), ("event_time", time(row.second))];
    cells(change, asset_cells(row.asset), rest)
}

fn trade_cells(change: &Change<Trade>) -> Cells {
    let row = &change.row;
    let mut key = asset_cells(row.asset);
    key.push(("id", text(row.id)));
    let rest = vec![
        ("price", nano(row.price)),
        ("size", nano(row.size)),
        ("event_time", time(row.second)),
        ("seq", count(Some(row.seq))),
    ];
    cells(change, key, rest)
}

fn quote_cells(row: &Quote) -> Cells {
    let mut cells = asset_cells(row.asset);
    cells.extend([
        ("bid", nano(row.bid)),
        // Of some quotes it isn't told.
        ("bid_size", nano((row.seq > 0).then_some(3 * UNIT))),
        ("ask", nano(row.ask)),
        ("ask_size", nano(row.ask_size)),
        ("event_time", time(row.second)),
        ("seq", count(Some(row.seq))),
    ]);
    cells
}
