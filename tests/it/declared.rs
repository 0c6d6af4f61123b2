//! Relations that a config declares, read from files.

use std::fs;

use crate::work::{Work, column};

/// A run over these lines, with more columns of the relation and what the filter asks.
fn run(columns: &str, asks: &str, lines: &[&str]) -> (Work, tapeline::engine::Summary) {
    let work = Work::new();
    fs::write(work.path().join("rows.csv"), lines.join("\n")).unwrap();
    let summary = work.run(&format!(
        r#"
        pipeline.name = "declared"
        [relations.holdings]
        key = ["slot"]
        columns = {{ slot = "count", weight = "number", event_time = "time", {columns} }}
        [sources.rows]
        type = "csv"
        path = "rows.csv"
        relation = "holdings"
        [views.asked]
        op = "filter"
        input = "holdings"
        where = "{asks}"
        [sinks.out]
        type = "jsonl"
        path = "out"
        "#
    ));
    (work, summary)
}

/// Expressions take what is written of a wallet as relations keep it, so rows must keep it so.
#[test]
fn hex_wallets_are_kept_in_lower_case_in_each_column_of_wallets() {
    let (work, _) = run(
        "wallet = \"text?\", host_wallet = \"text?\", host = \"text?\"",
        "host_wallet = '0xAB' and wallet = '0xCd' and host = '0xAB'",
        &[
            "slot,weight,event_time,wallet,host_wallet,host",
            "1,2,2026-01-05T00:00:00Z,0xCD,0xaB,0xAB",
            "2,2,2026-01-05T00:00:00Z,0xCD,0xaB,0xab",
        ],
    );
    let rows = work.lines("out/asked.jsonl");
    assert_eq!(rows.len(), 1);
    let names = ["wallet", "host_wallet", "host"].map(|name| column(&rows[0], name));
    assert_eq!(names, ["0xcd", "0xab", "0xAB"]);
}
