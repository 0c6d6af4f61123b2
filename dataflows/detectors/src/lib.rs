//! Online anomaly detectors: one pass, each row scored by what was learnt before it, then learnt.
//! Pure: no clocks, no chance but by seed, no I/O; the same rows give the same bits on every machine.
//!
//! | word | what it means here |
//! |---|---|
//! | row | one value for each column; NaN and infinities count as missing |
//! | number | what one member of a detector measures of a row, in its own units |
//! | surprise | -ln p of a number among those before it; 0 is usual, 6.9 is one in a thousand |
//! | `raw` | the detector's own measure of a row: a mean of its members' surprises |
//! | `score` | 1 - p: at least 0.999 for one usual row in a thousand |
//! | warming | too little was learnt to give a score |
//! | fit | making models of the rows that are kept; between fits models stand still |
//! | key | whose row it is; a [`Normaliser`] a key lets one model serve all of them |
//!
//! # The way of a row
//!
//! [`Model::new`] picks the detector: rows of several columns go to [`Combined`], whose members are
//! robust z, projections with histograms, a rolling isolation forest and the distance to neighbours;
//! a single column goes to [`Series`], whose context is the column's own past. [`Detector::assess`]
//! judges a row, [`Detector::learn`] takes it in, [`Detector::explain`] says which columns did it;
//! [`pass()`] and [`pass_of_key`] do all of it.
//!
//! ```
//! use detectors::{Detector, Model, Options};
//!
//! let mut model = Model::new(&Options::default(), 2)?;
//! for i in 0..200 {
//!     let row = [f64::from(i % 7), f64::from(i % 5)];
//!     let assessed = model.assess(&row, None);
//!     model.learn(&row, None, &assessed);
//! }
//! let assessed = model.assess(&[3.0, 900.0], None);
//! assert!(assessed.score > Some(0.99));
//! let reasons = model.explain(&[3.0, 900.0], None);
//! assert_eq!(reasons[0].column, 1);
//! assert!(reasons[0].sentence("volume").starts_with("volume 900 is "));
//! # Ok::<(), detectors::Error>(())
//! ```
//!
//! # Corrections
//!
//! A model's state is all it knows: a clone, or [`Model::encode`] and [`Model::decode`], goes on with
//! the same bits. A correction is a fold of the rows anew, from a state that was kept before it.
#![forbid(unsafe_code)]

mod budget;
mod chance;
mod combined;
mod forest;
mod loda;
mod memory;
mod model;
mod neighbours;
mod normaliser;
mod number;
mod options;
mod pass;
mod robust_z;
mod schedule;
mod series;
mod shared;
mod shingles;
mod tail;
mod why;

pub use chance::Chance;
pub use combined::Combined;
pub use model::{Error, Model};
pub use normaliser::Normaliser;
pub use options::{COLUMNS_MAX, Kind, Options};
pub use pass::{pass, pass_of_key};
pub use robust_z::Column;
pub use series::Series;
pub use why::{Aspect, Reason};

/// Members of a detector.
const MEMBERS: usize = 4;
/// Rows that a model can have learnt: far more than there will be.
const ROWS_MAX: usize = 1 << 60;
/// The members' numbers of a row.
type Numbers = [f64; MEMBERS];

/// Whether a score can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Too little was learnt.
    Warming,
    /// The score stands.
    Ok,
}

/// What a detector says of a row before it learns it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessed {
    /// The detector's own measure: higher is more unusual. Finite; 0 before the first fit.
    pub raw: f64,
    /// 1 - p, in [0, 1]; none while warming.
    pub score: Option<f64>,
    /// Whether there is a score.
    pub state: State,
    /// -ln p: the score where 1 - p has no digits left.
    pub surprise: f64,
    /// What the members measured, to be learnt.
    numbers: Numbers,
}

/// An online detector: for each row [`Detector::assess`], then [`Detector::learn`].
///
/// A row holds a value for each column: a value too many is left out, one too few is missing, and so
/// are NaN and infinities. No row makes a detector fail, or give a number that isn't finite.
pub trait Detector {
    /// Judges a row by what was learnt before it. `time` is its event time in nanoseconds since 1970,
    /// UTC; times may jump either way.
    fn assess(&mut self, row: &[f64], time: Option<i64>) -> Assessed;

    /// Learns a row that was just assessed.
    fn learn(&mut self, row: &[f64], time: Option<i64>, assessed: &Assessed);

    /// Which columns make a row unusual, those that do most first; empty before the first fit. Costs
    /// as much as assessing the row once for each of its columns.
    fn explain(&mut self, row: &[f64], time: Option<i64>) -> Vec<Reason>;

    /// Fits the models now instead of when they are due; nothing happens before the first fit.
    fn refit(&mut self, time: Option<i64>);

    /// Bytes that the state takes, without what the allocator adds.
    fn state_bytes(&self) -> usize;
}
