//! `jsonl`: a JSON object a line.
//!
//! `final` files hold the rows as they stand at the end, sorted by their key's text; they get their
//! name when the run has ended. `changes` files grow as the run goes.

mod changes;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use types::fault::point;
use types::options::{Need, OptionKind, OptionSpec, option};
use types::relations::Relation;
use types::spell::write_text;
use types::{Epoch, Names, Schema, json};

use self::changes::ChangesSink;
use super::file::Unfinished;
use super::fold::{Fold, HELD_BYTES, SpellFinal};
use super::held::Spell;
use super::parallel::in_parallel;
use super::{MODE, Mode, PATH, cells, no_problems, open_folder};
use crate::env::Files;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport, SinkView};

/// The line of this sink in the list.
pub(crate) const KIND: SinkKind = SinkKind {
    name: "jsonl",
    help: "writes a file of JSON lines a view",
    options: OPTIONS,
    check: no_problems,
    open,
};

const OPTIONS: &[OptionSpec] = &[
    PATH,
    MODE,
    option(
        "sync_bytes",
        OptionKind::Bytes,
        Need::Default("32MiB"),
        "bytes of changes that a crash may cost to write again: then files are synced, and when idle",
    ),
];

#[expect(clippy::needless_pass_by_value, reason = "the contract hands the context over")]
fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    let (files, mode) = open_folder(&context)?;
    let name = |view: &SinkView| format!("{}.jsonl", view.name);
    match mode {
        Mode::Final => Ok(Box::new(FinalSink::open(&context, &files, name, HELD_BYTES)?)),
        Mode::Changes => Ok(Box::new(ChangesSink::open(&context, &*files, name)?)),
    }
}

/// Writes the rows as they stand at the end.
pub(super) struct FinalSink {
    last: Option<Epoch>,
    names: Arc<Names>,
    views: Vec<FinalFile>,
}

struct FinalFile {
    view: SinkView,
    fold: Fold,
    file: Unfinished,
}

impl FinalSink {
    pub(super) fn open(
        context: &SinkContext,
        files: &Arc<dyn Files>,
        name: impl Fn(&SinkView) -> String,
        held_bytes: usize,
    ) -> Result<Self, ConnectError> {
        let open = |view: &SinkView| {
            let names = Arc::clone(&context.names);
            // The key's text is how the row's starts.
            let fold = Fold::new(view.clone(), names, held_bytes, view.schema.n_key);
            Ok(FinalFile {
                view: view.clone(),
                fold,
                file: Unfinished::create(files, &name(view))?,
            })
        };
        let views = context.views.iter().map(open).collect::<Result<_, ConnectError>>()?;
        Ok(Self { last: None, names: Arc::clone(&context.names), views })
    }
}

impl Sink for FinalSink {
    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        for (file, view) in self.views.iter_mut().zip(&changes.views) {
            file.fold.take(view, changes.epoch)?;
        }
        self.last = Some(changes.epoch);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        let (names, views) = (Arc::clone(&self.names), std::mem::take(&mut self.views));
        let written = in_parallel(views, |view| view.fold.n_rows(), |view| view.write(&names))?;
        let mut report = SinkReport::default();
        for (file, n_rows) in &written {
            report.lines.push(format!("{}: {n_rows} rows", file.path().display()));
        }
        point("final.written");
        // All are whole before the first is shown, so that files of two runs hardly ever mix.
        written.into_iter().try_for_each(|(file, _)| file.finish())?;
        Ok(report)
    }
}

impl FinalFile {
    /// Writes all rows and makes them durable; how many there are.
    fn write(self, names: &Names) -> Result<(Unfinished, u64), ConnectError> {
        let Self { view, fold, mut file } = self;
        let path = file.path();
        let hand_over = |text: &[u8]| file.write_all(text).map_err(|error| writing(&path, error));
        let n_rows = fold.spell(&Lines::new(&view.schema, names), hand_over)?;
        file.sync()?;
        Ok((file, n_rows))
    }
}

/// Spells the lines of a final file.
struct Lines<'a> {
    schema: &'a Schema,
    names: &'a Names,
    /// What stands before the value of each column behind the key.
    heads: Vec<Vec<u8>>,
}

impl<'a> Lines<'a> {
    fn new(schema: &'a Schema, names: &'a Names) -> Self {
        let head = |column: &types::Column| {
            let mut head = vec![b','];
            write_text(&mut head, &column.name);
            head.push(b':');
            head
        };
        let heads = schema.columns.iter().skip(schema.n_key).map(head).collect();
        Self { schema, names, heads }
    }
}

impl Spell for Lines<'_> {
    fn spell<R: Relation>(&self, row: &R, text: &mut Vec<u8>) {
        json::write_row(text, row, self.schema, self.names);
        text.push(b'\n');
    }
}

impl SpellFinal for Lines<'_> {
    fn spell_spooled(
        &self,
        key: &[u8],
        mut cells: &[u8],
        text: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        text.extend_from_slice(key.strip_suffix(b"}").unwrap_or(key));
        for head in &self.heads {
            text.extend_from_slice(head);
            cells::spell(&mut cells, text)?;
        }
        text.extend_from_slice(b"}\n");
        Ok(())
    }
}

fn writing(path: &Path, error: std::io::Error) -> ConnectError {
    ConnectError::file("writing", path, error)
}
