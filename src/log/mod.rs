//! The log of step 5: what is appended here happened, in this order, and nothing else did.
//!
//! It is segments in a folder; what records mean is [`mod@crate::journal`]'s business.
//!
//! ```text
//! let files = Arc::new(Disk::open(&data_dir.join("log"))?);
//! let found = recover(&*files, log_id)?;             // refuses damage; cuts what a crash tore
//! let mut reader = Reader::open(files.clone(), log_id, found.records.clone())?;
//! while let Some(record) = reader.next_record()? { .. }      // number, kind, payload
//! let mut writer = Writer::start(files.clone(), log_id, &found, Options::default())?;
//! let number = writer.append(kind, payload)?;         // doesn't wait for the disk
//! writer.durable().wait_for(number)?;                 // this does, in any thread
//! cut_before(&*files, number)?;                       // what a checkpoint holds
//! writer.finish()?;
//! ```
//!
//! `log_id` is random, one for each data directory; the caller keeps it. Records are numbered from 1.
//! What [`Durable`] has told to be durable is there after any crash; what it hasn't may be there, too,
//! but never without all before it. A log that isn't as it was written, for another reason than a write
//! that was cut short, is refused with its place ([`LogError::Damaged`]); [`salvage()`] puts the bad part
//! aside and says which numbers are lost.
//!
//! To read on: [`record`] and [`segment`] (bytes), [`writer`] and [`commit`] (the two threads),
//! [`recovery`].

mod commit;
mod error;
mod parts;
mod reader;
mod record;
mod recovery;
mod salvage;
mod segment;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

pub use error::{Damage, LogError};
pub use parts::cut_before;
pub use reader::Reader;
pub use record::Record;
pub use recovery::{Recovered, Torn, recover};
pub use salvage::{Salvaged, cut_from, salvage};
pub use writer::{Durable, Options, Sync, Writer};

/// The folder, in the log's, of what was put aside.
const SALVAGED: &str = "salvaged";

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn narrow(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
