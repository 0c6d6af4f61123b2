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

#[test]
fn the_place_of_a_row_isnt_its_content() {
    for columns in ["seq = \"count?\"", "id = \"text?\""] {
        let (work, summary) = run(
            columns,
            "weight > 0",
            &[
                "slot,weight,event_time",
                "1,2,2026-01-05T00:00:00Z",
                "2,2,2026-01-05T00:00:01Z",
                "1,2,2026-01-05T00:00:00Z",
                "2,3,2026-01-05T00:00:01Z",
            ],
        );
        let counts = summary.counts;
        assert_eq!((counts.applied, counts.duplicate, counts.quarantined), (2, 1, 1), "{columns}");
        assert_eq!(work.lines("out/asked.jsonl").len(), 2);
    }
}

#[test]
fn a_seq_that_is_mapped_is_content() {
    let (_, summary) = run(
        "seq = \"count?\"",
        "weight > 0",
        &[
            "slot,weight,event_time,seq",
            "1,2,2026-01-05T00:00:00Z,1",
            "1,2,2026-01-05T00:00:00Z,1",
            "1,2,2026-01-05T00:00:00Z,2",
        ],
    );
    let counts = summary.counts;
    assert_eq!((counts.applied, counts.duplicate, counts.quarantined), (1, 1, 1));
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
