//! What a config may say of a detector. The defaults serve every stream.

use serde::{Deserialize, Serialize};

/// Columns at most.
pub const COLUMNS_MAX: usize = 4_096;

/// Which of the detectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The mean surprise of all the others, and of the distance to near neighbours.
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
    /// Which detector.
    pub kind: Kind,
    /// All chance comes from it.
    pub seed: u64,
    /// Rows before the first score.
    pub warm_up: usize,
    /// Rows that the short window holds.
    pub window: usize,
    /// Rows that the reservoir of normal rows holds.
    pub reservoir: usize,
    /// Isolation trees.
    pub trees: usize,
    /// Projections.
    pub projections: usize,
    /// Rows of the reservoir that neighbours are looked for among.
    pub neighbours: usize,
    /// Nanoseconds of event time between fits; none: by the number of rows.
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
