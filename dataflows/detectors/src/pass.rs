//! One row through a model: judged, explained where somebody wants to know why, learnt.

use crate::{Aspect, Assessed, Detector as _, Model, Normaliser, Reason};

/// Judges a row by what was learnt before it, says why from a score on (none is infinite), and lets the
/// model learn it. `time` as of [`crate::Detector::assess`].
pub fn pass(
    model: &mut Model,
    row: &[f64],
    time: Option<i64>,
    explain_from: f64,
) -> (Assessed, Vec<Reason>) {
    let assessed = model.assess(row, time);
    let is_explained = assessed.score.is_some_and(|score| score >= explain_from);
    let reasons = if is_explained { model.explain(row, time) } else { Vec::new() };
    model.learn(row, time, &assessed);
    (assessed, reasons)
}

/// As [`pass`], of a row in its key's own units where `usual` gives them; reasons are in the row's own
/// numbers again. A row that holds no number then is neither judged nor learnt: `None`. What is usual of
/// the key isn't changed: whoever keeps it lets it learn the row.
pub fn pass_of_key(
    model: &mut Model,
    usual: Option<&Normaliser>,
    row: &[f64],
    time: Option<i64>,
    explain_from: f64,
) -> Option<(Assessed, Vec<Reason>)> {
    let units = usual.map(|usual| usual.normalise(row));
    let numbers = units.as_deref().unwrap_or(row);
    if !numbers.iter().any(|number| number.is_finite()) {
        return None;
    }
    let (assessed, mut reasons) = pass(model, numbers, time, explain_from);
    for (reason, usual) in reasons.iter_mut().filter_map(|reason| Some((reason, usual?))) {
        // Units end somewhere, numbers don't.
        reason.value = match reason.aspect {
            Aspect::Value => row.get(reason.column).copied().unwrap_or(f64::NAN),
            _ => usual.restore(reason.column, reason.value),
        };
        reason.usual = usual.restore(reason.column, reason.usual);
    }
    Some((assessed, reasons))
}
