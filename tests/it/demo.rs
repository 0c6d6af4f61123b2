//! The demo as a newcomer runs it: its wallets' P&L adds up to zero, and its alerts and bars are those
//! of `tests/golden/demo`. `UPDATE=1` rewrites them; run `tests/demo/check.py` over the demo's output
//! before you commit what changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use num_traits::Zero;

use crate::exact::{Exact, parse};
use crate::work::{Work, column};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs the demo in a folder of its own.
fn demo() -> Work {
    let work = Work::new();
    fs::copy(root("configs/demo.toml"), work.path().join("demo.toml")).unwrap();
    fs::create_dir(work.path().join("demo")).unwrap();
    for file in fs::read_dir(root("configs/demo")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), work.path().join("demo").join(file.file_name())).unwrap();
    }
    let summary = work.run_file("demo.toml");
    assert_eq!((summary.counts.quarantined, summary.n_pending), (0, 0), "{:?}", summary.reasons);
    work
}

#[test]
fn the_demo_gives_what_it_is_known_to_give() {
    let work = demo();
    assert_pnl_is_zero(&work);
    for view in ["alerts", "bars"] {
        let given = work.text(&format!("out/demo/{view}.jsonl"));
        let golden = root(&format!("tests/golden/demo/{view}.jsonl"));
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(root("tests/golden/demo")).unwrap();
            fs::write(&golden, &given).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        let mut both = given.lines().zip(expected.lines());
        let other = both.find(|(given, expected)| given != expected);
        assert_eq!(other, None, "{view}: the first line that differs; run with UPDATE=1");
        assert_eq!(given.lines().count(), expected.lines().count(), "lines of {view}");
    }
}

/// Each trade gave a buy and a sale: what one wallet won, others lost, at every snapshot.
fn assert_pnl_is_zero(work: &Work) {
    let mut by_snapshot: BTreeMap<String, Vec<(String, Exact)>> = BTreeMap::new();
    for row in work.lines("out/demo/pnl.jsonl") {
        let of_wallet = (column(&row, "wallet").to_owned(), parse(column(&row, "total_pnl")));
        by_snapshot.entry(column(&row, "snapshot").to_owned()).or_default().push(of_wallet);
    }
    assert!(by_snapshot.len() > 10, "{} snapshots", by_snapshot.len());
    // A wallet whose values stay has no row at a snapshot: its newest one holds.
    let mut newest: BTreeMap<String, Exact> = BTreeMap::new();
    for (snapshot, rows) in by_snapshot {
        newest.extend(rows);
        let total: Exact = newest.values().sum();
        assert!(total.is_zero(), "{total} at {snapshot}");
    }
    assert!(newest.values().any(|pnl| !pnl.is_zero()));
}
