//! What the tests against a real ClickHouse share.

mod cost;
pub(crate) mod dice;
#[expect(dead_code, reason = "the tests of file sinks use more of it")]
pub(crate) mod history;
pub(crate) mod house;
mod server;

pub(crate) use server::{Server, start, start_with};
