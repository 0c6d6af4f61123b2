//! Tapeline.
#![forbid(unsafe_code)]

pub mod cli;
pub mod publish;
pub mod serve;
