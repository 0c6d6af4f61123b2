//! Fault rigs: the program is stopped, and must in the end give what a run gives that was never
//! disturbed. Each rig has a control: with a protection taken out it must turn red.

mod job;
mod kill;
mod points;
mod resume;
#[expect(dead_code, reason = "the tests of the sink use more of it")]
#[path = "../../../connectors/tests/support/server.rs"]
pub(crate) mod server;
