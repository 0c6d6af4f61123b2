//! What crosses a wire or a disk: sources and sinks. Never timely.
//!
//! [`source`] and [`sink`] are the contracts; [`SOURCES`] and [`SINKS`] the lists from which configs
//! are checked. To add one: a file (a venue: a folder), its options as a table, a line in the list.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

pub mod env;
pub mod error;
mod files;
pub mod quarantine;
pub mod replayed;
mod rows;
pub mod sink;
pub mod sinks;
pub mod source;
mod spool;

pub use error::ConnectError;
pub use sink::{SINKS, Sink, SinkKind};
pub use source::{SOURCES, SourceKind};
