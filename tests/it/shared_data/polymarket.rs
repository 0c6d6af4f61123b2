//! Trades of a prediction market: repeats, prices with too many decimals, sizes of zero, sales of
//! more than is held.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use num_traits::Zero;

use super::data;
use crate::exact::{Exact, parse, text};
use crate::work::{CsvRow, Work, column, csv_rows, csv_rows_of, unpacked};

/// Trades of a data API: each is named by the hash of its transaction.
fn data_api_config(price: &str) -> String {
    format!(
        r#"
[pipeline]
name = "nobel"
data_dir = "data"
epoch = {{ max_events = 100 }}
[sources.trades]
type = "csv"
path = "trades.csv"
relation = "fills"
order = "newest_first"
identity = ["transactionHash"]
[sources.trades.columns]
venue = {{ constant = "polymarket" }}
wallet = "proxyWallet"
asset = "asset"
market = "conditionId"
side = {{ column = "side", values = {{ BUY = "buy", SELL = "sell" }} }}
price = {price}
size = "size"
event_time = {{ column = "timestamp", unit = "s" }}
[views.positions]
op = "avg_cost"
input = "fills"
oversell = "clamp"
[views.bars]
op = "rollup"
input = "fills"
sizes = ["1m", "1h"]
[sinks.out]
type = "jsonl"
path = "out/"
mode = "final"
"#
    )
}

const ROUNDED: &str = r#"{ column = "price", round = "half_even" }"#;
const WRITTEN_OUT: &str = r#""price""#;

#[test]
fn repeated_trades_count_once() {
    let Some(data) = data("polymarket-dataapi-trades") else { return };
    let whole = unpacked(&data.join("nobel-peace-prize-2025.csv.gz"));
    let text = String::from_utf8(whole).unwrap();
    let (all, once) = (Work::new(), Work::new());
    fs::write(all.path().join("trades.csv"), &text).unwrap();
    fs::write(once.path().join("trades.csv"), distinct(&text)).unwrap();

    let counts = all.run(&data_api_config(ROUNDED)).counts;
    assert_eq!((counts.received, counts.applied, counts.duplicate), (5000, 1500, 3500));
    let counts = once.run(&data_api_config(ROUNDED)).counts;
    assert_eq!((counts.received, counts.applied, counts.duplicate), (1500, 1500, 0));
    for view in ["positions", "positions.errors", "positions.breaks", "bars", "bars.errors"] {
        let file = format!("out/{view}.jsonl");
        assert!(all.text(&file) == once.text(&file), "{view}");
    }
    let n_fills: u64 = all
        .lines("out/positions.jsonl")
        .iter()
        .map(|row| column(row, "n_fills").parse::<u64>().unwrap())
        .sum();
    assert_eq!(n_fills, 1500);
}

#[test]
fn prices_with_more_than_nine_decimals_need_leave_to_be_rounded() {
    let Some(data) = data("polymarket-dataapi-trades") else { return };
    let whole = unpacked(&data.join("nobel-peace-prize-2025.csv.gz"));
    let rows = csv_rows_of(&whole);
    let is_long = |row: &&CsvRow| row["price"].split_once('.').is_some_and(|p| p.1.len() > 9);
    let hashes = |rows: Vec<&CsvRow>| {
        rows.into_iter().map(|row| row["transactionHash"].clone()).collect::<BTreeSet<String>>()
    };
    let long = hashes(rows.iter().filter(is_long).collect());
    assert_eq!((long.len(), rows.iter().filter(is_long).count()), (501, 1873));

    let work = Work::new();
    fs::write(work.path().join("trades.csv"), &whole).unwrap();
    let summary = work.run(&data_api_config(WRITTEN_OUT));
    let counts = summary.counts;
    assert_eq!((counts.applied, counts.duplicate, counts.quarantined), (999, 2128, 1873));
    assert_eq!(summary.reasons, BTreeMap::from([("too_many_decimals", 1873)]));
    let refused = work.lines("data/quarantine.jsonl");
    let refused: BTreeSet<String> = refused
        .iter()
        .map(|entry| {
            assert_eq!((column(entry, "column"), column(entry, "source")), ("price", "trades"));
            column(entry, "bytes").rsplit_once(',').unwrap().1.trim().to_owned()
        })
        .collect();
    assert!(refused == long, "other rows were refused");
}

/// Each line once, with the header; of repeats the last is kept, which is read first.
fn distinct(text: &str) -> String {
    let (header, rest) = text.split_once('\n').unwrap();
    let mut seen = BTreeSet::new();
    let mut kept: Vec<&str> = rest.lines().rev().filter(|line| seen.insert(*line)).collect();
    kept.reverse();
    format!("{header}\n{}\n", kept.join("\n"))
}

/// Trades of the midterm markets, one source a file, settled at the end.
fn midterms_config(folder: &Path, markets: &[String]) -> String {
    let mut config = format!(
        r#"
[pipeline]
name = "midterms"
data_dir = "data"
[sources.settlements]
type = "csv"
path = "{}/settlements.csv"
relation = "settlements"
[sources.settlements.columns]
venue = {{ constant = "polymarket" }}
asset = {{ expr = "market || '/' || outcome" }}
payout = "payout"
event_time = {{ constant = "2022-12-31T00:00:00Z" }}
[views.positions]
op = "avg_cost"
input = "fills"
oversell = "clamp"
settlements = "settlements"
settle = "close"
[sinks.out]
type = "jsonl"
path = "out/"
mode = "final"
"#,
        folder.display()
    );
    for market in markets {
        write!(
            config,
            r#"
[sources.{market}]
type = "csv"
path = "{}/{market}.csv.gz"
relation = "fills"
order = "newest_first"
[sources.{market}.columns]
venue = {{ constant = "polymarket" }}
wallet = "Account"
asset = {{ expr = "'{market}/' || Outcome" }}
side = {{ column = "Type", values = {{ Buy = "buy", Sell = "sell" }} }}
size = "Shares"
notional = "Amount"
event_time = {{ column = "Timestamp", format = "%Y-%m-%d %H:%M:%S" }}
"#,
            folder.display()
        )
        .unwrap();
    }
    config
}

#[test]
fn midterms_sizes_of_zero_are_refused_and_unmatched_sizes_add_up() {
    let Some(folder) = data("polymarket-midterms") else { return };
    let folder = folder.canonicalize().unwrap();
    let mut markets: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .into_string()
                .unwrap()
                .strip_suffix(".csv.gz")
                .map(str::to_owned)
        })
        .collect();
    markets.sort();
    let (mut unmatched, mut n_rows, mut n_zero) = (BTreeMap::new(), 0, 0);
    for market in &markets {
        let rows = csv_rows(&folder.join(format!("{market}.csv.gz")));
        n_rows += rows.len();
        n_zero += rows.iter().filter(|row| parse(&row["Shares"]).is_zero()).count();
        add_unmatched(market, &rows, &mut unmatched);
    }
    assert_eq!((n_rows, n_zero), (15_984, 143));

    let work = Work::new();
    let summary = work.run(&midterms_config(&folder, &markets));
    assert_eq!(summary.reasons, BTreeMap::from([("size_not_positive", 143)]));
    assert_eq!(summary.counts.applied, 15_984 - 143 + 40);
    let refused = work.lines("data/quarantine.jsonl");
    assert_eq!(refused.len(), 143);
    assert!(refused.iter().all(|entry| entry["column"] == "size" && entry["line"].is_number()));

    let mut sum = Exact::zero();
    let rows = work.lines("out/positions.jsonl");
    assert_eq!(rows.len(), unmatched.len());
    for row in &rows {
        let key = (column(row, "wallet").to_owned(), column(row, "asset").to_owned());
        let given = column(row, "unmatched_size");
        assert_eq!(given, text(&unmatched[&key]), "{key:?}");
        sum += parse(given);
    }
    assert_eq!(sum, unmatched.values().sum::<Exact>());
    assert!(!sum.is_zero());
}

/// Adds what the wallets of one market sold beyond what they held.
fn add_unmatched(
    market: &str,
    newest_first: &[CsvRow],
    unmatched: &mut BTreeMap<(String, String), Exact>,
) {
    let mut rows: Vec<&CsvRow> = newest_first.iter().rev().collect();
    rows.sort_by_key(|row| row["Timestamp"].clone());
    let mut held: BTreeMap<(String, String), Exact> = BTreeMap::new();
    for row in rows {
        let size = parse(&row["Shares"]);
        if size.is_zero() {
            continue;
        }
        let account = &row["Account"];
        let wallet =
            if account.starts_with("0x") { account.to_lowercase() } else { account.clone() };
        let key = (wallet, format!("{market}/{}", row["Outcome"]));
        let qty = held.entry(key.clone()).or_default();
        let excess = unmatched.entry(key).or_default();
        if row["Type"] == "Buy" {
            *qty += size;
        } else if size > *qty {
            *excess += size - &*qty;
            *qty = Exact::zero();
        } else {
            *qty -= size;
        }
    }
}
