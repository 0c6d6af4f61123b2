//! Tapeline: a streaming dataflow engine for market data: exact, correctable, incremental.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod error;
