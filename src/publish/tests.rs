//! The hub against a plain map, over random epochs and readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use types::{Changes, Epoch, Names, VenueTime};

use super::testing::{Chance, Twin, row, view};
use super::{BadCursor, Chunks, Frontier, Hub, Taken};
use crate::runtime::EpochOutput;

fn items(json: &[u8]) -> Vec<Json> {
    let text = format!("[{}]", std::str::from_utf8(json).unwrap());
    serde_json::from_str(&text).unwrap()
}

fn text(row: &Json, column: &str) -> String {
    row[column].as_str().unwrap().to_owned()
}

/// Applies all pieces; a `del` must name what the reader has.
fn apply(rows: &mut BTreeMap<String, String>, mut chunks: Box<dyn Chunks>, enough: usize) {
    loop {
        let chunk = chunks.next(enough, enough + 40);
        for row in items(&chunk.put) {
            rows.insert(text(&row, "k"), text(&row, "n"));
        }
        for key in items(&chunk.del) {
            let key = text(&key, "k");
            assert!(rows.remove(&key).is_some(), "{key} isn't there");
        }
        if chunk.last {
            return;
        }
    }
}

/// All rows of a view, page by page.
fn pages(hub: &Hub, view: usize, limit: usize) -> (Epoch, Vec<(String, String)>) {
    let (standing, rows) = hub.rows(view).unwrap();
    let (mut all, mut place) = (Vec::new(), None);
    loop {
        let page = rows.page(place.as_deref(), limit).unwrap();
        let page_rows = items(&page.rows);
        assert!(page_rows.len() <= limit);
        all.extend(page_rows.iter().map(|row| (text(row, "k"), text(row, "n"))));
        place = page.next;
        if place.is_none() {
            return (standing.epoch, all);
        }
        assert_eq!(page_rows.len(), limit, "a page that isn't the last is full");
    }
}

#[test]
fn every_reader_folds_to_what_the_hub_holds() {
    for seed in 0..200 {
        let mut chance = Chance(seed);
        let max_keys = [5, 20, 1_000][usize::try_from(chance.below(3)).unwrap()];
        let mut twin = Twin::new(&["a", "b"], max_keys);
        let mut readers: Vec<_> = (0..4)
            .map(|reader| (reader % 2, twin.hub.attach(reader % 2, true), BTreeMap::new()))
            .collect();
        for _ in 0..60 {
            twin.publish_random(&mut chance, 30, 6);
            for (view, place, rows) in &mut readers {
                if chance.below(4) > 0 {
                    continue;
                }
                let cut = twin.hub.take(std::iter::once(*place));
                assert_eq!(cut.standing.epoch, Epoch(twin.epoch));
                for taken in cut.taken {
                    match taken {
                        Taken::Nothing => {}
                        Taken::Everything(chunks) => {
                            rows.clear();
                            apply(rows, chunks, 100);
                        }
                        Taken::Changes(chunks) => apply(rows, chunks, 100),
                    }
                }
                assert_eq!(*rows, twin.shown(*view), "seed {seed}, epoch {}", twin.epoch);
            }
        }
    }
}

/// Epochs with which a run catches up are told of as one.
#[test]
fn a_run_that_goes_on_tells_nothing_before_it_has_caught_up() {
    for seed in 0..200 {
        let mut chance = Chance(seed);
        let noted = [1, 9, 50][usize::try_from(chance.below(3)).unwrap()];
        let mut twin = Twin::new(&["a", "b"], 1_000).noting(noted);
        let until = 1 + chance.below(12);
        twin.hub.catch_up_to(Epoch(until));
        twin.hub.set_ready();
        let whole = twin.hub.attach(0, true);
        let later = twin.hub.attach(1, false);
        let mut rows = BTreeMap::new();
        let mut told_later = None;
        for _ in 0..20 {
            twin.publish_random(&mut chance, 30, 6);
            let is_open = twin.epoch < until;
            assert_eq!((twin.hub.is_catching_up(), twin.hub.is_ready()), (is_open, !is_open));
            let cut = twin.hub.take([whole, later].into_iter());
            assert_eq!(cut.standing.epoch, Epoch(if is_open { 0 } else { twin.epoch }));
            let mut taken = cut.taken;
            let (of_later, of_whole) = (taken.pop().unwrap(), taken.pop().unwrap());
            if is_open {
                assert!(matches!((of_whole, of_later), (Taken::Nothing, Taken::Nothing)));
                continue;
            }
            match of_whole {
                Taken::Everything(chunks) => {
                    assert_eq!(twin.epoch, until, "seed {seed}");
                    apply(&mut rows, chunks, 100);
                }
                Taken::Changes(chunks) => apply(&mut rows, chunks, 100),
                Taken::Nothing => {}
            }
            assert_eq!(rows, twin.shown(0), "seed {seed}, epoch {}", twin.epoch);
            let told: &mut BTreeMap<_, _> = told_later.get_or_insert_with(|| twin.shown(1));
            match of_later {
                Taken::Everything(_) => panic!("it wants changes alone"),
                Taken::Changes(chunks) => apply(told, chunks, 100),
                Taken::Nothing => {}
            }
            assert_eq!(*told, twin.shown(1), "seed {seed}, epoch {}", twin.epoch);
            assert_eq!(pages(&twin.hub, 1, 7).1, twin.shown(1).into_iter().collect::<Vec<_>>());
        }
    }
}

/// Whatever the run went through on its way, old rows have left when it has caught up.
#[test]
fn a_run_that_goes_on_comes_to_the_rows_of_one_that_did_not_stop() {
    for seed in 0..200 {
        let mut chance = Chance(seed);
        let noted = [1, 9, 50][usize::try_from(chance.below(3)).unwrap()];
        let hub = || Hub::new(vec![view("t", true)], &Arc::new(Names::default()), 40);
        let (plain, resumed) = (hub(), hub().with_max_noted(noted));
        let until = 1 + chance.below(15);
        resumed.catch_up_to(Epoch(until));
        let mut held: BTreeMap<u64, types::Row> = BTreeMap::new();
        for epoch in 1..=20_u32 {
            let at = i64::from(epoch) * 10;
            let mut changed = Vec::new();
            for key in 0..9 {
                if chance.below(3) > 0 {
                    continue;
                }
                changed.extend(held.remove(&key).map(|old| (old, -1)));
                if chance.below(4) > 0 {
                    let time = at - i64::try_from(chance.below(60)).unwrap();
                    let new = row(key, u64::from(epoch), time);
                    held.insert(key, new.clone());
                    changed.push((new, 1));
                }
            }
            let watermark = VenueTime::from_nanos(at);
            let changes = vec![Arc::new(Changes::Rows(changed))];
            let output = EpochOutput { epoch: Epoch(epoch.into()), watermark, changes };
            plain.publish(&output);
            resumed.publish(&output);
            if u64::from(epoch) >= until {
                assert_eq!(
                    pages(&plain, 0, 3),
                    pages(&resumed, 0, 3),
                    "seed {seed}, epoch {epoch}"
                );
            }
        }
    }
}

#[test]
fn pages_make_the_whole() {
    let (mut chance, mut twin) = (Chance(1), Twin::new(&["a"], 10));
    for _ in 0..30 {
        twin.publish_random(&mut chance, 50, 10);
        for limit in [1, 7, 1_000] {
            let (epoch, mut rows) = pages(&twin.hub, 0, limit);
            rows.sort();
            assert_eq!(epoch, Epoch(twin.epoch));
            assert_eq!(rows, twin.shown(0).into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_page_goes_on_behind_a_key_that_went() {
    let mut twin = Twin::new(&["a"], 10);
    let publish = |twin: &mut Twin, rows: Vec<_>| {
        twin.epoch += 1;
        let changes = vec![Arc::new(Changes::Rows(rows))];
        let (epoch, watermark) = (Epoch(twin.epoch), VenueTime::MIN);
        twin.hub.publish(&EpochOutput { epoch, watermark, changes });
    };
    publish(&mut twin, (1..=5).map(|k| (row(k, k, 0), 1)).collect());
    let (_, rows) = twin.hub.rows(0).unwrap();
    let place = rows.page(None, 2).unwrap().next.unwrap();
    publish(&mut twin, vec![(row(2, 2, 0), -1), (row(4, 4, 0), -1)]);
    let (_, rows) = twin.hub.rows(0).unwrap();
    let page = rows.page(Some(&place), 10).unwrap();
    let keys: Vec<String> = items(&page.rows).iter().map(|row| text(row, "k")).collect();
    assert_eq!((keys, page.next), (vec!["k3".to_owned(), "k5".to_owned()], None));
    for bad in ["", "x", "zz", "7b7d", "é", "31"] {
        assert_eq!(rows.page(Some(bad), 1), Err(BadCursor), "{bad}");
    }
}

#[test]
fn a_reader_beyond_the_bound_starts_again_and_one_below_does_not() {
    for (max_keys, is_reset) in [(10, false), (9, true)] {
        let mut twin = Twin::new(&["a"], max_keys);
        let place = twin.hub.attach(0, true);
        assert!(matches!(twin.hub.take(std::iter::once(place)).taken[0], Taken::Everything(_)));
        // Ten keys, each many times: what counts is keys, not changes.
        for epoch in 1..=50 {
            let key = epoch % 10;
            let old = (epoch > 10).then(|| (row(key, epoch - 10, 0), -1));
            let rows = old.into_iter().chain([(row(key, epoch, 0), 1)]).collect();
            let changes = vec![Arc::new(Changes::Rows(rows))];
            let (epoch, watermark) = (Epoch(epoch), VenueTime::MIN);
            twin.hub.publish(&EpochOutput { epoch, watermark, changes });
        }
        twin.epoch = 50;
        let taken = twin.hub.take(std::iter::once(place)).taken;
        assert_eq!(matches!(taken[0], Taken::Everything(_)), is_reset);
        assert_eq!(matches!(taken[0], Taken::Changes(_)), !is_reset);
    }
}

#[test]
fn old_rows_leave_at_the_epoch_whose_watermark_passed_them() {
    let hub = Hub::new(vec![view("t", true)], &Arc::new(Names::default()), 100);
    let place = hub.attach(0, true);
    let (mut epoch, mut rows) = (0, BTreeMap::new());
    let mut publish = |watermark: VenueTime, changed: Vec<_>| {
        epoch += 1;
        let changes = vec![Arc::new(Changes::Rows(changed))];
        hub.publish(&EpochOutput { epoch: Epoch(epoch), watermark, changes });
        for taken in hub.take(std::iter::once(place)).taken {
            if let Taken::Everything(chunks) | Taken::Changes(chunks) = taken {
                apply(&mut rows, chunks, 1_000);
            }
        }
        assert_eq!(pages(&hub, 0, 10).1, rows.clone().into_iter().collect::<Vec<_>>());
        rows.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let at = VenueTime::from_nanos;
    let all = vec![(row(1, 1, 50), 1), (row(2, 1, 60), 1), (row(3, 1, 300), 1)];
    assert_eq!(publish(VenueTime::MIN, all), "k1 k2 k3");
    // A row replaced at its own time keeps its age.
    assert_eq!(publish(VenueTime::MIN, vec![(row(1, 1, 50), -1), (row(1, 2, 50), 1)]), "k1 k2 k3");
    // Exactly `retain` behind: still there.
    assert_eq!(publish(at(150), vec![]), "k1 k2 k3");
    // A row that moves is judged by its new time.
    assert_eq!(publish(at(151), vec![(row(2, 1, 60), -1), (row(2, 2, 200), 1)]), "k2 k3");
    // What comes too late never enters; its removal later is nothing.
    assert_eq!(publish(at(160), vec![(row(4, 1, 59), 1)]), "k2 k3");
    assert_eq!(publish(at(160), vec![(row(4, 1, 59), -1)]), "k2 k3");
    // A row corrected to an old time leaves.
    assert_eq!(publish(at(160), vec![(row(3, 1, 300), -1), (row(3, 2, 10), 1)]), "k2");
    // The end of the sources empties nothing.
    assert_eq!(publish(VenueTime::END, vec![(row(5, 1, 60), 1)]), "k2 k5");
    assert_eq!(hub.standing().frontier, Frontier::End);
}

#[test]
#[should_panic(expected = "epochs are published in order")]
fn an_epoch_comes_once() {
    let twin = Twin::new(&[], 1);
    for _ in 0..2 {
        let (epoch, watermark) = (Epoch(1), VenueTime::MIN);
        twin.hub.publish(&EpochOutput { epoch, watermark, changes: Vec::new() });
    }
}
