//! A config's own `[[tests]]`: each is run as it is written, and in the other ways that it asks for.
//! Everything from the sequencer to the drain is what a run uses.

mod compare;
mod way;

use std::sync::Arc;

use connectors::source::Record;
use dataflows::Plan;
use types::event::Draft;
use types::options::Place;
use types::{Changes, Value};

use crate::config::plan::{TestCase, TestExpect};
use crate::config::{EnginePlan, Texts};
use crate::ingest::SequencerOptions;
use crate::simulate::{Simulated, simulate};

use self::compare::{differences, json};
pub use self::way::{Way, counted, named};

/// What came of one test.
#[derive(Clone, Debug)]
pub struct Tested {
    /// Its name.
    pub name: String,
    /// The config file that holds it.
    pub path: String,
    /// Its line there, from 1.
    pub line: usize,
    /// The ways in which it was run.
    pub ways: Vec<Way>,
    /// What was wrong; nothing if it holds.
    pub failures: Vec<Failure>,
}

/// What was wrong in one way or in several alike.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The ways.
    pub ways: Vec<Way>,
    /// What was wrong, in lines.
    pub lines: Vec<String>,
}

/// Runs the tests of a config, one with each step of the iterator.
pub fn run(plan: EnginePlan) -> impl Iterator<Item = Tested> {
    let EnginePlan { pipeline, sources, plan, tests, keeps_id_texts, texts, .. } = plan;
    let sequencing = SequencerOptions {
        max_events: pipeline.max_events,
        lateness_nanos: sources.iter().map(|s| s.lateness_nanos).max().unwrap_or(0),
        keeps_id_texts,
        keeps_events: false,
    };
    let bench = Bench { plan, sequencing, n_workers: pipeline.workers, texts };
    tests.into_iter().map(move |case| bench.test(&case))
}

/// What all tests of a config share.
struct Bench {
    plan: Arc<Plan>,
    sequencing: SequencerOptions,
    n_workers: usize,
    texts: Texts,
}

impl Bench {
    fn test(&self, case: &TestCase) -> Tested {
        let ways = Way::all(&case.also);
        let mut failures: Vec<Failure> = Vec::new();
        for way in ways.iter().copied() {
            let lines = self.failures(case, way);
            if lines.is_empty() {
                continue;
            }
            match failures.iter_mut().find(|failure| failure.lines == lines) {
                Some(failure) => failure.ways.push(way),
                None => failures.push(Failure { ways: vec![way], lines }),
            }
        }
        let (path, line) = self.spot(&case.place);
        Tested { name: case.name.clone(), path, line, ways, failures }
    }

    /// Runs a test in one way; what is wrong, in lines.
    fn failures(&self, case: &TestCase, way: Way) -> Vec<String> {
        let rows = rows(case);
        let order = way.order(rows.len());
        let records = order.iter().filter_map(|place| {
            let (relation, draft) = rows.get(*place)?;
            let draft = (*draft).clone();
            let number = u64::try_from(*place).ok()? + 1;
            Some((*relation, Record { row: number, line: number, draft, ..Record::default() }))
        });
        let mut sequencing = self.sequencing;
        sequencing.max_events = way.max_events(sequencing.max_events);
        let n_workers = way.n_workers(self.n_workers);
        let simulated = match simulate(&self.plan, records, sequencing, n_workers) {
            Ok(simulated) => simulated,
            Err(error) => return vec![format!("the run failed: {error}")],
        };
        let mut lines = Vec::new();
        for (index, reject) in &simulated.refused {
            let number = order.get(*index).map_or(0, |place| place + 1);
            let (reason, detail) = (reject.reason.code(), &reject.detail);
            lines.push(format!("row {number} of the test is refused: {reason}: {detail}"));
        }
        for expect in &case.expect {
            lines.extend(self.unmet(expect, &simulated));
        }
        lines
    }

    /// What a view lacks of what is expected of it, and what it has beyond that.
    fn unmet(&self, expect: &TestExpect, simulated: &Simulated) -> Vec<String> {
        let emitted = self.plan.emitted.iter().position(|view| *view == expect.view);
        let view = self.plan.views.get(expect.view).zip(emitted);
        let Some((view, emitted)) = view else {
            return vec!["a view that is tested doesn't leave the dataflow".to_owned()];
        };
        let mut changes = Changes::empty(view.kind);
        for epoch in &simulated.outputs {
            if let Some(more) = epoch.changes.get(emitted) {
                changes.append(Changes::clone(more));
            }
        }
        changes.consolidate();
        let mut lines = Vec::new();
        let mut rows: Vec<Vec<Value>> = Vec::new();
        for index in 0..changes.len() {
            let columns = 0..view.schema.columns.len();
            let row: Vec<Value> =
                columns.map(|i| changes.value(index, i, &simulated.names)).collect();
            if changes.diff(index) != 1 {
                let (n, row) = (changes.diff(index), json(&view.schema, row.iter().enumerate()));
                lines.push(format!("a row stands {n} times, which is a bug of Tapeline: {row}"));
            }
            rows.push(row);
        }
        rows.sort();
        lines.extend(differences(&view.schema, &expect.rows, &rows));
        if !lines.is_empty() {
            let (path, line) = self.spot(&expect.place);
            let (n, found) = (expect.rows.len(), rows.len());
            let head = format!("{}: {found} rows, expected {n} at {path}:{line}", view.name);
            lines.insert(0, head);
        }
        lines
    }

    /// File and line of a place.
    fn spot(&self, place: &Place) -> (String, usize) {
        match self.texts.spot(place) {
            Some(spot) => (spot.path.to_owned(), spot.line_and_column().0),
            None => (String::new(), 0),
        }
    }
}

/// All rows of a test in the order as written, each with the relation that it feeds.
fn rows(case: &TestCase) -> Vec<(usize, &Draft)> {
    let inputs = case.inserts.iter();
    inputs.flat_map(|input| input.drafts.iter().map(|draft| (input.relation, draft))).collect()
}
