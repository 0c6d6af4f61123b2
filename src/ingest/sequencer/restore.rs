//! Epochs out of a log: what entered enters again, without being read or judged anew.

use dataflows::cold::Failure;
use dataflows::inputs::Events;
use types::Event;
use types::relations::Input;
use types::{Op, Schema, VenueTime};

use super::{Batch, Counts, KeptBeside, REVISE_WITHIN, Relation, Sequencer, Standing};
use crate::error::Error;
use crate::journal::Group;

/// An epoch as a log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which epoch.
    pub epoch: u64,
    /// The watermark at its end.
    pub watermark: VenueTime,
    /// Rows by outcome, up to its end.
    pub counts: Counts,
    /// The greatest event time of each relation, up to its end.
    pub greatest: Vec<VenueTime>,
    /// Its events, by relation of the plan.
    pub events: Vec<Events>,
    /// What else was kept of it.
    pub beside: KeptBeside,
}

impl Sequencer {
    /// Takes what a log must hold beside the events of the open epoch.
    pub(super) fn kept_beside(&mut self) -> KeptBeside {
        let names = self.interner.names();
        let new = names.new_since(self.extent);
        self.extent = names.extent();
        let contents = self
            .relations
            .iter_mut()
            .map(|relation| relation.contents.as_mut().map(std::mem::take).unwrap_or_default());
        KeptBeside { contents: contents.collect(), names: new }
    }

    /// Brings itself to the end of an epoch as the run that kept it was, and gives its batch.
    ///
    /// # Errors
    /// If the epoch isn't the one that follows, or isn't of this plan; if old identities can't be kept or
    /// read back.
    pub fn restore(&mut self, kept: Kept) -> Result<Batch, Error> {
        let Kept { epoch, watermark, counts, greatest, events, beside } = kept;
        let other = |what: &str| Error::OtherRun { what: format!("{what} in epoch {epoch}") };
        let n_relations = self.relations.len();
        if epoch != self.epoch
            || [greatest.len(), events.len(), beside.contents.len()] != [n_relations; 3]
        {
            return Err(other("holds other epochs or relations than this one reads, as"));
        }
        if !self.interner.enter(&beside.names) {
            return Err(other("has other names"));
        }
        let parts = self.relations.iter_mut().zip(greatest).zip(events).zip(beside.contents);
        for (((relation, greatest), events), contents) in parts {
            let is_whole = relation.restore(events, &contents).map_err(Error::Cold)?;
            if !is_whole {
                return Err(other("holds other events than this one can have, as"));
            }
            relation.greatest = greatest;
            self.greatest = self.greatest.max(greatest);
        }
        self.counts = counts;
        Ok(self.close(watermark))
    }

    /// Takes what a checkpoint holds of some epochs, and gives it as one batch with the clock at the end
    /// of the last of them. `watermark` is the one at the end of the checkpoint.
    ///
    /// # Errors
    /// If the epochs aren't of this plan; if old identities can't be kept or read back.
    pub(crate) fn enter(&mut self, group: Group, watermark: VenueTime) -> Result<Batch, Error> {
        let Group { brought, events, contents } = group;
        let epoch = brought.epoch;
        let other = |what: &str| Error::OtherRun { what: format!("{what} in epoch {epoch}") };
        let n_relations = self.relations.len();
        if [brought.greatest.len(), events.len(), contents.len()] != [n_relations; 3] {
            return Err(other("holds other relations than this one reads, as"));
        }
        if !self.interner.enter(&brought.names) {
            return Err(other("has other names"));
        }
        let from = watermark.less(REVISE_WITHIN);
        let parts = self.relations.iter_mut().zip(&brought.greatest).zip(events).zip(contents);
        for (((relation, greatest), events), contents) in parts {
            relation.enter(events, &contents, from).map_err(Error::Cold)?;
            relation.greatest = VenueTime::from_nanos(*greatest);
            self.greatest = self.greatest.max(relation.greatest);
        }
        self.epoch = epoch;
        Ok(self.close(VenueTime::from_nanos(brought.watermark)))
    }

    /// Goes on behind the last epoch of a checkpoint.
    pub(crate) fn go_on(&mut self, epoch: u64, counts: Counts) {
        (self.epoch, self.counts) = (epoch + 1, counts);
    }
}

impl Relation {
    /// Remembers events, and holds them for the batch. False where they can't be what was kept.
    fn restore(&mut self, mut events: Events, contents: &[u128]) -> Result<bool, Box<Failure>> {
        let is_whole = events.len() == contents.len();
        let entered = self.remember(&mut events, contents, None)?;
        self.events = events;
        Ok(is_whole && entered)
    }

    /// Remembers events of a checkpoint, and holds them for the batch. Rows without an identity are known
    /// for equal from a time on.
    fn enter(
        &mut self,
        mut events: Events,
        contents: &[u128],
        from: VenueTime,
    ) -> Result<(), Box<Failure>> {
        self.remember(&mut events, contents, Some(from))?;
        self.events = events;
        Ok(())
    }

    fn remember(
        &mut self,
        events: &mut Events,
        contents: &[u128],
        from: Option<VenueTime>,
    ) -> Result<bool, Box<Failure>> {
        let schema = &self.spec.schema;
        let Self { identities, recent, .. } = self;
        macro_rules! by_kind {
            ($($variant:ident($row:ty),)*) => {
                match events {
                    $(Events::$variant(events) => {
                        remember(events, contents, schema, (identities, recent), from)
                    })*
                }
            };
        }
        types::for_inputs!(by_kind)
    }
}

/// Remembers events as their rows were judged; false where one wouldn't have entered. What is known of
/// rows without an identity from before `from` was forgotten since.
fn remember<R: Input>(
    events: &mut [Event<R>],
    contents: &[u128],
    schema: &Schema,
    (identities, recent): (&mut super::Identities, &mut super::RecentRows),
    from: Option<VenueTime>,
) -> Result<bool, Box<Failure>> {
    let mut all_entered = true;
    for (event, content) in events.iter_mut().zip(contents) {
        let entered = if let Some(identity) = event.row.identity(schema) {
            let content = u32::try_from(*content).unwrap_or_default();
            let standing = identities.judge(identity, event.op, event.revision, content)?;
            // What it revised may be left out.
            event.is_first = standing == Standing::First;
            standing.enters()
        } else {
            let time = event.row.event_time(schema).filter(|_| event.op != Op::Bust);
            let time = time.unwrap_or(VenueTime::MIN);
            from.is_some_and(|from| time < from) || recent.is_new(time, *content)
        };
        all_entered &= entered;
    }
    Ok(all_entered)
}
