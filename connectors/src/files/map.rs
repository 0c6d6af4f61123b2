//! From a row's fields to its cells, by the mapping of its source. Compiled once for each file:
//! nothing is looked up by name while rows are read.

use std::sync::Arc;

use types::Reject;
use types::event::{Cell, Op, Reason};
use types::relations::{InputColumn, InputKind, place_columns};

use super::cell::{CellReader, Context};
use super::fields::RowView;
use super::template::Template;
use crate::error::ConnectError;
use crate::rows::{Failure, RowCells};
use crate::source::{FileSource, Format, From, Mapping};

/// A column that a file doesn't have.
#[derive(Debug)]
pub(super) struct Unknown {
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

/// Says where a file's columns are.
pub(super) trait Layout {
    /// The slot of a column.
    fn column(&mut self, name: &str) -> Result<usize, Unknown>;

    /// The slot of a column, if the file has it, or its rows may have it.
    fn maybe_column(&mut self, name: &str) -> Result<Option<usize>, Unknown>;

    /// The slot of a JSON pointer.
    fn pointer(&mut self, pointer: &str) -> Result<usize, Unknown>;
}

/// Makes cells of a file's rows.
pub(super) struct Mapper {
    /// What is the same for each row.
    template: Template,
    /// What differs.
    readers: Vec<Reader>,
    op: Option<CellReader>,
    id: Id,
    /// Where the reading position goes if no cell reader has filled it.
    seq: Option<usize>,
    /// Whether the config maps `seq`, so that even a null is the source's.
    is_seq_listed: bool,
    /// Whether rows may say `correct`.
    has_revision: bool,
}

/// Reads one column of each row.
struct Reader {
    cell: CellReader,
    is_read_of_bust: bool,
}

/// What stands for `id`.
enum Id {
    /// A mapped column, or the relation has none.
    Mapped,
    /// Source columns: the relation's column, their slots and names.
    Identity(usize, Vec<(usize, String)>),
    /// The row's place, where no cell reader has filled it: the column, and what stands in front
    /// of the row's number.
    Place(usize, String),
}

impl Mapper {
    /// Settles a source's mapping for one file; `path` is the file's as the config writes it.
    ///
    /// # Errors
    /// A column that the file doesn't have, or a mapping that can't be read.
    pub(super) fn new(
        source: &FileSource,
        path: &str,
        layout: &mut dyn Layout,
    ) -> Result<Self, ConnectError> {
        let columns = &source.columns;
        refuse_unlisted(source, path, layout)?;
        let (id, seq) = place_columns(columns);
        let id = id.filter(|i| is_kind(columns, *i, InputKind::Text));
        let seq = seq.filter(|i| is_kind(columns, *i, InputKind::Count));
        let mut settle = Settle { source, path, layout };
        let (mut template, mut readers) = (Template::new(columns.len()), Vec::new());
        for (index, column) in columns.iter().enumerate() {
            let is_identity = Some(index) == id && !source.identity.is_empty();
            if column.internal || is_identity {
                continue;
            }
            let Some(cell) = settle.cell(index, column)? else { continue };
            let is_read_of_bust = source.key_columns.contains(&index) || column.name == "revision";
            match cell.constant() {
                Some(constant) => template.set(index, constant, is_read_of_bust),
                None => readers.push(Reader { cell, is_read_of_bust }),
            }
        }
        let op = settle.op()?;
        let id = match id {
            Some(index) if !source.identity.is_empty() => {
                Id::Identity(index, settle.identity(&source.identity)?)
            }
            // Where `id` tells no rows apart, a place would only make a repeat another row.
            Some(index)
                if !source.mapping.contains_key(&index) && source.key_columns.contains(&index) =>
            {
                Id::Place(index, format!("{}:{path}:", source.name))
            }
            _ => Id::Mapped,
        };
        let quote_asset = columns.iter().position(|c| c.internal && c.name == "quote_asset");
        if let Some((column, asset)) = quote_asset.zip(source.quote_asset.as_deref()) {
            template.set_text(column, asset);
        }
        Ok(Self {
            template,
            readers,
            op,
            id,
            seq,
            is_seq_listed: seq.is_some_and(|i| source.mapping.contains_key(&i)),
            has_revision: !source.unlisted.contains(&"revision"),
        })
    }

    /// What each batch of rows starts its texts with.
    pub(super) fn texts(&self) -> &str {
        self.template.texts()
    }

    /// Reads a row; `row` is its number in the file, `position` that in the order of reading.
    ///
    /// # Errors
    /// Why it can't be used.
    pub(super) fn read(
        &mut self,
        view: RowView<'_>,
        (row, position): (u64, u64),
        cells: &mut RowCells<'_>,
    ) -> Result<(), Failure> {
        if let Some(op) = &mut self.op {
            cells.op = read_op(op, view)?;
            if cells.op == Op::Correct && !self.has_revision {
                let detail = "`correct` needs a mapped `revision`".to_owned();
                return Err(op.fail(Reason::UnknownValue, detail));
            }
        }
        let is_bust = cells.op == Op::Bust;
        cells.start(self.template.cells(is_bust));
        for reader in &mut self.readers {
            if !is_bust || reader.is_read_of_bust {
                reader.cell.read(view, cells)?;
            }
        }
        self.set_id(view, row, cells)?;
        if is_bust {
            return Ok(());
        }
        if let Some(seq) = self.seq {
            cells.seq_is_mapped = self.is_seq_listed || cells.get(seq) != Cell::Null;
            if !cells.seq_is_mapped {
                cells.set(seq, Cell::Count(position));
            }
        }
        Ok(())
    }

    fn set_id(&self, view: RowView<'_>, row: u64, cells: &mut RowCells<'_>) -> Result<(), Failure> {
        match &self.id {
            Id::Mapped => Ok(()),
            Id::Identity(column, parts) => set_identity(*column, parts, view, cells),
            Id::Place(column, prefix) => {
                if cells.get(*column) == Cell::Null {
                    let start = cells.n_texts();
                    cells.push_text(prefix);
                    cells.push_text(&row.to_string());
                    cells.set_text_from(*column, start);
                }
                Ok(())
            }
        }
    }
}

/// The text of an identity: that of its one column, else a JSON array of them.
fn set_identity(
    column: usize,
    parts: &[(usize, String)],
    view: RowView<'_>,
    cells: &mut RowCells<'_>,
) -> Result<(), Failure> {
    let fail = |reason, detail: &str, name: &str| {
        (Reject::of(reason, "id", detail), Some(name.to_owned()))
    };
    let is_single = parts.len() == 1;
    let (start, mut is_empty) = (cells.n_texts(), true);
    for (i, (slot, name)) in parts.iter().enumerate() {
        let part = view.get(*slot);
        is_empty &= part.is_none_or(<[u8]>::is_empty);
        let text = std::str::from_utf8(part.unwrap_or_default())
            .map_err(|_| fail(Reason::UnreadableRow, "not UTF-8", name))?;
        if is_single {
            cells.push_text(text);
            continue;
        }
        cells.push_text(if i == 0 { "[" } else { "," });
        let json = serde_json::to_string(&part.map(|_| text));
        cells.push_text(&json.unwrap_or_default());
    }
    if is_empty {
        let name = parts.first().map_or("", |(_, name)| name);
        return Err(fail(Reason::MissingValue, "no value", name));
    }
    if !is_single {
        cells.push_text("]");
    }
    cells.set_text_from(column, start);
    Ok(())
}

/// Refuses a header with an operation or revision that the config doesn't list.
fn refuse_unlisted(
    source: &FileSource,
    path: &str,
    layout: &mut dyn Layout,
) -> Result<(), ConnectError> {
    if source.format != Format::Csv {
        return Ok(());
    }
    for name in &source.unlisted {
        if matches!(layout.maybe_column(name), Ok(Some(_))) {
            let doing = format!(
                "reading the header of {path}: it has a column `{name}` that source `{}` doesn't list",
                source.name
            );
            let constant = if *name == "op" { "insert" } else { "0" };
            return Err(ConnectError::broken(doing).hint(format!(
                "under [sources.{}.columns] write `{name} = \"{name}\"` to use it, or \
                 `{name} = {{ constant = \"{constant}\" }}` to leave it aside",
                source.name
            )));
        }
    }
    Ok(())
}

fn read_op(reader: &mut CellReader, view: RowView<'_>) -> Result<Op, Failure> {
    let found = match reader.text(view)?.as_deref() {
        None | Some(b"insert") => Ok(Op::Insert),
        Some(b"correct") => Ok(Op::Correct),
        Some(b"bust") => Ok(Op::Bust),
        Some(other) => Err(format!("`{}` is no operation", super::time::shown(other))),
    };
    found.map_err(|detail| reader.fail(Reason::UnknownValue, detail))
}

fn is_kind(columns: &Arc<[InputColumn]>, index: usize, kind: InputKind) -> bool {
    columns.get(index).is_some_and(|c| c.kind == kind)
}

/// Settles the parts of a mapping against a file.
struct Settle<'a> {
    source: &'a FileSource,
    path: &'a str,
    layout: &'a mut dyn Layout,
}

impl Settle<'_> {
    /// The reader of a column; `None` where nothing gives it.
    fn cell(
        &mut self,
        index: usize,
        column: &InputColumn,
    ) -> Result<Option<CellReader>, ConnectError> {
        if let Some(mapping) = self.source.mapping.get(&index) {
            return self.listed(index, column, mapping).map(Some);
        }
        let slot = self.layout.maybe_column(&column.name);
        match slot.map_err(|unknown| self.error(&column.name, unknown))? {
            Some(slot) => Ok(Some(CellReader::implied(index, column, slot))),
            None if column.needed => {
                let unknown = self.layout.column(&column.name).err();
                let message = format!("the header has no column `{}`", column.name);
                let unknown = unknown.unwrap_or(Unknown { message, hint: None });
                Err(self.error(&column.name, unknown))
            }
            None => Ok(None),
        }
    }

    fn listed(
        &mut self,
        index: usize,
        column: &InputColumn,
        mapping: &Mapping,
    ) -> Result<CellReader, ConnectError> {
        let mut context = Context { path: self.path, layout: self.layout };
        let made = CellReader::listed(index, column, mapping, &mut context);
        made.map_err(|unknown| self.error(&column.name, unknown))
    }

    fn op(&mut self) -> Result<Option<CellReader>, ConnectError> {
        let column = InputColumn::maybe("op", InputKind::Text);
        if let Some(mapping) = &self.source.op {
            return self.listed(usize::MAX, &column, mapping).map(Some);
        }
        if self.source.columns.iter().any(|c| c.name == "op") {
            // A declared relation has a column of this name: it isn't the operation.
            return Ok(None);
        }
        let slot = self.layout.maybe_column("op").map_err(|unknown| self.error("op", unknown))?;
        Ok(slot.map(|slot| CellReader::implied(usize::MAX, &column, slot)))
    }

    fn identity(&mut self, names: &[String]) -> Result<Vec<(usize, String)>, ConnectError> {
        let mut parts = Vec::new();
        for name in names {
            let slot = self.layout.column(name).map_err(|unknown| self.error("id", unknown))?;
            parts.push((slot, name.clone()));
        }
        Ok(parts)
    }

    fn error(&self, column: &str, unknown: Unknown) -> ConnectError {
        let doing = format!(
            "mapping column `{column}` of source `{}` onto {}: {}",
            self.source.name, self.path, unknown.message
        );
        let error = ConnectError::broken(doing);
        match unknown.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Finds what is wrong with a mapping without a file: a constant that its column can't take, an
/// unknown zone, a time format that can't be read, an expression, a pointer, a replacement that
/// isn't one of the column's words.
pub fn check_mapping(column: &InputColumn, mapping: &Mapping) -> Option<String> {
    /// A file that has every column.
    struct Anything;
    impl Layout for Anything {
        fn column(&mut self, _name: &str) -> Result<usize, Unknown> {
            Ok(0)
        }
        fn maybe_column(&mut self, _name: &str) -> Result<Option<usize>, Unknown> {
            Ok(Some(0))
        }
        fn pointer(&mut self, pointer: &str) -> Result<usize, Unknown> {
            super::jsonl::Wanted::default().pointer(pointer)
        }
    }
    // What the file's name gives can only be told from the file.
    if matches!(mapping.from, From::FileStem) {
        let mapping = Mapping { from: From::Column(String::new()), ..mapping.clone() };
        return check_mapping(column, &mapping);
    }
    let mut context = Context { path: "", layout: &mut Anything };
    CellReader::listed(0, column, mapping, &mut context).err().map(|unknown| unknown.message)
}
