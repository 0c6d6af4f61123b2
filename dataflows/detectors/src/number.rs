//! The few conversions between counts and floats, and orders of floats that never fail.

/// The largest size that a value is read as: beyond it sums of squares would overflow.
pub(crate) const SIZE_MAX: f64 = 1e150;

/// The largest size of what is worked out of values, far above what any values give.
const RESULT_MAX: f64 = 1e300;

/// Whether all can be values that were read: [`present`] left them as they are.
pub(crate) fn are_values(xs: &[f64]) -> bool {
    xs.iter().all(|x| x.abs() <= SIZE_MAX)
}

/// Whether all can have been worked out of values, so that what is worked out of them is finite.
pub(crate) fn are_results(xs: &[f64]) -> bool {
    xs.iter().all(|x| x.abs() <= RESULT_MAX)
}

/// A count as a float; exact up to 2^53.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn float(count: usize) -> f64 {
    count as f64
}

/// The index at or below `x`, at most `last`; 0 for what is negative or no number.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates and takes NaN to 0"
)]
pub(crate) fn index(x: f64, last: usize) -> usize {
    (x as usize).min(last)
}

/// Makes room for `more` values of at most `most` in all: by doubling, but never beyond `most`.
pub(crate) fn make_room(values: &mut Vec<f64>, more: usize, most: usize) {
    let count = values.len();
    if count + more > values.capacity() {
        values.reserve_exact(more.max(count.min(most.saturating_sub(count))));
    }
}

/// The nearest value of 32 bits: what is kept by the thousand needs no more.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "rounds")]
pub(crate) fn narrow(x: f64) -> f32 {
    x as f32
}

/// A value as detectors read it: `None` for NaN and infinities, held at [`SIZE_MAX`].
pub(crate) fn present(x: f64) -> Option<f64> {
    x.is_finite().then(|| x.clamp(-SIZE_MAX, SIZE_MAX))
}

/// The quantile of sorted values at `share` in [0, 1], between the two neighbours; 0 of none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share * float(last);
    let below = index(place, last);
    let above = (below + 1).min(last);
    let part = place - float(below);
    // Between equal neighbours exactly their value.
    sorted[below] + part * (sorted[above] - sorted[below])
}

/// The quantile at `share` of values in any order, without the part between neighbours; reorders
/// them. 0 of none.
pub(crate) fn select(values: &mut [f64], share: f64) -> f64 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let at = index(share * float(last) + 0.5, last);
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these are exact")]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        assert_eq!([0.0, 0.125, 0.5, 1.0].map(|q| quantile(&sorted, q)), [1.0, 1.5, 4.0, 16.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn room_never_exceeds_what_is_needed() {
        let mut values = Vec::new();
        for at in 0..1_000 {
            make_room(&mut values, 1, 1_000);
            values.push(float(at));
        }
        assert!(values.capacity() <= 1_000, "{}", values.capacity());
    }

    #[test]
    fn what_is_no_number_is_missing() {
        assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(present), [None; 3]);
        assert_eq!(present(-f64::MAX), Some(-SIZE_MAX));
        assert_eq!([index(f64::NAN, 9), index(-3.0, 9), index(1e300, 9)], [0, 0, 9]);
    }
}
