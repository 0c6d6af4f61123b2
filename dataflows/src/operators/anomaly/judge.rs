//! The state of scores: a model and the usual numbers of each key; a row in, what is said of it out.

use detectors::{Assessed, Detector as _, Model, Normaliser, Reason, pass_of_key};
use types::{Row, Text, Value, VenueTime};

use super::layout::Layout;

/// What is said of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// Too little was learnt.
    Warming,
    /// A score.
    Scored { score: f64, raw: f64, because: Option<Box<Because>> },
    /// It came too late to be learnt.
    Stale,
}

/// Why a row is unusual.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Because {
    /// The column that does most, among those that are looked at.
    pub(super) column: usize,
    pub(super) deviations: f64,
    pub(super) why: Text,
}

/// What is needed to judge rows, and doesn't change.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    pub(super) layout: Layout,
    /// The score from which on a row says why.
    pub(super) explain_from: f64,
    /// The column whose new values ask for a fit.
    pub(super) refit_on: Option<usize>,
}

/// A row's numbers, its time, and whether the model is fitted anew before it.
pub(super) struct Measured<'a> {
    pub(super) numbers: &'a [f64],
    pub(super) time: VenueTime,
    pub(super) is_fitted: bool,
}

impl Judge {
    /// What a row says in the column whose new values ask for a fit.
    pub(super) fn said_of_fit<'a>(&self, row: &'a Row) -> Option<&'a Value> {
        row.0.get(self.refit_on?).filter(|value| !value.is_null())
    }

    /// Says what a model thinks of a row, and lets it learn the row; both in the key's own units, where
    /// it has such. Whether anybody wants to know is up to the caller.
    pub(super) fn pass(
        &self,
        model: &mut Model,
        usual: Option<&Normaliser>,
        measured: &Measured<'_>,
        is_told: bool,
    ) -> Said {
        let Measured { numbers, time, is_fitted } = *measured;
        let time = Some(time.nanos());
        if is_fitted {
            model.refit(time);
        }
        let explain_from = if is_told { self.explain_from } else { f64::INFINITY };
        let passed = pass_of_key(model, usual, numbers, time, explain_from);
        let Some((Assessed { score: Some(score), raw, .. }, reasons)) = passed else {
            return Said::Warming;
        };
        Said::Scored { score, raw, because: self.because(&reasons).map(Box::new) }
    }

    fn because(&self, reasons: &[Reason]) -> Option<Because> {
        let first = reasons.first()?;
        let (column, deviations) = (first.column, first.deviations);
        let sentence = |reason: &Reason| reason.sentence(self.layout.name(reason.column));
        let sentences: Vec<String> = reasons.iter().map(sentence).collect();
        Some(Because { column, deviations, why: Text::from(sentences.join("; ")) })
    }
}
