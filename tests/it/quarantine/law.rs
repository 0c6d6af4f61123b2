//! A law: a run with rows that are replayed comes to the same files as a run over files in which they are
//! right, however many batches they come in, and wherever runs are killed between them.

use std::collections::BTreeMap;

use super::files::{Files, How, Line, PATHS, finish, given, start, went_on};
use crate::rigs::dice::Dice;

/// Cases of the law; the first seed.
const CASES: u64 = 24;
const SEED: u64 = 20_261_122;

fn below(dice: &mut Dice, n: usize) -> usize {
    usize::try_from(dice.below(u64::try_from(n).unwrap())).unwrap()
}

/// A fill, in the columns of its file; many are of one time.
fn fill(dice: &mut Dice, file: usize, id: usize) -> Vec<(&'static str, String)> {
    let wallet = ["ann", "\"a\nn\"", "bob"][below(dice, 3)];
    let of_json = file == 3;
    let text = |text: &str| {
        if of_json {
            serde_json::to_string(&text.replace('"', "")).unwrap()
        } else {
            text.to_owned()
        }
    };
    vec![
        ("id", text(&format!("{file}-{id}"))),
        ("wallet", text(wallet)),
        ("asset", text(["A", "B"][below(dice, 2)])),
        ("side", text(["buy", "sell"][below(dice, 2)])),
        ("price", text(&format!("0.{}", 1 + dice.below(99)))),
        ("size", text(&(1 + dice.below(9)).to_string())),
        ("time", text(&format!("2026-01-01T00:0{}:00Z", dice.below(6)))),
    ]
}

/// A row of the columns that a file has.
fn row(file: usize, cells: &[(&str, String)]) -> String {
    if file == 3 {
        let members: Vec<String> =
            cells.iter().map(|(name, text)| format!("\"{name}\":{text}")).collect();
        return format!("{{{}}}", members.join(","));
    }
    let cell = |name: &str| cells.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let texts: Vec<String> = PATHS[file].2.trim_end().split(',').map(cell).collect();
    texts.join(",")
}

/// Random files; about a fourth of their rows can't be used.
fn files(dice: &mut Dice) -> Files {
    let mut files = Vec::new();
    for (file, (source, path, _)) in PATHS.into_iter().enumerate() {
        let line = |id: usize, dice: &mut Dice| {
            let cells = fill(dice, file, id);
            let right = row(file, &cells);
            let set = |name: &str, text: &str| {
                let mut cells = cells.clone();
                cells.iter_mut().filter(|(known, _)| *known == name).for_each(|cell| {
                    cell.1 = if file == 3 { format!("\"{text}\"") } else { text.to_owned() };
                });
                row(file, &cells)
            };
            let wrong = match dice.below(20) {
                0 => "no row".to_owned(),
                1 => set("price", "much"),
                2 => set("side", "\u{e9}"),
                3 => set("time", "never"),
                4 => set("size", "0"),
                _ => return Line::right(&right),
            };
            Line::wrong(&wrong, &right)
        };
        let n_rows = 3 + below(dice, 30);
        files.push((source, path, (0..n_rows).map(|id| line(id, dice)).collect()));
    }
    Files(files)
}

/// Some of the wrong rows, in up to three parts.
fn parts(dice: &mut Dice, files: &Files) -> Vec<Vec<(usize, usize)>> {
    let mut parts: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    let n_parts = 1 + dice.below(3);
    for place in files.wrong() {
        if dice.below(4) > 0 {
            parts.entry(dice.below(n_parts)).or_default().push(place);
        }
    }
    parts.into_values().collect()
}

/// Runs over files, most runs killed, with a batch added between each two; compares. Says how many of them
/// went on with one that was killed.
fn follows(seed: u64, out: Option<&str>) -> usize {
    let mut dice = Dice(seed);
    let files = files(&mut dice);
    let parts = parts(&mut dice, &files);
    let how = How {
        workers: [1, 2, 4][below(&mut dice, 3)],
        journal: ["positions", "events"][below(&mut dice, 2)],
        order: ["arrival", "newest_first"][below(&mut dice, 2)],
    };
    let told = format!("seed {seed}, {how:?}, parts {parts:?}");
    let expected = files.repaired(&parts.concat()).given(how);
    let folder = files.folder(how);
    let (mut ends, mut n_went_on) = (Vec::new(), 0);
    for (number, part) in (1..).zip(&parts) {
        if dice.below(4) > 0 {
            let point = ["epoch.fed", "changes.kept", "row.refused", "final.written"];
            let point = format!("{}:{}", point[below(&mut dice, 4)], 1 + dice.below(20));
            let ended = start(&folder, Some(&point), out);
            ends.push((point, ended.code));
            n_went_on += usize::from(went_on(&ended));
            assert!(matches!(ended.code, None | Some(0)), "{told}, {ends:?}: {ended:#?}");
        }
        files.replay(&folder, part, number);
    }
    if dice.below(2) > 0 {
        let point = format!("epoch.fed:{}", 1 + dice.below(30));
        let ended = start(&folder, Some(&point), out);
        ends.push((point, ended.code));
        n_went_on += usize::from(went_on(&ended));
    }
    let ended = finish(&folder, out);
    n_went_on += usize::from(went_on(&ended));
    let counts: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let count = |name: &str| counts[name].as_u64().unwrap();
    let n_outcomes = count("applied") + count("duplicate") + count("quarantined");
    assert_eq!(count("received"), n_outcomes, "{told}");
    assert!(given(&folder) == expected, "{told}, {ends:?}: other files");
    // What comes again is the same.
    finish(&folder, out);
    assert!(given(&folder) == expected, "{told}, {ends:?}: other files with the next start");
    n_went_on
}

#[test]
fn replayed_rows_are_as_if_they_had_been_right() {
    let n_went_on: usize = (SEED..SEED + CASES).map(|seed| follows(seed, None)).sum();
    println!(
        "replayed: {CASES} cases from seed {SEED}, {n_went_on} runs went on with one that was killed: no byte \
         differs"
    );
    let is_killed = cfg!(feature = "sabotage");
    assert!(!is_killed || n_went_on >= 6, "few runs went on: {n_went_on}");
}

/// A run is killed amid the rows of a batch; what comes behind it is of earlier times.
#[cfg(feature = "sabotage")]
#[test]
fn a_batch_comes_behind_the_ones_before_it() {
    let row = |wallet: &str, minute: usize| {
        format!("{wallet},A,buy,0.{},1,2026-01-01T00:{minute:02}:00Z", 1 + minute)
    };
    let lines = |n: usize| (0..n).map(|i| Line::wrong("no row", &row("ann", i))).collect();
    let other = |id: usize| format!("{id},ann,A,sell,0.5,1,2026-01-01T00:30:00Z");
    let files = Files(vec![
        ("places", "in/p1.csv", lines(12)),
        ("places", "in/p2.csv.gz", Vec::new()),
        ("ids", "in/ids.csv", (0..388).map(|id| Line::right(&other(id))).collect()),
        ("lines", "in/lines.jsonl", Vec::new()),
    ]);
    let of_rows = |rows: std::ops::Range<usize>| rows.map(|row| (0, row)).collect::<Vec<_>>();
    let expected = |how| files.repaired(&of_rows(0..12)).given(how);
    for (workers, journal) in [(1, "positions"), (2, "events"), (4, "positions"), (1, "events")] {
        let how = How { workers, journal, order: "arrival" };
        let folder = files.folder(how);
        files.replay(&folder, &of_rows(6..12), 1);
        // A hundred epochs of files, in which the sink has kept something, and one of the batch.
        let ended = start(&folder, Some("epoch.fed:101"), None);
        assert_eq!(ended.code, None, "{how:?}: {ended:?}");
        files.replay(&folder, &of_rows(0..6), 2);
        start(&folder, None, None).with(0).says(&["going on with the run that was interrupted"]);
        assert_eq!(given(&folder), expected(how), "{how:?}");
    }
}

#[cfg(feature = "sabotage")]
mod noticed {
    use types::sabotage::Safeguard;

    use super::{CASES, SEED, follows};

    /// A law that doesn't hold once a safeguard is out: its first case that fails is told.
    fn is_noticed(out: Safeguard, n_cases: u64) {
        let name = format!("{out:?}");
        let fails = |seed: &u64| {
            let case = std::panic::AssertUnwindSafe(|| follows(*seed, Some(&name)));
            std::panic::catch_unwind(case).is_err()
        };
        let first = (SEED..SEED + n_cases).find(fails);
        println!("{name} is out: {first:?} fails");
        assert!(first.is_some(), "{name} is out, and none of {n_cases} cases from {SEED} fails");
    }

    #[test]
    fn rows_that_are_merged_with_others_are_noticed() {
        is_noticed(Safeguard::ReplayedLast, CASES);
    }

    #[test]
    fn rows_that_enter_behind_an_end_are_noticed() {
        is_noticed(Safeguard::EndStays, CASES);
    }
}
