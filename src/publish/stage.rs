//! Step 9: each epoch is published whole, to readers first, then to every sink's queue (step 10).

use std::sync::Arc;
use std::thread::JoinHandle;

use connectors::sink::SinkReport;
use types::Names;

use super::Hub;
use super::newest::Newest;
use crate::deliver::{Delivery, End, Ending};
use crate::error::Error;
use crate::journal::Confirmer;
use crate::runtime::{EpochOutput, Quantiles, RuntimeOutput};
use types::fault::point;

/// The publishing thread.
pub(crate) struct Publisher {
    thread: JoinHandle<Published>,
}

/// What left the engine.
pub(crate) struct Published {
    /// How many epochs.
    pub(crate) n_epochs: u64,
    /// Rows that each emitted view holds at the end.
    pub(crate) n_rows: Vec<u64>,
    /// The newest rows of each emitted view.
    pub(crate) newest: Vec<Newest>,
    /// How long epochs were inside.
    pub(crate) latency: Quantiles,
    /// Whether every epoch was given to every sink.
    is_whole: bool,
    /// Why an epoch must not leave.
    failure: Option<Error>,
    /// What each sink wrote.
    pub(crate) sinks: Vec<(String, SinkReport)>,
    deliveries: Vec<Delivery>,
}

/// The readers of a run: the hub and the views that it holds, as indices of the emitted ones.
pub(crate) struct Readers {
    /// Holds the views.
    pub(crate) hub: Arc<Hub>,
    /// Which views it holds.
    pub(crate) views: Vec<usize>,
}

impl Publisher {
    /// Starts the thread; `newest` has an entry for each emitted view. No epoch leaves before it is
    /// confirmed.
    ///
    /// # Errors
    /// If it can't be started.
    pub(crate) fn start(
        (output, confirmer): (RuntimeOutput, Confirmer),
        deliveries: Vec<Delivery>,
        readers: Option<Readers>,
        newest: Vec<Newest>,
        names: &Arc<Names>,
    ) -> Result<Self, Error> {
        let n_rows = vec![0; newest.len()];
        let published = Published {
            n_epochs: 0,
            n_rows,
            newest,
            latency: Quantiles::default(),
            is_whole: true,
            failure: None,
            sinks: Vec::new(),
            deliveries,
        };
        let names = Arc::clone(names);
        let thread = std::thread::Builder::new()
            .name("publish".to_owned())
            .spawn(move || publish(output, published, readers.as_ref(), &names, confirmer))
            .map_err(|source| Error::io("starting the publisher", source))?;
        Ok(Self { thread })
    }

    /// Waits for the last epoch and ends the sinks; `end` says how the run has gone so far.
    ///
    /// # Errors
    /// If a sink failed.
    pub(crate) fn finish(self, end: End) -> Result<Published, Error> {
        let joined = self.thread.join();
        let mut published =
            joined.map_err(|_| Error::Worker("the publisher panicked".to_owned()))?;
        let end = if published.is_whole { end } else { End::Failed };
        let mut failure = published.failure.take();
        let deliveries = std::mem::take(&mut published.deliveries).into_iter();
        // All are told before the first is waited for, so that they end side by side.
        let endings: Vec<Ending> = deliveries.map(|delivery| delivery.end(end)).collect();
        for ending in endings {
            match ending.join() {
                Ok(report) => published.sinks.push(report),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(published), Err)
    }
}

/// Publishes epochs until the last.
fn publish(
    mut output: RuntimeOutput,
    mut published: Published,
    readers: Option<&Readers>,
    names: &Names,
    mut confirmer: Confirmer,
) -> Published {
    while let Some(epoch) = output.next() {
        point("epoch.computed");
        if let Err(failure) = confirmer.confirm(&epoch) {
            (published.is_whole, published.failure) = (false, Some(failure));
            return published;
        }
        point("epoch.confirmed");
        if let Some(readers) = readers {
            readers.publish(&epoch);
        }
        point("epoch.published");
        for (n_rows, changes) in published.n_rows.iter_mut().zip(&epoch.changes) {
            let growth = i64::try_from(changes.growth()).unwrap_or(0);
            *n_rows = n_rows.saturating_add_signed(growth);
        }
        for (newest, changes) in published.newest.iter_mut().zip(&epoch.changes) {
            newest.take(changes, names);
        }
        let delivered = published.deliveries.iter().map(|delivery| delivery.send(&epoch));
        // All of them get the epoch, whichever has failed.
        if delivered.filter(|sent| !sent).count() > 0 {
            // Dropping the output stops the sources; the other sinks miss what comes, so that
            // theirs is no whole result either.
            published.is_whole = false;
            return published;
        }
        published.n_epochs += 1;
        point("epoch.delivered");
        output.release(epoch.epoch);
    }
    published.latency = output.quantiles();
    published
}

impl Readers {
    fn publish(&self, output: &EpochOutput) {
        let changes = self.views.iter().filter_map(|view| output.changes.get(*view));
        let changes = changes.map(Arc::clone).collect();
        self.hub.publish(&EpochOutput { changes, ..*output });
    }
}
