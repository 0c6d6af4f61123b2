//! `parquet`: column files, of the rows as they stand at the end, or of all changes.
//!
//! Decimals are `Decimal128(38, 9)`, times nanoseconds in UTC. A `final` file gets its name when the
//! run has ended. `changes` come as parts in a folder a view, each a whole file; they have the columns
//! `_epoch` and `_op` (`put`, `del`), and where a key is deleted, all but its own columns are null.

mod columns;
#[cfg(test)]
mod going_on;
mod manifest;
mod output;
mod parts;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

use std::sync::Arc;

use types::Epoch;
use types::options::{Need, OptionKind, OptionSpec, option};

use self::output::Output;
use self::parts::{PART_EPOCHS, PartsSink};
use super::file::Unfinished;
use super::fold::{Fold, bound};
use super::parallel::in_parallel;
use super::{HELD, MODE, Mode, PATH, held_bytes, no_problems, open_folder};
use crate::env::Files;
use crate::error::ConnectError;
use crate::sink::{EpochChanges, Sink, SinkContext, SinkKind, SinkReport, SinkView};

/// The line of this sink in the list.
pub(crate) const KIND: SinkKind = SinkKind {
    name: "parquet",
    help: "writes a Parquet file a view, or all changes in parts",
    options: OPTIONS,
    check: no_problems,
    open,
};

const OPTIONS: &[OptionSpec] = &[
    PATH,
    MODE,
    HELD,
    option(
        "part_rows",
        OptionKind::Count(1, 1_000_000_000),
        Need::Default("1000000"),
        "changes of a view from which parts end, with their epoch; they also end every 4096 epochs",
    ),
];

#[expect(clippy::needless_pass_by_value, reason = "the contract hands the context over")]
fn open(context: SinkContext) -> Result<Box<dyn Sink>, ConnectError> {
    let (files, mode) = open_folder(&context)?;
    match mode {
        Mode::Final => {
            Ok(Box::new(FinalSink::open(&context, &files, held_bytes(&context.settings))?))
        }
        Mode::Changes => Ok(Box::new(PartsSink::open(&context, &files.path(""), PART_EPOCHS)?)),
    }
}

/// Writes the rows as they stand at the end.
struct FinalSink {
    last: Option<Epoch>,
    held_bytes: usize,
    views: Vec<(Fold, Output<Unfinished>)>,
}

impl FinalSink {
    /// Opens the files; holds about `held_bytes` of rows in memory.
    fn open(
        context: &SinkContext,
        files: &Arc<dyn Files>,
        held_bytes: usize,
    ) -> Result<Self, ConnectError> {
        let names = &context.names;
        let open = |view: &SinkView| {
            let name = format!("{}.parquet", view.name);
            let rows = Fold::new(view, names, held_bytes, 0);
            let file = Unfinished::create(files, &name)?;
            Ok((rows, Output::new(file, files.path(&name), (view, names), Mode::Final)?))
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
        for ((fold, _), view) in self.views.iter_mut().zip(&changes.views) {
            fold.take(view);
        }
        self.last = Some(changes.epoch);
        bound(self.views.iter_mut().map(|(fold, _)| fold), self.held_bytes)
    }

    fn flush(&mut self) -> Result<(), ConnectError> {
        // Nothing can be read before the file's end is written.
        Ok(())
    }

    fn finish(&mut self) -> Result<SinkReport, ConnectError> {
        let views = std::mem::take(&mut self.views);
        let written = in_parallel(
            views,
            |(fold, _)| fold.n_rows(),
            |(fold, mut output)| {
                fold.finish(&mut output)?;
                let n_rows = output.n_rows();
                let mut file = output.close()?;
                file.sync()?;
                let line = format!("{}: {n_rows} rows", file.path().display());
                Ok((file, line))
            },
        )?;
        let (files, lines): (Vec<Unfinished>, Vec<String>) = written.into_iter().unzip();
        // All are whole before the first is shown, so that files of two runs hardly ever mix.
        files.into_iter().try_for_each(Unfinished::finish)?;
        Ok(SinkReport { lines, ..SinkReport::default() })
    }
}
