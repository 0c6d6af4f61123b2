//! A detector of any kind as one value, and as bytes.

use serde::{Deserialize, Serialize};

use crate::options::{COLUMNS_MAX, Kind, Options};
use crate::{Assessed, Combined, Detector, Reason, Series};

/// Why there is no model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// An option is out of its range.
    #[error("{option} is {given}; it must be from {least} to {most}")]
    OutOfRange {
        /// The option.
        option: &'static str,
        /// What was given.
        given: usize,
        /// The least that it may be.
        least: usize,
        /// The most that it may be.
        most: usize,
    },
    /// The bytes are not those of a model.
    #[error("not the state of a detector: {0}")]
    Undecodable(String),
}

/// The first byte of an encoded model: raised when the layout of states changes.
const VERSION: u8 = 5;

/// A detector, chosen by its options and its number of columns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Model {
    /// Rows of several columns, or members of [`Combined`] asked for by name.
    Rows(Box<Combined>),
    /// A single column with its past.
    Series(Box<Series>),
}

impl Model {
    /// A model that has learnt nothing, for rows of `dimension` columns.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for an option or a number of columns out of its range.
    pub fn new(options: &Options, dimension: usize) -> Result<Self, Error> {
        options.check()?;
        crate::options::within("the number of columns", dimension, 1, COLUMNS_MAX)?;
        Ok(match (options.kind, dimension) {
            (Kind::Combined, 1) => Self::Series(Box::new(Series::new(options))),
            _ => Self::Rows(Box::new(Combined::new(options, dimension))),
        })
    }

    /// As [`Model::new`], but for rows of many keys, each in units of its own ([`crate::Normaliser`]). They
    /// don't follow one another as a series does, so that a single column is judged by its values alone.
    ///
    /// # Errors
    ///
    /// As [`Model::new`].
    pub fn of_units(options: &Options, dimension: usize) -> Result<Self, Error> {
        options.check()?;
        crate::options::within("the number of columns", dimension, 1, COLUMNS_MAX)?;
        Ok(Self::Rows(Box::new(Combined::of_units(options, dimension))))
    }

    /// The state as bytes, the same for the same state.
    pub fn encode(&self) -> Vec<u8> {
        let start = vec![VERSION];
        // Writing to memory fails for no state.
        postcard::to_extend(self, start).unwrap_or_default()
    }

    /// The state of [`Model::encode`].
    ///
    /// # Errors
    ///
    /// [`Error::Undecodable`] for bytes that no model of this version wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Some((&VERSION, state)) = bytes.split_first() else {
            return Err(Error::Undecodable(format!("its version is not {VERSION}")));
        };
        let (model, rest): (Self, &[u8]) = postcard::take_from_bytes(state)
            .map_err(|error| Error::Undecodable(error.to_string()))?;
        let is_whole = match &model {
            Self::Rows(rows) => rows.is_whole(),
            Self::Series(series) => series.is_whole(),
        };
        if !rest.is_empty() || !is_whole {
            return Err(Error::Undecodable("its parts don't fit together".to_owned()));
        }
        Ok(model)
    }

    fn detector(&mut self) -> &mut dyn Detector {
        match self {
            Self::Rows(rows) => &mut **rows,
            Self::Series(series) => &mut **series,
        }
    }
}

impl Detector for Model {
    fn assess(&mut self, row: &[f64], time: Option<i64>) -> Assessed {
        self.detector().assess(row, time)
    }

    fn learn(&mut self, row: &[f64], time: Option<i64>, assessed: &Assessed) {
        self.detector().learn(row, time, assessed);
    }

    fn explain(&mut self, row: &[f64], time: Option<i64>) -> Vec<Reason> {
        self.detector().explain(row, time)
    }

    fn refit(&mut self, time: Option<i64>) {
        self.detector().refit(time);
    }

    fn state_bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.state_bytes(),
            Self::Series(series) => series.state_bytes(),
        }
    }
}
