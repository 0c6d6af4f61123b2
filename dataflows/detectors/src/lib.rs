//! Online anomaly detectors: one pass, each row scored by what was learnt before it, then learnt.
#![forbid(unsafe_code)]

mod chance;
mod combined;
mod forest;
mod loda;
mod memory;
mod neighbours;
mod number;
mod options;
mod robust_z;
mod series;
mod shingles;
mod tail;

pub use chance::Chance;
pub use combined::Combined;
pub use options::{COLUMNS_MAX, Kind, Options};
pub use robust_z::Column;
pub use series::Series;

/// Members of a detector.
const MEMBERS: usize = 4;
/// The members' numbers of a row.
type Numbers = [f64; MEMBERS];

/// Whether a score can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Too few rows were learnt.
    Warming,
    /// The score stands.
    Ok,
}

/// What a detector says of a row before it learns it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessed {
    /// The detector's own measure: higher is more unusual.
    pub raw: f64,
    /// 1 - p; none while warming.
    pub score: Option<f64>,
    /// Whether there is a score.
    pub state: State,
    /// -ln p.
    pub surprise: f64,
    numbers: Numbers,
}

/// An online detector.
pub trait Detector {
    /// Judges a row by what was learnt before it.
    fn assess(&mut self, row: &[f64], time: Option<i64>) -> Assessed;
    /// Learns a row that was just assessed.
    fn learn(&mut self, row: &[f64], time: Option<i64>, assessed: &Assessed);
    /// Fits the models now.
    fn refit(&mut self, time: Option<i64>);
    /// Bytes of state.
    fn state_bytes(&self) -> usize;
}
