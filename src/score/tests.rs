//! Columns, scopes and texts of rows that are scored.

use super::*;

fn record(cells: &[&str]) -> StringRecord {
    StringRecord::from(cells)
}

fn wanted<'a>(key: &'a [String], drop: &'a [String]) -> Wanted<'a> {
    Wanted { columns: None, drop, key, time: Some("at"), time_unit: TimeUnit::S }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn scorer(columns: Columns, scope: Scope, max_bytes: u64) -> Scorer {
    Scorer::new(columns, scope, (Options::default(), 0.999), max_bytes)
}

#[test]
fn columns_are_found_or_told() {
    let header = record(&["at", "who", "x", "y", "label"]);
    let key = names(&["who"]);
    let columns = Columns::new(&header, &wanted(&key, &names(&["label"]))).unwrap();
    assert_eq!(columns.values, [("x".to_owned(), 2), ("y".to_owned(), 3)]);
    let wrong = Columns::new(&header, &wanted(&key, &names(&["lable"]))).unwrap_err();
    assert_eq!(wrong.what, "there is no column `lable`");
    assert_eq!(wrong.hint.as_deref(), Some("did you mean `label`?"));
    let twice = record(&["x", "label", "label"]);
    let none = Wanted { time: None, ..wanted(&[], &[]) };
    let wrong = Columns::new(&twice, &none).unwrap_err();
    assert_eq!(wrong.what, "two columns are named `label`");
    assert!(Columns::new(&header, &wanted(&key, &names(&["x", "y", "label"]))).is_err());
}

#[test]
fn listed_columns_alone_are_scored_in_their_order() {
    let header = record(&["at", "who", "x", "y", "z"]);
    let (key, drop) = (names(&["who"]), names(&["x", "gone"]));
    let chosen = |listed: &[&str], drop: &[String]| {
        let listed = names(listed);
        let columns =
            Columns::new(&header, &Wanted { columns: Some(&listed), ..wanted(&key, drop) })?;
        Ok(columns.values.into_iter().map(|(_, at)| at).collect::<Vec<_>>())
    };
    assert_eq!(chosen(&["y", "x"], &[]), Ok(vec![3, 2]));
    assert_eq!(chosen(&["y", "x", "gone"], &drop), Ok(vec![3]));
    let wrong: Wrong = chosen(&["y", "yy"], &[]).unwrap_err();
    assert_eq!(wrong.what, "there is no column `yy`");
    assert_eq!(wrong.hint.as_deref(), Some("did you mean `y`?"));
    assert_eq!(chosen(&["x"], &drop).unwrap_err().what, "there is no column `gone`");
}

/// Two keys of other sizes, one of which starts late.
#[test]
fn one_model_may_serve_all_keys_in_their_own_units() {
    let header = record(&["at", "who", "x"]);
    let key = names(&["who"]);
    let columns = Columns::new(&header, &wanted(&key, &[])).unwrap();
    let scope =
        Scope { is_by_key: false, is_normalised: true, passes_over: true, forget_after: None };
    let mut scorer = scorer(columns, scope, u64::MAX);
    let mut state = |n: usize, who: &str, x: usize| {
        scorer.score(&record(&[&n.to_string(), who, &x.to_string()]), 1).unwrap().state
    };
    for n in 0..100 {
        // Eight rows tell what is usual, 32 what to think of it.
        assert_eq!(state(n, "a", n % 7), if n < 40 { "warming" } else { "ok" }, "row {n}");
    }
    for n in 100..150 {
        let expected = if n < 108 { "warming" } else { "ok" };
        assert_eq!(state(n, "b", 1_000_000 * (n % 7)), expected, "row {n}");
    }
    assert_eq!(scorer.summary(), "150 rows scored, of 2 keys\n");
    let usual = scorer.score(&record(&["150", "b", "3000000"]), 1).unwrap();
    let far = scorer.score(&record(&["150", "a", "3000000"]), 1).unwrap();
    assert!(usual.score < 0.99 && far.score > 0.99, "{usual:?} {far:?}");
    assert!(far.why.contains("x 3000000"), "{far:?}");
    let nothing = scorer.score(&record(&["151", "a", ""]), 1).unwrap();
    assert_eq!(nothing.state, "warming");
}

#[test]
fn keys_of_several_columns_are_told_apart() {
    let header = record(&["v", "a", "x"]);
    let key = names(&["v", "a"]);
    let columns = Columns::new(&header, &Wanted { time: None, ..wanted(&key, &[]) }).unwrap();
    let mut scorer = scorer(columns, Scope::default(), u64::MAX);
    for cells in [["a", "bc", "1"], ["ab", "c", "1"], ["a", "bc", "2"], ["", "abc", "1"]] {
        scorer.score(&record(&cells), 1).unwrap();
    }
    assert_eq!(scorer.summary(), "4 rows scored, of 3 keys\n");
}

#[test]
fn each_key_has_a_detector_of_its_own() {
    let header = record(&["at", "who", "x"]);
    let columns = Columns::new(&header, &wanted(&names(&["who"]), &[])).unwrap();
    let scorer = |max_bytes| scorer(columns.clone(), Scope::default(), max_bytes);
    let cells = |who: &str, n: usize| {
        record(&[&n.to_string(), who, &(if who == "b" { n % 7 } else { n % 3 }).to_string()])
    };
    let (mut alone, mut both, mut few) = (scorer(u64::MAX), scorer(u64::MAX), scorer(40_000));
    for n in 0..200 {
        let expected = alone.score(&cells("a", n), 1).unwrap();
        assert_eq!(both.score(&cells("a", n), 1).unwrap(), expected);
        assert_eq!(expected.state, if n < 32 { "warming" } else { "ok" });
        both.score(&cells("b", n), 1).unwrap();
    }
    let wrong = (0..1_000).find_map(|n| few.score(&cells(&format!("k{n}"), 0), 9).err());
    let wrong = wrong.expect("they don't fit");
    assert!(wrong.what.starts_with("line 9: the detectors of "), "{wrong:?}");
    let far = both.score(&record(&["2026-01-31 00:00:00", "a", "1e9"]), 9).unwrap();
    assert!(far.score > 0.999 && far.why.contains('x'), "{far:?}");
}

/// A key that rests for longer than a minute, beside one that doesn't: at the next row it is as it was at its
/// first.
#[test]
fn a_key_that_rests_for_too_long_is_forgotten() {
    let header = record(&["at", "who", "x"]);
    let columns = Columns::new(&header, &wanted(&names(&["who"]), &[])).unwrap();
    for (is_by_key, warming) in [(true, 32), (false, 8)] {
        let forget_after = types::Span::parse("1m");
        let is_normalised = !is_by_key;
        let scope = Scope { is_by_key, is_normalised, passes_over: true, forget_after };
        let mut scorer = scorer(columns.clone(), scope, u64::MAX);
        let mut state = |at: usize, who: &str| {
            scorer.score(&record(&[&at.to_string(), who, &(at % 7).to_string()]), 1).unwrap().state
        };
        let mut states = |who: &str, times: std::ops::Range<usize>| -> usize {
            times.filter(|at| state(*at, who) == "warming").count()
        };
        states("a", 0..100);
        states("b", 0..100);
        assert_eq!(states("b", 110..160), 0);
        // A minute after the last row at 99, and a second more than that after the one at 159.
        assert_eq!(states("a", 159..200), 0);
        assert_eq!(states("b", 220..280), warming, "{is_by_key}");
        assert_eq!(scorer.score(&record(&["soon", "b", "3"]), 1).unwrap().state, "ok");
        assert_eq!(scorer.n_keys(), 2);
    }
}

/// What a forgotten key held doesn't count any more.
#[test]
fn what_is_forgotten_takes_no_memory() {
    let header = record(&["at", "who", "x"]);
    let columns = Columns::new(&header, &wanted(&names(&["who"]), &[])).unwrap();
    for is_by_key in [true, false] {
        let forget_after = types::Span::parse("1m");
        let is_normalised = !is_by_key;
        let scope = Scope { is_by_key, is_normalised, passes_over: true, forget_after };
        let mut scorer = scorer(columns.clone(), scope, u64::MAX);
        let mut take = |at: usize| {
            scorer.score(&record(&[&at.to_string(), "a", "1"]), 1).unwrap();
            scorer.n_bytes
        };
        let first = take(0);
        assert!((1..40).map(&mut take).all(|held| held >= first), "{is_by_key}");
        let rested: Vec<u64> = (1..10).map(|n| take(1_000 * n)).collect();
        assert!(rested.iter().all(|held| *held == rested[0]), "{is_by_key}: {rested:?}");
        assert!(!is_by_key || rested[0] == first, "{first} {rested:?}");
    }
}

#[test]
fn what_cant_be_read_is_missing_and_told() {
    let header = record(&["at", "who", "x", "y"]);
    let columns = Columns::new(&header, &wanted(&names(&["who"]), &[])).unwrap();
    let mut scorer = scorer(columns, Scope::default(), u64::MAX);
    for cells in [["1", "a", "", "2"], ["x", "a", "7", "NaN"], ["2", "a", "seven", "inf"]] {
        let scored = scorer.score(&record(&cells), 4).unwrap();
        assert!(scored.raw.is_finite() && scored.score.is_finite());
    }
    assert_eq!(
        scorer.summary(),
        "3 rows scored, of 1 key\nwarning: 2 cells can't be read and count as missing; the first is `x` \
         in line 4, the time\n"
    );
}

#[test]
fn times_are_read_as_they_are_written() {
    let expected = Some(1_396_310_700_000_000_000);
    for (text, unit) in [
        ("2014-04-01 00:05:00", TimeUnit::S),
        ("2014-04-01T00:05:00Z", TimeUnit::S),
        ("2014-04-01T02:05:00+02:00", TimeUnit::S),
        ("2014-04-01T02:05:00[Europe/Berlin]", TimeUnit::S),
        ("1396310700", TimeUnit::S),
        ("1396310700.0", TimeUnit::S),
        ("1396310700000", TimeUnit::Ms),
        ("1396310700000000", TimeUnit::Us),
        ("1396310700000000000", TimeUnit::Ns),
    ] {
        assert_eq!(nanos_of(text, unit), expected, "{text}");
    }
    assert_eq!(nanos_of("soon", TimeUnit::S), None);
    assert_eq!(nanos_of("2014-04-01T02:05:00[Nowhere/City]", TimeUnit::S), None);
    assert_eq!(nanos_of("9999999999999", TimeUnit::S), None);
}
