//! What a config may say of a detector. The defaults serve every stream.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Columns at most.
pub const COLUMNS_MAX: usize = 4_096;

/// Which of the detectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The mean surprise of all the others and of the distance to neighbours; for a single column
    /// its own past.
    #[default]
    Combined,
    /// The largest robust z of a row's columns.
    RobustZ,
    /// Projections with histograms.
    Loda,
    /// The rolling isolation forest.
    Forest,
}

/// The options of a detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Which detector. Default: combined.
    pub kind: Kind,
    /// All chance comes from it. Default: 0.
    pub seed: u64,
    /// Rows before the first score, 16 to 65,536. Default: 32.
    pub warm_up: usize,
    /// Rows that the short window holds, 1 to 65,536. Default: 256.
    pub window: usize,
    /// Rows that the reservoir of normal rows holds, 32 to 65,536. Default: 1,024.
    pub reservoir: usize,
    /// Isolation trees, 1 to 1,024. Default: 32.
    pub trees: usize,
    /// Projections, 1 to 1,024. Default: 32.
    pub projections: usize,
    /// Rows of the reservoir that neighbours are looked for among, 1 to 1,024. Default: 32.
    pub neighbours: usize,
    /// Nanoseconds of event time between fits once 2,048 rows are learnt, above 0; 64 rows lie between two
    /// at least. Default: none, fits go by rows: when those learnt have grown by a quarter, and every 2,048; of a single column by a
    /// sixteenth, and every 256. They also do while times lie before that of the last fit.
    pub refit_ns: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            kind: Kind::Combined,
            seed: 0,
            warm_up: 32,
            window: 256,
            reservoir: 1024,
            trees: 32,
            projections: 32,
            neighbours: 32,
            refit_ns: None,
        }
    }
}

impl Options {
    /// Whether all are in their ranges.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for the first that isn't.
    pub fn check(&self) -> Result<(), Error> {
        within("warm_up", self.warm_up, 16, 65_536)?;
        within("window", self.window, 1, 65_536)?;
        within("reservoir", self.reservoir, 32, 65_536)?;
        within("trees", self.trees, 1, 1_024)?;
        within("projections", self.projections, 1, 1_024)?;
        within("neighbours", self.neighbours, 1, 1_024)?;
        if self.refit_ns.is_some_and(|every| every <= 0) {
            return within("refit_ns", 0, 1, usize::MAX);
        }
        Ok(())
    }
}

pub(crate) fn within(
    option: &'static str,
    given: usize,
    least: usize,
    most: usize,
) -> Result<(), Error> {
    if (least..=most).contains(&given) {
        return Ok(());
    }
    Err(Error::OutOfRange { option, given, least, most })
}
