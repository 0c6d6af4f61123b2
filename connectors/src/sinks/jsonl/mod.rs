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
use types::spell::write_text;
use types::{Epoch, Schema};

use self::changes::ChangesSink;
use super::file::Unfinished;
use super::fold::{Fold, Spell, bound};
use super::parallel::in_parallel;
use super::{HELD, MODE, Mode, PATH, cells, held_bytes, no_problems, open_folder};
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
    HELD,
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
        Mode::Final => {
            Ok(Box::new(FinalSink::open(&context, &files, name, held_bytes(&context.settings))?))
        }
        Mode::Changes => Ok(Box::new(ChangesSink::open(&context, &*files, name)?)),
    }
}

/// Writes the rows as they stand at the end.
pub(super) struct FinalSink {
    last: Option<Epoch>,
    held_bytes: usize,
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
            // The key's text is how the row's starts.
            let fold = Fold::new(view, &context.names, held_bytes, view.schema.n_key);
            Ok(FinalFile {
                view: view.clone(),
                fold,
                file: Unfinished::create(files, &name(view))?,
            })
        };
        let views = context.views.iter().map(open).collect::<Result<_, ConnectError>>()?;
        Ok(Self { last: None, held_bytes, views })
    }
}

impl Sink for FinalSink {
    fn write(&mut self, changes: &EpochChanges) -> Result<(), ConnectError> {
        if self.last >= Some(changes.epoch) {
            return Ok(());
        }
        for (file, view) in self.views.iter_mut().zip(&changes.views) {
            file.fold.take(view);
        }
        self.last = Some(changes.epoch);
        bound(self.views.iter_mut().map(|file| &mut file.fold), self.held_bytes)
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        let views = std::mem::take(&mut self.views);
        let written = in_parallel(views, |view| view.fold.n_rows(), FinalFile::write)?;
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
    fn write(self) -> Result<(Unfinished, u64), ConnectError> {
        let Self { view, fold, mut file } = self;
        let path = file.path();
        let hand_over = |text: &[u8]| file.write_all(text).map_err(|error| writing(&path, error));
        let n_rows = fold.spell(&Lines::new(&view.schema), hand_over)?;
        file.sync()?;
        Ok((file, n_rows))
    }
}

/// Spells the lines of a final file.
struct Lines {
    /// What stands before the value of each column behind the key.
    heads: Vec<Vec<u8>>,
}

impl Lines {
    fn new(schema: &Schema) -> Self {
        let head = |column: &types::Column| {
            let mut head = vec![b','];
            write_text(&mut head, &column.name);
            head.push(b':');
            head
        };
        Self { heads: schema.columns.iter().skip(schema.n_key).map(head).collect() }
    }
}

impl Spell for Lines {
    fn spell(&self, mut cells: &[u8], text: &mut Vec<u8>) -> std::io::Result<()> {
        // The key's last brace.
        text.pop();
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
