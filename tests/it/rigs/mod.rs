//! Fault rigs: the program is stopped, or what it talks to, and must in the end give what a run gives
//! that was never disturbed. Each rig has a control: with a protection taken out it must turn red.

mod away;
mod ceiling;
mod crash;
mod job;
mod kill;
mod points;
mod proxied;
mod proxy;
mod resume;
#[path = "../../../connectors/tests/support/server.rs"]
mod server;
mod stored;
