//! Runs a plan over rows that are given in memory: the `test` verb and the tests of the engine's laws
//! enter here. Everything from the sequencer to the drain is what a run uses.

use std::sync::Arc;

use connectors::source::Record;
use dataflows::Plan;
use types::{Names, Reject};

use crate::cold::Spill;
use crate::error::Error;
use crate::ingest::{Counts, Outcome, Sequencer, SequencerOptions};
use crate::runtime::{self, EpochOutput};

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
    let mut sequencer = Sequencer::new(&plan.relations, options).spilling(spill);
    let names = Arc::clone(sequencer.names());
    let (mut runtime, mut output) = runtime::start(plan, &names, n_workers, spill)?;
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
    let mut refused = Vec::new();
    for (index, (relation, record)) in rows.into_iter().enumerate() {
        if let Outcome::Quarantined(reject) = sequencer.admit(relation, &record.view())? {
            refused.push((index, reject));
        }
        if let Some(batch) = sequencer.cut() {
            runtime.feed(batch)?;
        }
    }
    runtime.feed(sequencer.finish())?;
    runtime.finish()?;
    let outputs =
        reader.join().map_err(|_| Error::Worker("a simulation's reader panicked".to_owned()))?;
    let (counts, n_pending) = (sequencer.counts(), sequencer.n_pending());
    Ok(Simulated { names, outputs, counts, n_pending, refused })
}
