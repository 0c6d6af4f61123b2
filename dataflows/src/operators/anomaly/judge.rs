//! The state of scores: a model and the usual numbers of each key; a row in, what is said of it out.

use detectors::{Aspect, Detector as _, Model, Normaliser, Reason};
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
        let time = Some(measured.time.nanos());
        if measured.is_fitted {
            model.refit(time);
        }
        let units = usual.map(|usual| usual.normalise(measured.numbers));
        let numbers = units.as_deref().unwrap_or(measured.numbers);
        if !numbers.iter().any(|number| number.is_finite()) {
            return Said::Warming;
        }
        let assessed = model.assess(numbers, time);
        let said = match assessed.score {
            None => Said::Warming,
            Some(score) => {
                let is_explained = is_told && score >= self.explain_from;
                let reasons = if is_explained { model.explain(numbers, time) } else { Vec::new() };
                let because = self.because(reasons, usual, measured.numbers).map(Box::new);
                Said::Scored { score, raw: assessed.raw, because }
            }
        };
        model.learn(numbers, time, &assessed);
        said
    }

    fn because(
        &self,
        reasons: Vec<Reason>,
        usual: Option<&Normaliser>,
        numbers: &[f64],
    ) -> Option<Because> {
        let first = reasons.first()?;
        let (column, deviations) = (first.column, first.deviations);
        let sentence = |mut reason: Reason| {
            if let Some(usual) = usual {
                // Units end somewhere, numbers don't.
                reason.value = match reason.aspect {
                    Aspect::Value => numbers.get(reason.column).copied().unwrap_or(f64::NAN),
                    _ => usual.restore(reason.column, reason.value),
                };
                reason.usual = usual.restore(reason.column, reason.usual);
            }
            reason.sentence(self.layout.name(reason.column))
        };
        let sentences: Vec<String> = reasons.into_iter().map(sentence).collect();
        Some(Because { column, deviations, why: Text::from(sentences.join("; ")) })
    }
}
