//! What is kept, and for how long.

use std::rc::Rc;
use std::sync::Arc;

use detectors::Model;
use types::{Row, Value, VenueTime};

use super::super::line::{Changed, Line};
use super::super::rungs::{Keeping, STEP};
use super::{History, Made, by_key, options, scores, settled, some, stale_of};

/// Rows of some assets, one a second from a time on.
fn of_assets(assets: std::ops::Range<u8>, seconds: std::ops::Range<i64>) -> Vec<(Row, isize)> {
    let row =
        |(asset, second): (u8, i64)| (some(asset, u8::try_from(second % 251).unwrap(), second), 1);
    assets.flat_map(|asset| seconds.clone().map(move |second| (asset, second))).map(row).collect()
}

/// A key that rests costs its model, whether others go on or not; one that goes on keeps states again, as
/// long as they are needed. The time after which it is forgotten changes nothing before.
#[test]
fn a_key_that_rests_keeps_its_model_alone() {
    for forget_after in [None, Some(100_000)] {
        let mut scores = scores(&History { forget_after, ..by_key(2_000) }, true);
        stale_of(&mut scores, of_assets(0..3, 0..1_000), 1_000);
        assert_eq!(scores.n_states(), 3 * 3);
        let bytes = scores.state_bytes();
        // An epoch without rows, and one with rows of one key.
        stale_of(&mut scores, Vec::new(), 2_500);
        assert_eq!(scores.n_states(), 3 * 3);
        stale_of(&mut scores, of_assets(1..2, 3_990..4_000), 4_000);
        assert_eq!(scores.n_states(), 1, "what key 1 had learnt before");
        stale_of(&mut scores, Vec::new(), 9_000);
        assert_eq!(scores.n_states(), 0);
        // A model where there were it and three states, of which one has learnt nothing.
        assert!(scores.state_bytes() * 2 < bytes, "{} {bytes}", scores.state_bytes());
        stale_of(&mut scores, of_assets(0..1, 9_000..9_600), 9_600);
        assert_eq!(scores.n_states(), 3);
        stale_of(&mut scores, Vec::new(), 20_000);
        assert_eq!(scores.n_states(), 0);
    }
}

/// However many rows can still change, few states are kept; and none that no change needs.
#[test]
fn few_states_are_kept() {
    for (slack, most) in [(1, 8..=16), (8, 4..=6)] {
        let history = History { is_by_key: false, is_normalised: true, ..by_key(0) };
        let judge = settled(&history).judge;
        let keeping = Keeping { slack, forget_after: None, is_of_key: false };
        let mut line = Line::new(Rc::new(Model::new(&options(), 2).unwrap()), keeping);
        let text: Arc<[u8]> = Arc::from([]);
        let mut n_most = 0;
        for at in 0..100 {
            let rows = (0..i64::try_from(STEP).unwrap()).map(|n| {
                let second = at * 1_000 + n;
                let x = i32::try_from(n % 5).ok();
                let row = Made { asset: 1, id: 0, second, x, n: None }.row(true);
                let time = VenueTime::from_nanos(second);
                let place = (time, Value::Null, None, Arc::clone(&text));
                Changed { place, key: Some(0), row, diff: 1 }
            });
            let next = if at == 99 { VenueTime::from_nanos(98_000) } else { VenueTime::MIN };
            line.take(&judge, rows.collect(), (VenueTime::MIN, next), &mut |_| ());
            if at < 99 {
                n_most = n_most.max(line.n_rungs());
            }
        }
        assert!(most.contains(&n_most), "{slack}: {n_most}");
        assert!(line.n_rungs() <= 3, "{}", line.n_rungs());
    }
}

/// Keys that came and rest hold nothing, once no row can come that asks for what they knew; in either scope,
/// and without any that goes on being waited for.
#[test]
fn keys_that_rest_for_too_long_hold_no_state() {
    for is_by_key in [false, true] {
        let forget_after = Some(100);
        let own = History { is_by_key, is_normalised: !is_by_key, forget_after, ..by_key(50) };
        let known = |forget_after| {
            let mut scores = scores(&History { forget_after, ..own.clone() }, true);
            // The last rows are at 39; no row before the horizon is taken any more.
            stale_of(&mut scores, of_assets(0..4, 0..40), 40);
            let bytes = scores.state_bytes();
            // The next row that may come is at 139: it finds no key forgotten.
            stale_of(&mut scores, Vec::new(), 189);
            let kept = (scores.n_known(), scores.state_bytes());
            stale_of(&mut scores, Vec::new(), 190);
            (bytes, kept, scores.n_known(), scores.state_bytes())
        };
        let (bytes, (n_kept, kept), n_known, left) = known(forget_after);
        assert_eq!((n_kept, n_known), (4, 0), "{is_by_key}");
        assert!(kept > 0 && kept <= bytes, "{is_by_key}: {kept} of {bytes}");
        if is_by_key {
            assert_eq!(left, 0);
        } else {
            // The model goes on.
            assert!(left > 0 && left < kept, "{left} of {kept}");
        }
        let (_, kept, _, left) = known(None);
        assert_eq!(kept.1, left, "{is_by_key}: without the option all stay");
    }
}

/// However many keys come, only so many are known at once.
#[test]
fn keys_that_come_and_go_are_known_for_a_while() {
    for is_by_key in [false, true] {
        let forget_after = Some(100);
        let own = History { is_by_key, is_normalised: !is_by_key, forget_after, ..by_key(50) };
        let mut scores = scores(&own, true);
        let mut n_most = 0;
        for at in 0..1_000_i64 {
            let row = Made { asset: 0, id: 0, second: at, x: Some(1), n: Some(2) }.row(true);
            let asset = Value::Text(at.to_string().as_str().into());
            let row = Row([asset].into_iter().chain(row.0.iter().skip(1).cloned()).collect());
            stale_of(&mut scores, vec![(row, 1)], at);
            n_most = n_most.max(scores.n_known());
        }
        // From the newest row to that before which no row finds its key remembered.
        assert_eq!(n_most, 151, "{is_by_key}");
    }
}
