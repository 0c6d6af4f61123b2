//! Random histories of few times, in which rows tie, go and come again, against the twin.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use types::json::write_row;
use types::options::Setting;
use types::relations::{Alert, RelationKind};
use types::schema::Kind;
use types::{Decimal, Row, Schema, Value, VenueTime};

use super::ALERT;
use crate::operators::testing::{changes, no_names, prepare, relation, schema, settings};
use crate::oracle::alert::{Rule, alerts};
use crate::plan::PlanBuilder;

/// What tells rows apart: account, lot, time.
type Key = (u8, u8, i64);

/// An epoch's rows by their keys; `None` where a row goes.
type Epoch = Vec<(Key, Option<i64>)>;

#[derive(Clone, Debug)]
struct History {
    /// Whether lots are ids; where not, firings of one time are one.
    has_id: bool,
    cooldown: i64,
    hold: i64,
    resolves: bool,
    epochs: Vec<Epoch>,
}

/// Epochs that move on in time, and go back by a little: rows come beside the last ones and behind them,
/// and the last ones go.
fn history() -> impl Strategy<Value = History> {
    let change = (0..2u8, 0..3u8, -3..3i64, prop::option::weighted(0.65, -1..2i64));
    let epochs = prop::collection::vec(prop::collection::vec(change, 1..4), 1..14);
    let rule = (any::<bool>(), 0..4i64, 0..4i64, any::<bool>());
    (rule, epochs).prop_map(|((has_id, cooldown, hold, resolves), epochs)| {
        let mut held: BTreeSet<(i64, u8, u8)> = BTreeSet::new();
        let mut keys = |now: i64, (account, lot, offset, x): (u8, u8, i64, Option<i64>)| {
            let key = if x.is_some() {
                (now + offset, account, lot)
            } else {
                // One of the last rows goes.
                *held.iter().nth_back(lot.into())?
            };
            let _ = if x.is_some() { held.insert(key) } else { held.remove(&key) };
            Some(((key.1, key.2, key.0), x))
        };
        let epochs = (4i64..).zip(epochs);
        let epochs = epochs.map(|(now, changes)| {
            changes.into_iter().filter_map(|change| keys(now, change)).collect()
        });
        History { has_id, cooldown, hold, resolves, epochs: epochs.collect() }
    })
}

fn columns(has_id: bool) -> Schema {
    let lot = if has_id { "id" } else { "lot" };
    let key = [("account", Kind::Text), (lot, Kind::Text), ("at", Kind::Time)];
    // Nothing looks at the last one.
    let rest = [("x", Kind::Number), ("rest", Kind::Number)];
    schema(&[key.as_slice(), &rest].concat(), 3)
}

fn row((account, lot, at): Key, x: i64, rest: u64) -> Row {
    let text = |name: String| Value::Text(name.as_str().into());
    let time = Value::from(VenueTime::from_nanos(at));
    let numbers = [Value::from(Decimal::from(x)), Value::from(Decimal::new(rest.into(), 0))];
    let key = [text(format!("a{account}")), text(format!("l{lot}")), time];
    Row(key.into_iter().chain(numbers).collect())
}

fn x(row: &Row) -> i64 {
    match &row.0[3] {
        Value::Number(x) => i64::try_from(x.mantissa()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// The changes of all epochs, and the rows that stand behind each.
#[expect(clippy::type_complexity, reason = "two lists")]
fn rows(epochs: &[Epoch]) -> (Vec<(Row, u64, isize)>, Vec<Vec<(VenueTime, Row)>>) {
    let (mut held, mut all, mut standing) = (BTreeMap::new(), Vec::new(), Vec::new());
    for (number, epoch) in (0u64..).zip(epochs) {
        for (key, x) in epoch {
            let new = x.map(|x| row(*key, x, number));
            let old = match &new {
                Some(new) => held.insert(*key, new.clone()),
                None => held.remove(key),
            };
            all.extend(old.map(|old| (old, number, -1)));
            all.extend(new.map(|new| (new, number, 1)));
        }
        let at = |(key, row): (&Key, &Row)| (VenueTime::from_nanos(key.2), row.clone());
        standing.push(held.iter().map(at).collect());
    }
    (all, standing)
}

fn text(alert: &Alert) -> String {
    let mut text = Vec::new();
    write_row(&mut text, alert, &Alert::schema(), &no_names());
    String::from_utf8(text).unwrap()
}

/// Holds what the operator makes of a history against the twin, epoch by epoch; gives the last alerts.
fn check(history: &History) -> BTreeSet<String> {
    let schema = columns(history.has_id);
    let mut asked = settings([
        ("rule", Setting::Text("r".to_owned()), 0..1),
        ("view", Setting::Text("rows".to_owned()), 0..1),
        ("when", Setting::Text("x > 0".to_owned()), 0..1),
        ("message", Setting::Text("seen".to_owned()), 0..1),
        ("entity", Setting::List(vec![("account".to_owned(), 0..1)]), 0..1),
        ("cooldown", Setting::Nanos(history.cooldown), 0..1),
        ("for", Setting::Nanos(history.hold), 0..1),
    ]);
    if history.resolves {
        asked.set("resolve_when", Setting::Text("x < 0".to_owned()), 0..1);
    }
    let relations = vec![relation("rows", RelationKind::Rows, schema.clone())];
    let prepared = prepare(ALERT, relations, &asked).unwrap();
    let (all, standing) = rows(&history.epochs);
    let [told, errors] = changes(prepared, &no_names(), all).try_into().unwrap();
    assert!(errors.is_empty());
    let message = |_: &Row| "seen".to_owned();
    let (is_true, is_below) = (|row: &Row| x(row) > 0, |row: &Row| x(row) < 0);
    let rule = Rule {
        cooldown: history.cooldown,
        hold: history.hold,
        resolves: history.resolves.then_some(&is_below),
        ..Rule::new("r", &["account"], &is_true, &message)
    };
    let mut found = BTreeSet::new();
    for (number, rows) in standing.iter().enumerate() {
        // What goes stands before what comes in no certain order: alerts differ by their texts.
        let of_epoch = told.iter().filter_map(|told| {
            let (epoch, rest) = told.split_once(' ')?;
            (epoch == number.to_string()).then(|| rest.split_once(' ')).flatten()
        });
        for (diff, alert) in of_epoch {
            let is_sound = match diff {
                "+1" => found.insert(alert.to_owned()),
                _ => found.remove(alert),
            };
            assert!(is_sound, "epoch {number}: {diff} {alert}");
        }
        let expected: BTreeSet<String> =
            alerts(rows, &rule, &schema, &no_names()).iter().map(text).collect();
        assert_eq!(found, expected, "epoch {number}");
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn alerts_of_few_times_equal_their_twin(history in history()) {
        check(&history);
    }
}

/// A rule that fires at once, over lots of one account.
fn fires_at_once(epochs: Vec<Epoch>) -> BTreeSet<String> {
    check(&History { has_id: true, cooldown: 0, hold: 0, resolves: false, epochs })
}

/// The last row, of which the condition was true, is gone: so is the run that it had begun, and the next
/// row of which it is true fires.
#[test]
fn a_run_goes_with_the_last_row() {
    let found = fires_at_once(vec![
        vec![((0, 0, 1), Some(-1)), ((0, 0, 2), Some(1))],
        vec![((0, 0, 2), None)],
        vec![((0, 0, 3), Some(1))],
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found.iter().all(|alert| alert.contains("00:00:00.000000003Z")), "{found:?}");
}

/// A row of the last one's time: the run behind the last row isn't the one before that time.
#[test]
fn a_run_does_not_begin_before_its_own_rows() {
    let found = fires_at_once(vec![vec![((0, 0, 2), Some(1))], vec![((0, 1, 2), Some(1))]]);
    assert_eq!(found.len(), 1, "{found:?}");
}

/// A row of which something can't be computed is an error for as long as it stands, and no alert.
#[test]
fn what_can_not_be_computed_is_told() {
    let condition = |text: &str| Setting::Text(text.to_owned());
    let severity = ("high".to_owned(), "x * x * x * x > 1000".to_owned(), 0..1);
    let asked = settings([
        ("rule", condition("r"), 0..1),
        ("view", condition("rows"), 0..1),
        ("when", condition("x * x * x > 4"), 0..1),
        ("resolve_when", condition("rest * rest > 4"), 0..1),
        ("severity_when", Setting::Assignments(vec![severity]), 0..1),
        ("message", condition("{x}"), 0..1),
        ("entity", Setting::List(vec![("account".to_owned(), 0..1)]), 0..1),
    ]);
    let relations = vec![relation("rows", RelationKind::Rows, columns(true))];
    let prepared = prepare(ALERT, relations, &asked).unwrap();
    // Its third power is too large; of `MUCH` only the fourth is.
    const HUGE: i64 = 1_000_000_000_000_000;
    const MUCH: i64 = 1_000_000_000_000;
    let huge = row((0, 1, 1), HUGE, 0);
    let rows = vec![
        (huge.clone(), 0, 1),
        (row((0, 2, 2), 3, u64::MAX), 0, 1),
        (row((0, 3, 3), MUCH, 0), 1, 1),
        // Not true, so that nobody asks how much it matters.
        (row((1, 1, 1), 0, 0), 1, 1),
        (huge, 2, -1),
        (row((0, 1, 1), 11, 0), 2, 1),
        (row((0, 3, 3), MUCH, 0), 3, -1),
    ];
    let [told, errors] = changes(prepared, &no_names(), rows).try_into().unwrap();
    let error = |change: &str, lot: u8, of: &str| {
        let time = format!("1970-01-01T00:00:00.00000000{lot}Z");
        format!(
            r#"{change} {{"account":"a0","id":"l{lot}","at":"{time}","reason":"overflow of {of}"}}"#
        )
    };
    let expected = [
        error("0 +1", 1, "when"),
        error("0 +1", 2, "resolve_when"),
        error("1 +1", 3, "severity_when"),
        error("2 -1", 1, "when"),
        error("3 -1", 3, "severity_when"),
    ];
    assert_eq!(errors, expected);
    let told: Vec<String> = told
        .iter()
        .map(|change| {
            let part = |name: &str| {
                let (_, behind) = change.split_once(&format!("\"{name}\":\"")).unwrap();
                behind.split('"').next().unwrap().to_owned()
            };
            let (change, _) = change.split_once(" {").unwrap();
            format!("{change} {} {} {}", part("id"), part("severity"), part("message"))
        })
        .collect();
    assert_eq!(told, ["0 +1 l2 medium 3", "2 +1 l1 high 11", "2 -1 l2 medium 3"]);
}

/// Rows of a null aren't those of the text that looks as one.
#[test]
fn null_is_an_entity_of_its_own() {
    for (entity, expected) in [
        (&["account"][..], ["[null]", "null", r#"["[null]"]"#]),
        (&["account", "lot"], [r#"[null,"1"]"#, r#"["null","1"]"#, r#"["[null]","1"]"#]),
        (&["lot", "account"], [r#"["1",null]"#, r#"["1","null"]"#, r#"["1","[null]"]"#]),
    ] {
        let entity = entity.iter().map(|name| ((*name).to_owned(), 0..1)).collect();
        let asked = settings([
            ("rule", Setting::Text("r".to_owned()), 0..1),
            ("view", Setting::Text("rows".to_owned()), 0..1),
            ("when", Setting::Text("lot > 0".to_owned()), 0..1),
            ("entity", Setting::List(entity), 0..1),
        ]);
        let kinds = [("account?", Kind::Text), ("at", Kind::Time), ("lot", Kind::Number)];
        let relations = vec![relation("rows", RelationKind::Rows, schema(&kinds, 2))];
        let prepared = prepare(ALERT, relations, &asked).unwrap();
        let time = Value::from(VenueTime::from_nanos(1));
        let row = |account: Value| {
            (Row([account, time.clone(), Value::from(Decimal::from(1))].into()), 0, 1)
        };
        let text = |text: &str| Value::Text(text.into());
        let rows = [Value::Null, text("null"), text("[null]")].map(row).to_vec();
        let [told, _] = changes(prepared, &no_names(), rows).try_into().unwrap();
        let mut expected = expected.map(|entity| {
            let mut text = Vec::new();
            types::json::write_value(&mut text, &Value::Text(entity.into()));
            format!(r#"0 +1 {{"rule":"r","entity":{},"#, String::from_utf8(text).unwrap())
        });
        expected.sort();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (told, expected) in told.iter().zip(&expected) {
            assert!(told.starts_with(expected), "{told}, {expected}");
        }
    }
}

#[test]
fn each_rule_has_a_view_of_errors() {
    let asked = settings([
        ("view", Setting::Text("rows".to_owned()), 0..1),
        ("when", Setting::Text("x > 0".to_owned()), 0..1),
    ]);
    for is_keyed in [true, false] {
        let kind = if is_keyed { RelationKind::Positions } else { RelationKind::Quotes };
        let schema = kind.schema().unwrap();
        let n_key = schema.n_key;
        let outputs =
            ALERT.outputs(&asked, &PlanBuilder::new(vec![relation("rows", kind, schema)]));
        let outputs = outputs.unwrap();
        let errors = &outputs[1];
        assert_eq!((errors.suffix, errors.is_keyed), ("errors", is_keyed));
        let names: Vec<&str> = errors.schema.columns.iter().map(|c| c.name.as_ref()).collect();
        // A position is looked at once a step.
        let more: &[&str] = if is_keyed { &["time", "reason"] } else { &["reason"] };
        assert_eq!(&names[n_key..], more);
    }
    // No two columns have one name.
    let kinds = [("reason", Kind::Text), ("at", Kind::Time), ("x", Kind::Number)];
    let relations = vec![relation("rows", RelationKind::Rows, schema(&kinds, 1))];
    let outputs = ALERT.outputs(&asked, &PlanBuilder::new(relations)).unwrap();
    let names: Vec<&str> = outputs[1].schema.columns.iter().map(|c| c.name.as_ref()).collect();
    assert_eq!(names, ["reason", "error_reason"]);
}

#[cfg(feature = "sabotage")]
mod sabotage {
    use super::*;
    use crate::operators::testing::{noticed, sample};

    fn few_times(seed: u64) {
        check(&sample(&history(), seed));
    }

    noticed! {
        tied_rows_that_look_alike: TiedRowsKept by 200 of few_times;
    }
}
