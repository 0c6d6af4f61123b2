//! A ClickHouse of a rig's own, which may go away and come back.

use std::net::TcpListener;
use std::ops::Deref;

use tempfile::TempDir;

use tapeline::env::{Env as _, System};

use super::dice::Dice;
use super::server::{Server, start};

/// A server with its data, on a port to which it comes back.
pub(super) struct House {
    /// Ends before its folder goes.
    server: Server,
    folder: TempDir,
}

impl House {
    /// Starts one, if there can be one.
    pub(super) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&folder.path().join("data"), port_to_keep())?;
        Some(Self { server, folder })
    }

    /// Kills it.
    pub(super) fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again, on what it left.
    pub(super) fn come_back(&mut self) {
        self.server = start(&self.folder.path().join("data"), self.server.port).unwrap();
    }
}

impl Deref for House {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// A free port below those that the system gives away, so that it stays free while its server is gone.
fn port_to_keep() -> u16 {
    let mut dice = Dice(u64::try_from(System.chance() >> 64).unwrap());
    loop {
        let port = 12_000 + u16::try_from(dice.below(20_000)).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
