//! The verbs from outside: what they print, where, and how they end.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::program::{Ended, Folder, tapeline};

const CONFIG: &str = r#"
[pipeline]
name = "tested"

[sources.fills]
type = "csv"
path = "nothing.csv"
relation = "fills"
[sources.fills.columns]
op = { column = "op", optional = true }
id = "id"

[views.positions]
op = "avg_cost"
input = "fills"

[[tests]]
name = "a sale keeps the average cost"
insert.fills = [
    { wallet = "ann", asset = "B", side = "buy", price = "0.5", size = "10", event_time = "2026-01-01T00:00:00Z" },
    { wallet = "ann", asset = "B", side = "sell", price = "0.7", size = "4", event_time = "2026-01-01T00:00:01Z" },
]
expect.positions = [ { wallet = "ann", qty = "6", avg_price = "0.5", realized_pnl = "0.8" } ]
also = ["shuffled", "one_event_per_epoch", "workers_1_2_4"]
"#;

/// Tests that must fail, each with words of what is told.
const FAILING: [(&str, &str, &[&str]); 4] = [
    (
        "another value",
        r#"expect.positions = [ { wallet = "ann", qty = "3" } ]
        also = ["shuffled"]"#,
        &[
            "as written, shuffled with seeds 1 2 3 4 5 6 7 8:",
            r#"expected   {"wallet":"ann","qty":"3"}"#,
            r#"qty: expected "3", found "10""#,
        ],
    ),
    (
        "a row too many",
        "expect.positions = []",
        &["positions: 1 rows, expected 0 at", r#"unexpected {"venue":"test","wallet":"ann""#],
    ),
    (
        "a row too few",
        r#"expect.positions = [ { wallet = "ann" }, { wallet = "ann" } ]"#,
        &["positions: 1 rows, expected 2 at", r#"expected   {"wallet":"ann"}"#],
    ),
    (
        "a refused row",
        r#"insert.fills = [
            { id = "7", wallet = "ann", asset = "B", side = "buy", price = "1", size = "10", event_time = "2026-01-01T00:00:00Z" },
            { id = "7", wallet = "ann", asset = "B", side = "buy", price = "2", size = "10", event_time = "2026-01-01T00:00:00Z" },
        ]
        expect.positions = [ { wallet = "ann", cost = "10" } ]"#,
        &["row 2 of the test is refused: identity_conflict"],
    ),
];

const INSERT: &str = r#"insert.fills = [ { wallet = "ann", asset = "B", side = "buy", price = "0.5", size = "10", event_time = "2026-01-01T00:00:00Z" } ]"#;

#[test]
fn a_configs_own_tests_hold_or_say_what_differs() {
    let folder = Folder::new();
    folder.write("good.toml", CONFIG);
    let ways = "as written, shuffled x8, one event per epoch, workers 1 2 4";
    let good = folder.run(&["test", "good.toml"]).with(0);
    let ok = format!("ok   good.toml: a sale keeps the average cost ({ways})\n");
    assert_eq!(good.out, format!("{ok}1 tests: 1 ok, 0 failed\n"));
    assert_eq!(good.err, "");

    let mut text = CONFIG.to_owned();
    for (name, rest, _) in FAILING {
        let insert = if rest.contains("insert") { "" } else { INSERT };
        writeln!(text, "\n[[tests]]\nname = \"{name}\"\n{insert}\n{rest}").unwrap();
    }
    folder.write("bad.toml", text);
    let bad = folder.run(&["test", "good.toml", "bad.toml"]).with(1);
    assert!(bad.out.ends_with("6 tests: 2 ok, 4 failed\n"), "{}", bad.out);
    assert!(bad.err.contains("4 of 6 tests failed"), "{}", bad.err);
    for (name, _, words) in FAILING {
        let found = bad.out.split("FAIL bad.toml:").find(|part| {
            part.lines().next().is_some_and(|line| line.ends_with(&format!(": {name}")))
        });
        let told = found.unwrap_or_else(|| panic!("{name} isn't told: {}", bad.out));
        for word in words {
            assert!(told.contains(word), "{name}: `{word}` isn't told: {told}");
        }
    }

    let json = folder.run(&["test", "bad.toml", "--format", "json"]).with(1);
    let lines: Vec<serde_json::Value> =
        json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, tests) = lines.split_last().unwrap();
    assert_eq!((&summary["tests"], &summary["failed"]), (&5.into(), &4.into()));
    assert!(tests.iter().all(|test| test["ok"] == test["failures"].as_array().unwrap().is_empty()));
    assert_eq!(tests[0]["ways"], ways);
}

#[test]
fn a_config_with_problems_doesnt_hide_the_tests_of_others() {
    let folder = Folder::new();
    folder.write("good.toml", CONFIG);
    folder.write("wrong.toml", CONFIG.replace("avg_cost", "avg_coast"));
    let both = folder.run(&["test", "wrong.toml", "good.toml", "missing.toml"]).with(2);
    assert!(both.out.contains("ok   good.toml"), "{}", both.out);
    both.says(&["unknown_operator", "wrong.toml", "missing.toml"]);
    assert_eq!(folder.run(&["test", "wrong.toml"]).with(2).out, "");
    let (head, _) = CONFIG.split_once("[[tests]]").unwrap();
    folder.write("none.toml", head);
    folder.run(&["test", "none.toml"]).with(0).says(&["none.toml: no tests"]);
}

#[test]
fn the_configs_of_this_repository_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut configs: Vec<_> = fs::read_dir(root.join("configs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    configs.sort();
    assert!(!configs.is_empty());
    for verb in ["validate", "test"] {
        let told = Ended::from(tapeline().arg(verb).args(&configs).output().unwrap()).with(0);
        for config in &configs {
            let config = config.display().to_string();
            assert!(told.out.contains(&config), "{verb}: nothing of {config}: {}", told.out);
        }
    }
}

#[test]
fn each_verb_has_help_with_an_example() {
    let folder = Folder::new();
    let all = folder.run(&["--help"]).with(0).out;
    let (_, verbs) = all.split_once("Commands:\n").unwrap();
    let verbs: Vec<&str> = verbs
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    for expected in ["run", "validate", "test", "list", "subscribe"] {
        assert!(verbs.contains(&expected), "{expected} isn't among {verbs:?}");
    }
    for verb in verbs {
        let help = folder.run(&[verb, "--help"]).with(0).out;
        assert!(help.contains("Examples:\n"), "{verb}: {help}");
        assert!(help.contains(&format!("  tapeline {verb} ")), "{verb}: {help}");
    }
    folder.run(&["run"]).with(2).says(&["Usage: tapeline run"]);
    folder.run(&["fly"]).with(2).says(&["unrecognized subcommand 'fly'"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::new();
    folder.write("good.toml", CONFIG.replace(", optional = true", ""));
    folder.write("nothing.csv", "wallet,asset,id,op,side,price,size,venue,event_time\n");
    for arguments in [
        &["run", "good.toml"][..],
        &["run", "good.toml", "--format", "json"],
        &["validate", "good.toml"],
        &["test", "good.toml"],
        &["list"],
        &["--help"],
    ] {
        // The pipe's other end is closed before the program starts, as `| head -n 0` may do.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = tapeline();
        let ended = folder.end(command.args(arguments).stdout(Stdio::from(writer))).with(0);
        assert!(!ended.err.contains("panicked"), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn quarantine_is_listed_shown_and_dropped() {
    let folder = Folder::new();
    let config = CONFIG.replace("nothing.csv", "fills.csv")
        + "\n[sinks.out]\ntype = \"jsonl\"\npath = \"out\"\n";
    folder.write("c.toml", config);
    let none = folder.run(&["quarantine", "list", "c.toml"]).with(0);
    assert_eq!(none.out, "no rows in quarantine\n");
    folder.write(
        "fills.csv",
        "op,id,venue,wallet,asset,side,price,size,event_time\n\
         ,1,v,ann,B,buy,0.5,10,2026-01-01T00:00:00Z\n\
         ,2,v,ann,B,buy,much,10,2026-01-01T00:00:00Z\n\
         ,3,v,ann,B,keep,0.5,10,2026-01-01T00:00:00Z\n\
         ,4,v,ann,B,buy,less,10,2026-01-01T00:00:00Z\n",
    );
    folder.run(&["run", "c.toml"]).with(0);
    let list = folder.run(&["quarantine", "list", "c.toml", "--limit", "2"]).with(0);
    for words in ["fills   not_a_number  2", "fills   unknown_side  1", "fills.csv:3", "and 1 more"]
    {
        let squeezed: Vec<&str> = list.out.split_whitespace().collect();
        let wanted: Vec<&str> = words.split_whitespace().collect();
        assert!(squeezed.windows(wanted.len()).any(|at| at == wanted), "{words}: {}", list.out);
    }
    let arguments =
        ["quarantine", "list", "c.toml", "--reason", "not_a_number", "--format", "json"];
    let lines = folder.run(&arguments).with(0);
    let rows: Vec<serde_json::Value> =
        lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[1]["number"], &rows[1]["line"]), (&3.into(), &5.into()));
    let shown = folder.run(&["quarantine", "show", "c.toml", "2"]).with(0);
    assert!(shown.out.contains("3,v,ann,B,keep,0.5,10"), "{}", shown.out);
    let missing = folder.run(&["quarantine", "show", "c.toml", "9"]).with(1);
    missing.says(&["there is no row 9", "holds 3"]);
    folder.run(&["quarantine", "drop", "c.toml"]).with(0);
    assert!(!folder.path(".tapeline/tested/quarantine.jsonl").exists());
}

/// The newest quote of each asset is one row of a key, so that any sink holds it.
#[test]
fn the_newest_quotes_can_be_written() {
    let folder = Folder::new();
    let quote = |asset: &str, bid: u8, second: u8| {
        format!("x,{asset},{bid},{},2026-01-01T00:00:0{second}Z\n", bid + 1)
    };
    let quotes = [quote("A", 1, 0), quote("B", 5, 1), quote("A", 3, 2)].concat();
    folder.write("quotes.csv", format!("venue,asset,bid,ask,event_time\n{quotes}"));
    for by in ["", "by = [\"venue\", \"asset\"]", "by = [\"asset\"]"] {
        let config = format!(
            "[pipeline]\nname = \"n\"\n[sources.quotes]\ntype = \"csv\"\npath = \"quotes.csv\"\n\
             relation = \"quotes\"\n[views.book]\nop = \"latest\"\ninput = \"quotes\"\n{by}\n\
             [sinks.files]\ntype = \"jsonl\"\npath = \"out\"\n[sinks.changes]\ntype = \"jsonl\"\n\
             path = \"changes\"\nmode = \"changes\"\n[sinks.parquet]\ntype = \"parquet\"\npath = \"parquet\"\n"
        );
        folder.write("c.toml", config);
        folder.run(&["run", "--fresh", "c.toml"]).with(0);
        let rows = folder.read_json("out/book.jsonl");
        let told: Vec<_> = rows.iter().map(|row| (&row["asset"], &row["bid"])).collect();
        assert_eq!(told, [(&"A".into(), &"3".into()), (&"B".into(), &"5".into())], "{by}");
    }
}
