//! Ordered folds: each series of rows in the order of event time, `seq`, id and the row's text, through
//! a step with a small state.
//!
//! A row of the input with a time gives one row: its key, its time, and what the step says of it. Rows
//! may come, go and be replaced at any place; from there on the series is folded anew, from the state
//! kept before, up to where the state behind a row is what it was. Only rows that differ are told.
//!
//! All numbers are whole 1e-18, and each step of a recursion rounds half-even, so that rows are the same
//! bit by bit however the input came. A step that doesn't fit 128 bits (numbers beyond about 1.7e20) gives
//! nulls, and the series starts anew behind it, as if that row and those before it weren't there. A row
//! without a value gives nulls, and changes nothing of the state. Nothing is forgotten, because a late
//! row may come at any place.

mod cusum;
mod ewma;
pub(crate) mod fixed;
mod moments;
mod operator;
mod series;
#[cfg(test)]
mod tests;
mod value;
mod zscore;

use std::fmt::Debug;
use std::hash::Hash;

use timely::ExchangeData;
use types::Value;

pub(super) use cusum::Cusum;
pub(super) use ewma::Ewma;
pub(crate) use operator::{Standing, folded};
pub(super) use zscore::Zscore;

/// One step of an ordered fold.
pub(crate) trait Step: Clone + 'static {
    /// What is read of a row.
    type Input: ExchangeData + Clone + Ord + Hash + Debug;
    /// What the rows so far come to.
    type State: Clone + Eq + 'static;
    /// What is said of a row; the default is said of one without a value.
    type Output: Default + Eq + 'static;

    /// The state before the first row.
    fn start(&self) -> Self::State;

    /// Goes past a row. `None` where a number doesn't fit; the state is of no use then.
    fn step(&self, state: &mut Self::State, input: &Self::Input) -> Option<Self::Output>;

    /// Adds what a row's columns hold behind its key and time.
    fn show(&self, input: Option<&Self::Input>, output: &Self::Output, values: &mut Vec<Value>);
}
