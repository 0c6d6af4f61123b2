//! The laws over relations that a config declares: keys of several columns, columns of each kind, and
//! whatever reads such rows.

mod history;
mod rows;
mod rules;
mod twin;

use std::collections::{BTreeMap, BTreeSet};

use types::Op;

pub(super) use self::history::{Event, conflicting_history, declared_history};
use self::history::{Holding, Visit};
use self::twin::{declared_views, holdings_of, visits_of};
use super::cases::{check_cases, sample};
use super::history::{Arrival, Placed, pending};
use super::runs::{Loaded, Way, load, run_all};
use super::{assert_all_ways, assert_rows, assert_same_stream, assert_way, many, way};

const DECLARED: &str = include_str!("../declared.toml");

thread_local! {
    static DECLARED_PLAN: Loaded = load(DECLARED);
}

pub(super) fn declared_follows(history: &[Placed], way: Way) {
    DECLARED_PLAN.with(|loaded| {
        assert_way(loaded, history, way, &declared_views(history));
    });
}

many! {
    declared_relations_follow_both_laws: 250 of declared_follows(declared_history(80), way());
    declared_relations_of_few_events_follow_both_laws:
        200 of declared_follows(declared_history(12), way());
    the_first_of_a_declared_conflict_stands:
        120 of conflicts_follow(conflicting_history(45), way());
}

#[test]
fn declared_relations_follow_both_laws_in_all_ways() {
    check_cases(
        "declared relations in all ways",
        20,
        (declared_history(45), 0..200i64),
        |(history, lateness)| {
            DECLARED_PLAN.with(|loaded| {
                let n = assert_all_ways(loaded, &history, lateness, &declared_views(&history));
                let visits = pending(&visits_of(&history), Visit::identity);
                assert_eq!(n, pending(&holdings_of(&history), Holding::identity) + visits);
            });
        },
    );
}

/// A view that is always empty would follow any law.
#[test]
fn each_view_and_rule_has_rows_in_some_history() {
    let (mut empty, mut states) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..40 {
        let views = declared_views(&sample(&declared_history(45), seed));
        let without: BTreeSet<&str> =
            views.iter().filter(|(_, lines)| lines.is_empty()).map(|(view, _)| *view).collect();
        empty = if seed == 0 { without } else { &empty & &without };
        states.extend(views["alerts"].iter().map(|line| {
            let alert: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {}", alert["rule"], alert["state"])
        }));
    }
    let never = [
        "alerts.bare.errors",
        "alerts.heavy.errors",
        "alerts.labelled.errors",
        "alerts.paid.errors",
        "alerts.shared.errors",
        "dim.errors",
        "drift.errors",
        "hosted.errors",
        "kept.errors",
        "large.errors",
        "shades.errors",
        "shares.errors",
    ];
    assert_eq!(empty, BTreeSet::from(never));
    // Six rules, each firing and resolved.
    assert_eq!(states.len(), 12, "{states:?}");
}

/// Law A is about what isn't refused: the first of those that conflict stands.
pub(super) fn conflicts_follow(history: &[Placed], way: Way) {
    DECLARED_PLAN.with(|loaded| {
        let one = run_all(loaded, history, Way { n_workers: 1, ..way });
        let arrivals = way.order.of(history);
        let refused: Vec<usize> = one.simulated.refused.iter().map(|(place, _)| *place).collect();
        assert_eq!(refused, conflicts(&arrivals), "{way:?}");
        let stays =
            |(place, placed): (usize, &Placed)| (!refused.contains(&place)).then(|| placed.clone());
        let rest: Vec<Placed> = arrivals.into_iter().enumerate().filter_map(stays).collect();
        assert_rows(&one.rows, &declared_views(&rest), &format!("{way:?}"));
        assert_same_stream(&one, &run_all(loaded, history, way), way);
    });
}

/// The places of rows that state with other content what stands, but for busts, as the greatest of
/// its identity so far.
fn conflicts(arrivals: &[&Placed]) -> Vec<usize> {
    let mut greatest: BTreeMap<String, ((u64, bool), &Event)> = BTreeMap::new();
    let mut found = Vec::new();
    for (place, (arrival, ..)) in arrivals.iter().enumerate() {
        let Arrival::Declared(event) = arrival else { continue };
        if event.op() == Op::Bust {
            continue;
        }
        let state = (event.revision().unwrap_or(0), event.op() == Op::Correct);
        match greatest.get(&event.identity()) {
            Some((best, other)) if *best == state => {
                found.extend((*other != event).then_some(place));
            }
            Some((best, _)) if *best > state => {}
            _ => {
                greatest.insert(event.identity(), (state, event));
            }
        }
    }
    found
}
