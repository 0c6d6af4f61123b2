//! `_manifest.json`: the parts of a view's changes that are whole, up to which epoch.
//!
//! It is replaced as a whole, and last: whoever reads what it lists reads all changes up to its epoch,
//! each once. Its name starts with `_`, which readers of folders of Parquet files leave out.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::digest::digest128;
use types::{Epoch, json};

use crate::env::Files;
use crate::error::ConnectError;
use crate::sinks::file::{Unfinished, folder, remove, sync_names};

const NAME: &str = "_manifest.json";

/// Digits of an epoch in a part's name: names sort as epochs do.
const DIGITS: usize = 20;

/// What a part is. Counts are texts, as they are in all JSON that leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its name in the view's folder.
    pub(super) file: String,
    /// The first epoch that it covers, whether something changed then or not;
    #[serde(with = "as_text")]
    pub(super) first: u64,
    /// the last one.
    #[serde(with = "as_text")]
    pub(super) last: u64,
    /// Its changes.
    #[serde(with = "as_text")]
    pub(super) rows: u64,
    /// Its length.
    #[serde(with = "as_text")]
    pub(super) bytes: u64,
    /// XXH3-128 of its bytes, in hex.
    pub(super) digest: String,
}

/// What a manifest says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Manifest {
    /// Whose parts they are.
    pub(super) view: String,
    /// The last epoch of which all is in them.
    #[serde(with = "as_text")]
    pub(super) until: u64,
    /// The parts, in order. A range of epochs without changes has none.
    pub(super) parts: Vec<Part>,
}

/// The name of the part of these epochs.
pub(super) fn part_name(first: Epoch, last: Epoch) -> String {
    format!("{:0DIGITS$}-{:0DIGITS$}.parquet", first.0, last.0)
}

fn is_part_name(name: &str) -> bool {
    let is_epoch = |text: &str| text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    let epochs = name.strip_suffix(".parquet").and_then(|name| name.split_once('-'));
    epochs.is_some_and(|(first, last)| is_epoch(first) && is_epoch(last))
}

/// A manifest as bytes, a part a line.
pub(super) fn spell(view: &str, until: Epoch, parts: &[Part]) -> Result<Vec<u8>, ConnectError> {
    let mut text = Vec::new();
    text.extend_from_slice(b"{\"view\":");
    types::spell::write_text(&mut text, view);
    text.extend_from_slice(b",\"until\":");
    json::write_value(&mut text, &types::Value::from(until.0));
    text.extend_from_slice(b",\"parts\":[");
    for (index, part) in parts.iter().enumerate() {
        text.extend_from_slice(if index == 0 { b"\n" } else { b",\n" });
        let spelled = serde_json::to_writer(&mut text, part);
        spelled.map_err(|error| ConnectError::broken("spelling a manifest").because(error))?;
    }
    text.extend_from_slice(b"\n]}\n");
    Ok(text)
}

/// The digest by which a manifest is known again.
pub(super) fn digest_of(text: &[u8]) -> String {
    format!("{:032x}", digest128(text))
}

/// Where the manifest of a folder is.
pub(super) fn path_in(files: &dyn Files) -> PathBuf {
    files.path(NAME)
}

/// Puts a manifest in the place of the one before; durable when it returns.
pub(super) fn write(files: &Arc<dyn Files>, text: &[u8]) -> Result<(), ConnectError> {
    let mut file = Unfinished::create(files, NAME)?;
    file.write_all(text).map_err(|error| ConnectError::file("writing", &file.path(), error))?;
    file.sync()?;
    file.finish()
}

/// Reads the manifest of a folder, and its bytes.
pub(super) fn read(files: &dyn Files) -> Result<(Manifest, Vec<u8>), ConnectError> {
    let path = path_in(files);
    let text = files.read(NAME);
    let text = text.map_err(|error| ConnectError::file("going on with", &path, error))?;
    let manifest = serde_json::from_slice(&text).map_err(|error| {
        ConnectError::broken(format!("going on with {}", path.display())).because(error)
    })?;
    Ok((manifest, text))
}

/// Removes the manifest of a folder, if there is one, and then all parts. What is gone stays gone when it
/// returns.
pub(super) fn clear(files: &dyn Files) -> Result<(), ConnectError> {
    let removed = remove(files, NAME);
    if removed.map_err(|error| ConnectError::file("removing", &path_in(files), error))? {
        // A manifest never lists a part that is gone.
        sync_names(files)?;
    }
    remove_parts(files, &[])
}

/// Removes all parts of a folder but those of a list. Files of other names aren't ours.
pub(super) fn remove_parts(files: &dyn Files, but: &[Part]) -> Result<(), ConnectError> {
    let but: BTreeSet<&str> = but.iter().map(|part| part.file.as_str()).collect();
    let names = files.list();
    let names =
        names.map_err(|error| ConnectError::file("reading folder", &folder(files), error))?;
    let is_gone = |name: &String| is_part_name(name) && !but.contains(name.as_str());
    let gone: BTreeSet<String> = names.into_iter().filter(is_gone).collect();
    for name in &gone {
        let removed = files.remove(name);
        removed.map_err(|error| ConnectError::file("removing", &files.path(name), error))?;
        types::fault::point("parts.removed");
    }
    if gone.is_empty() { Ok(()) } else { sync_names(files) }
}

/// Counts that are texts.
mod as_text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(super) fn serialize<S: Serializer>(count: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(count)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
