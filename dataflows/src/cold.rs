//! History that leaves memory: pieces of bytes that never change, kept by someone who may touch files.
//!
//! A piece is one immutable run of a key range's history: a sealed chunk of a key's events, or a block
//! of the log of short histories ([`crate::operators`]' `history`). Once written it is only read or
//! freed; what changes (the states before chunks, which events of a block are gone) stays in memory.
//! So whoever saves a checkpoint can name the pieces that lie outside already and write only the rest,
//! and a piece that a checkpoint names may outlive the one who freed it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;

/// Where pieces of history are kept that don't fit into memory.
pub trait ColdStore: Send {
    /// Keeps a piece.
    ///
    /// # Errors
    /// If it can't be kept.
    fn put(&mut self, bytes: &[u8]) -> Result<Piece, Box<Failure>>;

    /// Reads a piece back: `bytes` then holds what was put, and nothing else.
    ///
    /// # Errors
    /// If it can't be read, or isn't what was put.
    fn get(&mut self, piece: Piece, bytes: &mut Vec<u8>) -> Result<(), Box<Failure>>;

    /// Forgets a piece; its place may be used for another.
    fn free(&mut self, piece: Piece);
}

/// A piece that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece {
    /// Where the store finds it.
    pub at: u64,
    /// How many bytes were put.
    pub n_bytes: u32,
}

/// Why a piece couldn't be kept or read back.
#[derive(Debug)]
pub struct Failure {
    /// What was being done, and to which file.
    pub doing: String,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Failure {
    /// The failure that ended a worker, from what its thread unwound with.
    ///
    /// # Errors
    /// What it unwound with, where that is anything else.
    pub fn of_unwinding(payload: Box<dyn Any + Send>) -> Result<Box<Self>, Box<dyn Any + Send>> {
        payload.downcast()
    }
}

/// How much history a worker holds in memory, and where the rest goes.
pub struct Spilling {
    /// Keeps the rest.
    pub store: Box<dyn ColdStore>,
    /// How many bytes of events a worker holds, in all its histories together. What places them (their
    /// keys, states, the states before chunks) isn't counted.
    pub memory: usize,
}

/// The histories' end of it: one a worker, shared by its operators.
pub(crate) struct Cold {
    /// `None` where nothing ever leaves memory.
    store: Option<RefCell<Box<dyn ColdStore>>>,
    memory: usize,
    held: Cell<usize>,
    buffer: RefCell<Vec<u8>>,
}

impl Cold {
    /// Starts with nothing held.
    pub(crate) fn new(spilling: Option<Spilling>) -> Rc<Self> {
        let memory = spilling.as_ref().map_or(usize::MAX, |spilling| spilling.memory);
        let store = spilling.map(|spilling| RefCell::new(spilling.store));
        let (held, buffer) = (Cell::new(0), RefCell::new(Vec::new()));
        Rc::new(Self { store, memory, held, buffer })
    }

    /// Takes note that some bytes of events in memory became more, or fewer.
    #[inline]
    pub(crate) fn resize(&self, before: usize, after: usize) {
        self.held.set(self.held.get() - before + after);
    }

    /// Bytes of events in memory.
    pub(crate) fn held(&self) -> usize {
        self.held.get()
    }

    /// Whether more is in memory than may be.
    pub(crate) fn is_full(&self) -> bool {
        self.held.get() > self.memory
    }

    /// Whether nothing may stay in memory: then even what is hardly worth it leaves.
    pub(crate) fn is_bare(&self) -> bool {
        self.memory == 0
    }

    /// Keeps a piece that `write` makes.
    pub(crate) fn put(&self, write: impl FnOnce(&mut Vec<u8>)) -> Piece {
        let mut buffer = self.buffer.borrow_mut();
        buffer.clear();
        write(&mut buffer);
        self.store().borrow_mut().put(&buffer).unwrap_or_else(|failure| end(failure))
    }

    /// Reads a piece.
    pub(crate) fn get(&self, piece: Piece, bytes: &mut Vec<u8>) {
        self.store().borrow_mut().get(piece, bytes).unwrap_or_else(|failure| end(failure));
        let given = u32::try_from(bytes.len());
        assert_eq!(given, Ok(piece.n_bytes), "a store gives back what was put");
    }

    /// Forgets a piece.
    pub(crate) fn free(&self, piece: Piece) {
        self.store().borrow_mut().free(piece);
    }

    fn store(&self) -> &RefCell<Box<dyn ColdStore>> {
        self.store.as_ref().expect("only who has a store puts pieces there")
    }
}

/// Ends a worker: without its history it can't go on, and operators have no other way out. It unwinds
/// without a panic's message, for whoever runs the worker says what happened.
fn end(failure: Box<Failure>) -> ! {
    std::panic::resume_unwind(failure)
}

#[cfg(test)]
pub(crate) mod testing {
    //! A store in memory that counts.

    use std::sync::{Arc, Mutex};

    use super::{ColdStore, Failure, Piece};

    /// What a store holds, by place.
    #[derive(Clone, Default)]
    pub(crate) struct Pieces(pub(crate) Arc<Mutex<Vec<Option<Vec<u8>>>>>);

    impl Pieces {
        /// How many pieces were put, and how many of them weren't freed.
        pub(crate) fn counts(&self) -> (usize, usize) {
            let pieces = self.0.lock().unwrap();
            (pieces.len(), pieces.iter().flatten().count())
        }
    }

    impl ColdStore for Pieces {
        fn put(&mut self, bytes: &[u8]) -> Result<Piece, Box<Failure>> {
            let mut pieces = self.0.lock().unwrap();
            pieces.push(Some(bytes.to_vec()));
            let at = u64::try_from(pieces.len() - 1).unwrap();
            Ok(Piece { at, n_bytes: u32::try_from(bytes.len()).unwrap() })
        }

        fn get(&mut self, piece: Piece, bytes: &mut Vec<u8>) -> Result<(), Box<Failure>> {
            let pieces = self.0.lock().unwrap();
            bytes.clear();
            let held = pieces[usize::try_from(piece.at).unwrap()].as_ref();
            bytes.extend_from_slice(held.expect("only what wasn't freed is read"));
            Ok(())
        }

        fn free(&mut self, piece: Piece) {
            let at = usize::try_from(piece.at).unwrap();
            let freed = self.0.lock().unwrap()[at].take();
            assert!(freed.is_some(), "what is freed is freed once");
        }
    }
}
