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

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these are exact")]
mod tests {
    use super::*;
    use crate::{Chance, Options};

    /// Rows of one column in units of a key a million times as large.
    #[test]
    fn a_row_in_units_is_explained_in_its_own_numbers() {
        let (options, mut chance) = (Options::default(), Chance::new(3));
        let mut model = Model::of_units(&options, 1).unwrap();
        let mut usual = Normaliser::new(1);
        for at in 0..200 {
            let row = [1e6 * (10.0 + chance.normal())];
            let passed = pass_of_key(&mut model, Some(&usual), &row, None, f64::INFINITY);
            assert_eq!(passed.is_none(), at < 8, "row {at}");
            assert!(passed.is_none_or(|(_, reasons)| reasons.is_empty()), "row {at}");
            usual.learn(&row);
        }
        let (assessed, reasons) =
            pass_of_key(&mut model, Some(&usual), &[9e7], None, 0.99).unwrap();
        assert!(assessed.score > Some(0.99), "{assessed:?}");
        assert_eq!(reasons[0].value, 9e7);
        assert!((reasons[0].usual - 1e7).abs() < 1e6, "{reasons:?}");
    }

    #[test]
    fn a_row_without_a_number_teaches_nothing() {
        let mut model = Model::new(&Options::default(), 2).unwrap();
        pass(&mut model, &[1.0, f64::NAN], None, 1.0);
        let before = model.encode();
        let nothing = [f64::NAN, f64::INFINITY];
        assert_eq!(pass_of_key(&mut model, None, &nothing, None, 0.0), None);
        assert_eq!(model.encode(), before);
        pass(&mut model, &nothing, None, 0.0);
        assert_ne!(model.encode(), before);
    }
}
