//! Real data that isn't ours to ship: read where it lies beside the workspace, left out elsewhere.

use std::path::PathBuf;

use super::*;
use crate::source::TimeFormat;

/// The folder of the data, or why the test is left out.
fn data() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("TAPELINE_SHARED").map_or_else(beside, PathBuf::from);
    let data = shared.join("data");
    if data.is_dir() {
        return Some(data);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} isn't there", data.display());
    println!("left out: {} isn't there", data.display());
    None
}

fn strftime(name: &str, format: &str, zone: Option<&str>) -> Mapping {
    let zone = zone.map(str::to_owned);
    Mapping { time: TimeFormat::Strftime { format: format.to_owned(), zone }, ..column(name) }
}

fn values(name: &str, pairs: [(&str, &str); 2]) -> Mapping {
    let values = pairs.map(|(a, b)| (a.to_owned(), b.to_owned()));
    Mapping { values: Some(values.into()), ..column(name) }
}

#[test]
fn hyperliquid_fills_are_all_readable() {
    let Some(data) = data() else { return };
    let mut source = fills(&data, "hyperliquid-fills/*.csv.gz");
    set(&mut source, "venue", constant("hyperliquid"));
    for (name, from) in [
        ("wallet", "Account"),
        ("asset", "Coin"),
        ("id", "Seq"),
        ("seq", "Seq"),
        ("price", "Execution Price"),
        ("size", "Size Tokens"),
        ("fee", "Fee"),
        ("start_qty", "Start Position"),
    ] {
        set(&mut source, name, column(from));
    }
    set(&mut source, "side", values("Side", [("BUY", "buy"), ("SELL", "sell")]));
    let time = strftime("Timestamp IST", "%d-%m-%Y %H:%M", Some("+05:30"));
    set(&mut source, "event_time", time);
    let records = rows(&source);
    assert_eq!(records.len(), 10_603);
    assert_eq!(records.iter().filter(|r| r.reject.is_some()).count(), 0);
    assert!(records.iter().all(|r| r.draft.seq_is_mapped));
}

#[test]
fn midterms_are_read_backwards_with_expressions() {
    let Some(data) = data() else { return };
    let mut source = fills(&data, "polymarket-midterms/*.csv.gz");
    source.order = Order::NewestFirst;
    set(&mut source, "venue", constant("polymarket"));
    set(&mut source, "wallet", column("Account"));
    set(&mut source, "market", Mapping::plain(From::FileStem));
    set(&mut source, "asset", Mapping::plain(From::Expr("Type || '/' || Outcome".to_owned())));
    set(&mut source, "side", values("Type", [("Buy", "buy"), ("Sell", "sell")]));
    set(&mut source, "size", column("Shares"));
    set(&mut source, "notional", column("Amount"));
    set(&mut source, "event_time", strftime("Timestamp", "%Y-%m-%d %H:%M:%S", None));
    let streams = open(&source).unwrap();
    assert_eq!(streams.len(), 20);
    let (mut n, mut n_zero) = (0, 0);
    for mut stream in streams {
        let (records, error) = drain(stream.as_mut());
        assert!(error.is_none());
        let last = records.last().unwrap();
        assert_eq!(last.row, 1, "the file's first row comes last");
        let stem = stream.path().rsplit('/').next().unwrap().replace(".csv.gz", "");
        assert_eq!(shown(&source, last, "market"), stem);
        assert!(records.iter().all(|r| r.reject.is_none()));
        n += records.len();
        n_zero += records.iter().filter(|r| shown(&source, r, "size") == "0").count();
    }
    assert_eq!((n, n_zero), (15_984, 143));
}

#[test]
fn trades_of_a_capture_are_read_from_json() {
    let Some(data) = data() else { return };
    let path = "polymarket-clob-capture/btc_eth_5m_20260514.jsonl.gz";
    let mut source = source_of(RelationKind::Trades, &data, path);
    set(&mut source, "venue", constant("polymarket"));
    set(&mut source, "asset", column("token_id"));
    set(&mut source, "id", column("trade_seq"));
    set(&mut source, "side", values("side", [("BUY", "buy"), ("SELL", "sell")]));
    let time = TimeFormat::Unit(1_000_000);
    set(&mut source, "event_time", Mapping { time, ..column("exchange_timestamp") });
    let records = rows(&source);
    let n_good = records.iter().filter(|r| r.reject.is_none()).count();
    // The others are a header and samples, which have no such columns.
    assert_eq!((records.len(), n_good), (49_932, 28_375));
}

#[test]
fn records_of_several_lines_are_one_row() {
    let Some(data) = data() else { return };
    let mut source = fills(&data, "polymarket-markets/top_election_markets.csv.gz");
    constants_but(&mut source, &[]);
    set(&mut source, "market", column("slug"));
    // The file's own column of that name is a number of dollars.
    set(&mut source, "liquidity", constant("maker"));
    let records = rows(&source);
    assert_eq!(records.len(), 500);
    assert!(records.iter().all(|r| r.reject.is_none()));
    assert!(records.last().unwrap().line > 3_000);
}
