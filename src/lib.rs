//! Tapeline: a streaming dataflow engine for market data: exact, correctable, incremental.
//!
//! Read [`engine`] first: it is the way of a fill, stage by stage. Then the stages in that order:
//! [`config`] (what is to run), [`ingest`] (rows to epochs), [`mod@journal`] on [`log`] and [`mod@checkpoint`]
//! (what happened, kept), [`mod@poison`] (rows that crash it), [`runtime`] (epochs to changes, on timely
//! workers), [`publish`] and [`serve`] (readers), [`deliver`] (sinks), [`cli`].
#![forbid(unsafe_code)]

pub use connectors::env;

mod checkpoint;
pub mod cli;
pub mod cold;
pub mod config;
mod data_dir;
pub mod deliver;
pub mod engine;
pub mod error;
mod gate;
pub mod ingest;
mod journal;
mod limits;
pub mod log;
mod poison;
pub mod publish;
mod quarantine;
mod replayed;
pub mod runtime;
pub mod score;
pub mod serve;
pub mod simulate;
pub mod stop;
pub mod testing;
