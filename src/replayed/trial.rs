//! Rows in quarantine that are to be replayed are tried first: read by the mapping as it is now, and judged
//! as a run does, beside one another.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use connectors::quarantine::bytes_of;
use connectors::replayed::{ReplayedRow, check};
use connectors::source;
use serde_json::Value;
use types::Reject;
use types::event::Reason;

use super::batches;
use crate::config::EnginePlan;
use crate::error::Error;
use crate::ingest::{self, Sequencer, SequencerOptions};
use crate::quarantine::Row;

/// What becomes of a row that is to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It can be used.
    Taken(ReplayedRow),
    /// It was replayed before, in this batch.
    Before(PathBuf),
    /// It isn't taken: why, and what to do.
    Refused(String),
}

/// Tries rows.
pub(crate) struct Trial<'a> {
    plan: &'a EnginePlan,
    sequencer: Sequencer,
    /// The sources that were asked for.
    sources: BTreeMap<usize, source::Trial<'a>>,
    /// What is replayed already at the places of the rows: the batch and the bytes.
    before: BTreeMap<(String, String, u64), (PathBuf, Vec<u8>)>,
}

impl<'a> Trial<'a> {
    /// Looks for what was replayed before of some rows.
    ///
    /// # Errors
    /// If a batch can't be read.
    pub(crate) fn new(plan: &'a EnginePlan, rows: &[Row]) -> Result<Self, Error> {
        let options = SequencerOptions {
            max_events: usize::MAX,
            lateness_nanos: 0,
            keeps_id_texts: false,
            keeps_events: false,
        };
        let sequencer = Sequencer::new(&plan.plan.relations, options);
        let mut trial = Self { plan, sequencer, sources: BTreeMap::new(), before: BTreeMap::new() };
        trial.look_back(&plan.pipeline.data_dir, rows)?;
        Ok(trial)
    }

    fn look_back(&mut self, data_dir: &Path, rows: &[Row]) -> Result<(), Error> {
        let is_place = |row: &&Row| row.fields.contains_key("source");
        let place = |row: &Row| (row.text("source"), row.text("path"), number(row, "row"));
        let wanted: BTreeSet<_> = rows.iter().filter(is_place).map(place).collect();
        for (_, batch) in batches(data_dir)? {
            check(&batch, |row| {
                let place = (row.source.clone(), row.path.clone(), row.row);
                if wanted.contains(&place) {
                    self.before.insert(place, (batch.clone(), row.bytes.clone()));
                }
            })?;
        }
        Ok(())
    }

    /// Tries a row, with other bytes than its own if there are some.
    ///
    /// # Errors
    /// If its file can't be opened, or lacks a column.
    pub(crate) fn judge(&mut self, row: &Row, with: Option<&str>) -> Result<Outcome, Error> {
        let replayed = match as_replayed(row, with) {
            Ok(replayed) => replayed,
            Err(why) => return Ok(Outcome::Refused(why)),
        };
        let place = (replayed.source.clone(), replayed.path.clone(), replayed.row);
        if let Some((batch, bytes)) = self.before.get(&place) {
            return Ok(if *bytes == replayed.bytes {
                Outcome::Before(batch.clone())
            } else {
                Outcome::Refused(format!(
                    "it is replayed otherwise in {}: to take that back, remove that file and start with `--fresh`",
                    batch.display()
                ))
            });
        }
        let found = self.read(&replayed)?;
        if let Err(why) = found {
            return Ok(Outcome::Refused(why));
        }
        // Should the quarantine hold it twice.
        let this = PathBuf::from("this batch");
        self.before.insert(place, (this, replayed.bytes.clone()));
        Ok(Outcome::Taken(replayed))
    }

    /// Reads a row and judges it; else says why it can't be used.
    fn read(&mut self, row: &ReplayedRow) -> Result<Result<(), String>, Error> {
        let sources = &self.plan.sources;
        let Some(index) = sources.iter().position(|source| source.file.name == row.source) else {
            return Ok(Err(format!("the config has no source `{}`", row.source)));
        };
        let Some(source) = sources.get(index) else { return Ok(Ok(())) };
        let trial = match self.sources.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(source::Trial::new(&source.file)?),
        };
        let Some(rows) = trial.read(row)? else {
            return Ok(Err(format!("source `{}` has no file {} any more", row.source, row.path)));
        };
        let Some(read) = rows.get(0) else { return Ok(Ok(())) };
        Ok(match self.sequencer.admit(source.relation, &read)? {
            ingest::Outcome::Quarantined(reject) => Err(told(&reject)),
            ingest::Outcome::Applied | ingest::Outcome::Duplicate => Ok(()),
        })
    }
}

/// Why a row can't be used.
fn told(reject: &Reject) -> String {
    let Reject { reason, column, detail } = reject;
    let column = column.as_ref().map(|column| format!(" in `{column}`")).unwrap_or_default();
    format!("{}{column}: {detail}", reason.code())
}

/// A row of the quarantine as it is to be replayed; else why it can't be.
fn as_replayed(row: &Row, with: Option<&str>) -> Result<ReplayedRow, String> {
    if row.fields.contains_key("sink") {
        return Err(format!(
            "sink `{}` couldn't deliver it: it isn't a source's, and what the run knows of it is whole. Put \
             right what refused it, and start with `--fresh`",
            row.text("sink")
        ));
    }
    if row.fields.contains_key("relation") {
        return Err("it crashes the engine, which is a bug of Tapeline: please report it. A version that puts \
                    it right takes the row again when it starts with `--fresh`"
            .to_owned());
    }
    let bytes = match with {
        Some(text) => {
            let text = text.strip_suffix('\n').unwrap_or(text);
            text.strip_suffix('\r').unwrap_or(text).as_bytes().to_vec()
        }
        None => own_bytes(row)?,
    };
    let [source, path] = ["source", "path"].map(|key| row.text(key));
    let [line, row] = ["line", "row"].map(|key| number(row, key));
    Ok(ReplayedRow { source, path, row, line, bytes })
}

/// The bytes that were kept of a row, where they are all of it and may do.
fn own_bytes(row: &Row) -> Result<Vec<u8>, String> {
    let text = |key: &str| row.fields.get(key).and_then(Value::as_str);
    let kept = bytes_of(text("bytes"), text("bytes_base64")).unwrap_or_default();
    let n_bytes = number(row, "n_bytes");
    if u64::try_from(kept.len()).unwrap_or(u64::MAX) < n_bytes {
        return Err(format!(
            "{n_bytes} bytes, of which {} are kept: put it right in its file, or give it `--with` all of them",
            kept.len()
        ));
    }
    if row.text("reason") == Reason::IdentityConflict.code() {
        return Err(
            "another row of its identity stands: as it is, this one is refused again. Give it another id or \
             revision, `--with`"
                .to_owned(),
        );
    }
    Ok(kept)
}

fn number(row: &Row, key: &str) -> u64 {
    row.fields.get(key).and_then(Value::as_u64).unwrap_or_default()
}
