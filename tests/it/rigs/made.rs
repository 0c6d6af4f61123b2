//! Surroundings made of a seed: a clock that jumps, no chance at all, files that fail at any call
//! that changes something, and connections that fail at some.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tapeline::env::{Connecting, Disk, Env, Files, OpenFile, Socket, System};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use types::time::ReceiveTime;

use super::dice::Dice;

/// Calls so far, and the one from which on all fail.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) n: AtomicU64,
    fails_from: u64,
    /// Whether later ones succeed again.
    is_once: bool,
}

impl Calls {
    fn pass(&self) -> io::Result<()> {
        let n = self.n.fetch_add(1, Ordering::Relaxed) + 1;
        let fails = n == self.fails_from || (n > self.fails_from && !self.is_once);
        if fails && self.fails_from > 0 { Err(io::Error::other("it fails")) } else { Ok(()) }
    }
}

/// Surroundings made of one seed.
#[derive(Debug)]
pub(super) struct Made {
    clock: AtomicU64,
    /// Of files.
    pub(super) calls: Arc<Calls>,
    pub(super) wires: Wires,
}

/// What connections do: one of so many operations fails, none where that is zero.
#[derive(Clone, Debug)]
pub(super) struct Wires {
    one_of: u64,
    dice: Arc<Mutex<Dice>>,
    /// Connections that were refused, writes and reads that broke off.
    pub(super) n_faults: Arc<[AtomicU64; 3]>,
}

impl Wires {
    fn new(seed: u64, one_of: u64) -> Self {
        Self { one_of, dice: Arc::new(Mutex::new(Dice(seed))), n_faults: Arc::default() }
    }

    fn pass(&self, kind: usize) -> io::Result<()> {
        if self.one_of == 0 || self.dice.lock().unwrap().below(self.one_of) > 0 {
            return Ok(());
        }
        self.n_faults[kind].fetch_add(1, Ordering::Relaxed);
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "it fails"))
    }
}

impl Made {
    /// Files fail from a call on, or once there; with zero never.
    pub(super) fn of_files(seed: u64, fails_from: u64, is_once: bool) -> Self {
        let calls = Calls { fails_from, is_once, ..Calls::default() };
        let wires = Wires::new(seed, 0);
        Self { clock: AtomicU64::new(seed), calls: Arc::new(calls), wires }
    }

    /// One of so many operations of connections fails.
    pub(super) fn of_wires(seed: u64, one_of: u64) -> Self {
        Self { wires: Wires::new(seed, one_of), ..Self::of_files(seed, 0, false) }
    }
}

impl Env for Made {
    fn now(&self) -> ReceiveTime {
        // An hour before or after the last one.
        let seed = self.clock.fetch_add(1, Ordering::Relaxed);
        ReceiveTime(i64::try_from(Dice(seed).below(7_200_000_000_000)).unwrap())
    }

    fn chance(&self) -> u128 {
        7
    }

    fn files(&self, folder: &Path) -> io::Result<Arc<dyn Files>> {
        self.calls.pass()?;
        Ok(Arc::new(Failing { disk: Disk::open(folder)?, calls: Arc::clone(&self.calls) }))
    }

    fn connect(&self, host: &str, port: u16) -> Connecting {
        let (connecting, wires) = (System.connect(host, port), self.wires.clone());
        Box::pin(async move {
            wires.pass(0)?;
            let wire: Box<dyn Socket> = Box::new(Wire { socket: connecting.await?, wires });
            Ok(wire)
        })
    }
}

/// A connection that may break off at any write or read.
struct Wire {
    socket: Box<dyn Socket>,
    wires: Wires,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_read(context, into))?;
        // What the other side did is done.
        Poll::Ready(self.wires.pass(2))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // What went before it breaks off did go.
        let n = ready!(Pin::new(&mut self.socket).poll_write(context, bytes))?;
        Poll::Ready(self.wires.pass(1).map(|()| n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

struct Failing {
    disk: Disk,
    calls: Arc<Calls>,
}

impl Failing {
    fn wrap(&self, file: io::Result<Box<dyn OpenFile>>) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(FailingFile { file: file?, calls: Arc::clone(&self.calls) }))
    }
}

impl Files for Failing {
    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        self.calls.pass()?;
        self.wrap(self.disk.create(name))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        self.wrap(self.disk.open(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.calls.pass()?;
        self.disk.rename(from, to)
    }

    fn extend(&self, name: &str) -> io::Result<Box<dyn OpenFile>> {
        self.calls.pass()?;
        self.wrap(self.disk.extend(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.calls.pass()?;
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.calls.pass()?;
        self.disk.sync()
    }
}

struct FailingFile {
    file: Box<dyn OpenFile>,
    calls: Arc<Calls>,
}

impl OpenFile for FailingFile {
    fn n_bytes(&self) -> io::Result<u64> {
        self.file.n_bytes()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(bytes, offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.calls.pass() {
            // A write that fails may have done half of its work.
            self.file.append(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            return Err(error);
        }
        self.file.append(bytes)
    }

    fn set_len(&mut self, n_bytes: u64) -> io::Result<()> {
        self.calls.pass()?;
        self.file.set_len(n_bytes)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.calls.pass()?;
        self.file.sync_data()
    }
}
