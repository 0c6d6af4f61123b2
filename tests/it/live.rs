//! P&L as of the current epoch from outside: over REST and by `tapeline subscribe --live`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value as Json, json};

use crate::program::{Folder, get, tapeline};

const CONFIG: &str = r#"
[pipeline]
name = "live"
data_dir = "state"
epoch = { max_events = 1 }

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
venue = { constant = "v" }

[sources.quotes]
type = "csv"
path = "quotes.csv"
relation = "quotes"
[sources.quotes.columns]
venue = { constant = "v" }

[views.positions]
op = "avg_cost"
input = "fills"

[views.pnl]
op = "mark_to_market"
positions = "positions"
quotes = "quotes"
snapshot = "1m"

[server]
listen = "127.0.0.1:0"

[sinks.final]
type = "jsonl"
path = "out"
"#;

const FILLS: &str = "id,wallet,asset,side,price,size,fee,event_time\n\
    1,ann,A,buy,0.4,10,0.01,2026-01-01T00:00:01Z\n\
    2,ann,B,buy,0.2,5,0,2026-01-01T00:00:02Z\n\
    3,bob,A,sell,0.5,4,0,2026-01-01T00:00:03Z\n\
    4,ann,B,sell,0.3,5,0,2026-01-01T00:00:04Z\n";

const QUOTES: &str = "asset,bid,ask,event_time\n\
    A,0.50,0.53,2026-01-01T00:00:05Z\n";

/// A run that serves, with its address.
struct Run {
    child: Child,
    address: String,
}

impl Run {
    fn start(folder: &Folder) -> Self {
        let mut command = tapeline();
        command.args(["run", "c.toml", "--serve"]).current_dir(folder.path("."));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut address = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(found) = line.strip_prefix("listening on http://") {
                found.clone_into(&mut address);
            }
            if line.starts_with("all sources have ended") {
                break;
            }
        }
        assert!(!address.is_empty());
        Self { child, address }
    }

    fn get(&self, path: &str) -> (String, Json) {
        get(&self.address, path)
    }

    fn subscribe(&self, arguments: &[&str]) -> (Option<i32>, Vec<Json>, String) {
        let mut command: Command = tapeline();
        let output = command.args(["subscribe", &self.address]).args(arguments).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code(), lines, String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn pnl_as_of_now_is_served() {
    let folder = Folder::new();
    folder.write("c.toml", CONFIG);
    folder.write("fills.csv", FILLS);
    folder.write("quotes.csv", QUOTES);
    let run = Run::start(&folder);
    // The mark of A is 0.515: ann's 10 cost 4, bob's 4 were sold short for 2; ann made 0.5 with B.
    let ann = json!({
        "wallet": "ann", "realized_pnl": "0.5", "unrealized_pnl": "1.15", "fees": "0.01",
        "funding": "0", "total_pnl": "1.64", "exposure": "5.15", "n_positions": "1", "n_unmarked": "0",
    });
    let bob = json!({
        "wallet": "bob", "realized_pnl": "0", "unrealized_pnl": "-0.06", "fees": "0",
        "funding": "0", "total_pnl": "-0.06", "exposure": "2.06", "n_positions": "1",
        "n_unmarked": "0",
    });
    let (status, page) = run.get("/v1/views/pnl?live=true&limit=1");
    assert_eq!((status.as_str(), &page["rows"]), ("200", &json!([ann])));
    let next = page["next"].as_str().unwrap();
    let (_, page) = run.get(&format!("/v1/views/pnl?live=true&cursor={next}"));
    assert_eq!((&page["rows"], &page["next"]), (&json!([bob]), &Json::Null));
    // A place among live rows isn't one among snapshots.
    assert_eq!(run.get(&format!("/v1/views/pnl?cursor={next}")).1["code"], "bad_cursor");
    assert_eq!(run.get("/v1/views/pnl?live=1").1["code"], "bad_request");

    let (code, lines, _) = run.subscribe(&["pnl", "--live", "--once"]);
    let rows: Vec<&Json> = lines.iter().map(|line| &line["row"]).collect();
    assert_eq!((code, rows), (Some(0), vec![&ann, &bob]));
    let (_, lines, _) = run.subscribe(&["pnl.now", "--live", "--once"]);
    let assets: Vec<&Json> = lines.iter().map(|line| &line["row"]["mark"]).collect();
    assert_eq!(assets, ["0.515", "0.515"], "flat positions aren't there");
    let (_, lines, _) = run.subscribe(&["pnl.marks", "--once"]);
    assert_eq!(lines[0]["row"]["long_mark"], "0.515");

    // Other views are as of the current epoch already, and say so.
    let (status, problem) = run.get("/v1/views/positions?live=true");
    assert_eq!((status.as_str(), &problem["code"]), ("400", &json!("not_live")));
    let (code, _, told) = run.subscribe(&["positions", "--live", "--once"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("views with `live`: pnl, pnl.now"), "{told}");
    // Marks are written where they are named alone.
    assert!(folder.path("out/pnl.jsonl").exists() && !folder.path("out/pnl.marks.jsonl").exists());
}
