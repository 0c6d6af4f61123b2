//! Runs a plan over rows that are given in memory: the `test` verb and the tests of the engine's laws
//! enter here. Everything from the sequencer to the drain is what a run uses.

mod resumed;

use std::sync::Arc;
use std::thread::JoinHandle;

use connectors::source::Record;
use dataflows::Plan;
use types::{Names, Reject};

pub use self::resumed::{Interruption, simulate_resumed};
use crate::cold::Spill;
use crate::error::Error;
use crate::ingest::{Batch, Bulk, Counts, Outcome, Sequencer, SequencerOptions};
use crate::runtime::{self, EpochOutput, Runtime};

/// What came of a simulated run.
pub struct Simulated {
    /// The dictionary.
    pub names: Arc<Names>,
    /// Every epoch's changes, by emitted view.
    pub outputs: Vec<EpochOutput>,
    /// Rows by outcome.
    pub counts: Counts,
    /// Removals that wait for what they remove.
    pub n_pending: u64,
    /// Refused rows, by their place among those given.
    pub refused: Vec<(usize, Reject)>,
}

/// Runs a plan over rows, each with the relation that it feeds, in the order given.
///
/// # Errors
/// If a worker fails.
pub fn simulate(
    plan: &Arc<Plan>,
    rows: impl IntoIterator<Item = (usize, Record)>,
    options: SequencerOptions,
    n_workers: usize,
) -> Result<Simulated, Error> {
    simulate_within(plan, rows, options, n_workers, None)
}

/// As [`simulate`]; what doesn't fit into the memory of `spill` leaves it.
///
/// # Errors
/// As [`simulate`], and if history can't be kept or read back.
pub fn simulate_within(
    plan: &Arc<Plan>,
    rows: impl IntoIterator<Item = (usize, Record)>,
    options: SequencerOptions,
    n_workers: usize,
    spill: Option<&Spill>,
) -> Result<Simulated, Error> {
    let sequencer = Sequencer::new(&plan.relations, options).spilling(spill);
    let simulation = Simulation::start(plan, sequencer, (n_workers, Bulk::default()), spill)?;
    simulation.run(rows.into_iter().enumerate())
}

/// A sequencer and workers without files.
struct Simulation {
    sequencer: Sequencer,
    bulk: Bulk,
    runtime: Runtime,
    reader: JoinHandle<Vec<EpochOutput>>,
    refused: Vec<(usize, Reject)>,
}

impl Simulation {
    fn start(
        plan: &Arc<Plan>,
        sequencer: Sequencer,
        (n_workers, bulk): (usize, Bulk),
        spill: Option<&Spill>,
    ) -> Result<Self, Error> {
        let (runtime, mut output) = runtime::start(plan, sequencer.names(), n_workers, spill)?;
        let reader = std::thread::Builder::new()
            .name("simulate".to_owned())
            .spawn(move || {
                let mut outputs = Vec::new();
                while let Some(epoch) = output.next() {
                    output.release(epoch.epoch);
                    outputs.push(epoch);
                }
                outputs
            })
            .map_err(|source| Error::io("starting a simulation", source))?;
        Ok(Self { sequencer, bulk, runtime, reader, refused: Vec::new() })
    }

    fn feed(&mut self, batch: Batch) -> Result<(), Error> {
        self.bulk.take(batch).map_or(Ok(()), |batch| self.runtime.feed(batch))
    }

    /// Reads all rows to their end.
    fn run(
        mut self,
        rows: impl Iterator<Item = (usize, (usize, Record))>,
    ) -> Result<Simulated, Error> {
        for (index, (relation, record)) in rows {
            let outcome = self.sequencer.admit(relation, &record.view())?;
            if let Outcome::Quarantined(reject) = outcome {
                self.refused.push((index, reject));
            }
            if let Some(batch) = self.sequencer.cut() {
                self.feed(batch)?;
            }
        }
        let last = self.sequencer.finish();
        self.feed(last)?;
        self.end()
    }

    fn end(mut self) -> Result<Simulated, Error> {
        if let Some(rest) = self.bulk.rest() {
            self.runtime.feed(rest)?;
        }
        self.runtime.finish()?;
        let outputs = self
            .reader
            .join()
            .map_err(|_| Error::Worker("a simulation's reader panicked".to_owned()))?;
        let (counts, n_pending) = (self.sequencer.counts(), self.sequencer.n_pending());
        let (names, refused) = (Arc::clone(self.sequencer.names()), self.refused);
        Ok(Simulated { names, outputs, counts, n_pending, refused })
    }
}
