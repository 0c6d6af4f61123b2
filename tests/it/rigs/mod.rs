//! Fault rigs: the program is stopped, or what it talks to or writes on fails, and must in the end give
//! what a run gives that was never disturbed. Each rig has a control: with a protection taken out it must
//! turn red.

mod away;
mod ceiling;
mod crash;
#[path = "../../../connectors/tests/support/dice.rs"]
pub(crate) mod dice;
#[cfg(feature = "sabotage")]
mod disk;
#[cfg(feature = "sabotage")]
mod faults;
mod house;
mod job;
mod kill;
mod made;
mod points;
mod poison;
#[cfg(feature = "sabotage")]
mod power;
mod proxied;
mod proxy;
mod restored;
mod resume;
#[path = "../../../connectors/tests/support/server.rs"]
pub(crate) mod server;
#[cfg(feature = "sabotage")]
mod serving;
mod stored;
#[cfg(feature = "sabotage")]
mod strace;
mod surroundings;
