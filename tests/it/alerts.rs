//! Lives of alerts as texts: an epoch a fill, and what changes in the view `alerts` with each.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::program::Folder;

const CONFIG: &str = r#"
[pipeline]
name = "alerts"
data_dir = "state"
epoch = { max_events = 1 }

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
op = "op"
id = "id"
venue = { constant = "v" }
wallet = { constant = "ann" }
asset = { constant = "A" }
side = { constant = "buy" }
size = { constant = "1" }
price = "price"
event_time = "event_time"

[alerts.dear]
view = "fills"
when = "price > 10"
entity = ["asset"]
severity_when = { high = "price > 20" }
message = "{asset} at {price}"
RULE

[sinks.out]
type = "jsonl"
mode = "changes"
path = "out"
views = ["alerts"]
"#;

/// What a rule tells of fills: `(op and id, second, price)`. A line a change: the fill's number, what
/// becomes of the alert of which second, its severity, its text, and when it was resolved; of one that
/// was taken back, as it stood.
fn story(rule: &str, fills: &[(&str, u64, &str)]) -> String {
    let folder = Folder::new();
    folder.write("c.toml", CONFIG.replace("RULE", rule));
    let mut csv = "op,id,price,event_time\n".to_owned();
    for (op, second, price) in fills {
        let (op, id) = op.split_once(' ').unwrap();
        let time = format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
        writeln!(csv, "{op},{id},{price},{time}").unwrap();
    }
    folder.write("fills.csv", csv);
    folder.run(&["run", "c.toml"]).with(0);
    let mut told = String::new();
    for change in folder.read_json("out/alerts.jsonl") {
        let row = &change["row"];
        if change["op"] == "del" {
            for (column, value) in change["key"].as_object().unwrap() {
                assert_eq!(&row[column], value, "{change}");
            }
        }
        assert_eq!(change["op"] == "del", row["state"] == "retracted", "{change}");
        let text = |value: &Json| value.as_str().unwrap_or("").to_owned();
        let second = |value: &Json| {
            let time = text(value);
            let part = |from: usize| time.get(from..from + 2)?.parse::<u64>().ok();
            part(14).zip(part(17)).map(|(minutes, seconds)| minutes * 60 + seconds)
        };
        let at = second(&row["time"]).unwrap();
        let end = second(&row["resolved_at"]).map(|end| format!(", to {end}")).unwrap_or_default();
        let back = if change["op"] == "del" { "retracted " } else { "" };
        let said = format!("{back}{} {}{end}", text(&row["severity"]), text(&row["message"]));
        writeln!(told, "{}: {at} {said}", text(&change["epoch"])).unwrap();
    }
    told
}

#[test]
fn a_condition_fires_once_and_resolves() {
    let told = story("", &[("insert 1", 1, "11"), ("insert 2", 2, "12"), ("insert 3", 3, "9")]);
    assert_eq!(told, "1: 1 medium A at 11\n3: 1 medium A at 11, to 3\n");
}

#[test]
fn flapping_inside_the_cooldown_is_one_alert() {
    let flaps: Vec<(String, u64, &str)> =
        (1..=10).map(|n| (format!("insert {n}"), n, if n % 2 == 1 { "11" } else { "9" })).collect();
    let mut fills: Vec<(&str, u64, &str)> =
        flaps.iter().map(|(op, second, price)| (op.as_str(), *second, *price)).collect();
    fills.push(("insert 11", 61, "21"));
    let told = story("cooldown = \"1m\"", &fills);
    assert_eq!(told, "1: 1 medium A at 11\n2: 1 medium A at 11, to 2\n11: 61 high A at 21\n");
}

#[test]
fn with_hysteresis_what_flaps_stays_open() {
    let fills = [
        ("insert 1", 1, "11"),
        ("insert 2", 2, "9"),
        ("insert 3", 3, "12"),
        ("insert 4", 4, "7"),
        ("insert 5", 5, "11"),
    ];
    let told = story("resolve_when = \"price < 8\"", &fills);
    assert_eq!(told, "1: 1 medium A at 11\n4: 1 medium A at 11, to 4\n5: 5 medium A at 11\n");
}

#[test]
fn a_condition_must_hold() {
    let fills = [
        ("insert 1", 0, "11"),
        ("insert 2", 29, "12"),
        ("insert 3", 30, "13"),
        ("insert 4", 40, "9"),
        ("insert 5", 50, "14"),
        ("insert 6", 79, "9"),
        ("insert 7", 80, "9"),
    ];
    let told = story("for = \"30s\"", &fills);
    assert_eq!(told, "3: 30 medium A at 13\n4: 30 medium A at 13, to 40\n");
}

#[test]
fn late_and_busted_fills_change_what_they_must() {
    let rule = "for = \"30s\"\nresolve_when = \"price < 8\"\ncooldown = \"2m\"";
    let fills = [
        ("insert 1", 0, "11"),
        ("insert 2", 20, "12"),
        ("insert 3", 31, "13"),
        ("insert 4", 40, "9"),
        ("insert 5", 45, "11"),
        ("insert 6", 80, "15"),
        ("insert 7", 90, "7"),
        ("insert 8", 150, "12"),
        ("insert 9", 185, "25"),
        // Breaks what held from second 0 to 31: the alerts of 31 and, by the cooldown, of 185 go.
        ("insert 10", 10, "5"),
        // And come back.
        ("bust 10", 10, "5"),
    ];
    let expected = "3: 31 medium A at 13\n7: 31 medium A at 13, to 90\n9: 185 high A at 25\n\
        10: 31 retracted medium A at 13, to 90\n10: 80 medium A at 15, to 90\n\
        10: 185 retracted high A at 25\n\
        11: 31 medium A at 13, to 90\n11: 80 retracted medium A at 15, to 90\n11: 185 high A at 25\n";
    assert_eq!(story(rule, &fills), expected);
}

const ERRORS: &str = r#"
entity = ["asset"]

[views.positions]
op = "avg_cost"
input = "fills"
[views.bars]
op = "rollup"
input = "fills"
sizes = ["1m"]

[alerts.held]
view = "positions"
when = "avg_price * avg_price * avg_price * avg_price > 1"
every = "1m"
[alerts.high]
view = "bars"
when = "high * high * high * high > 1"
"#;

/// What a rule can't compute of fills, of positions at steps and of final bars, for as long as it stands.
#[test]
fn what_a_rule_can_not_compute_stands_in_its_errors() {
    let folder = Folder::new();
    let config =
        CONFIG.replace("when = \"price > 10\"", "when = \"price * price * price * price > 1\"");
    let config = config.replace("entity = [\"asset\"]\n", "").replace("RULE", ERRORS);
    // Where nothing says otherwise they are written.
    folder.write("c.toml", config.replace("views = [\"alerts\"]", ""));
    let much = "900000.123456789";
    let fills = [
        ("insert", 1, 10, "2"),
        ("insert", 2, 20, much),
        ("insert", 3, 70, "2"),
        ("bust", 2, 20, much),
        ("insert", 4, 130, "2"),
    ];
    let mut csv = "op,id,price,event_time\n".to_owned();
    for (op, id, second, price) in fills {
        let time = format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60);
        writeln!(csv, "{op},{id},{price},{time}").unwrap();
    }
    folder.write("fills.csv", csv);
    folder.run(&["run", "c.toml"]).with(0);
    let of = |rule: &str, epochs: [u64; 2], key: &str| {
        let told = folder.read(&format!("out/alerts.{rule}.errors.jsonl"));
        let [put, del] = epochs;
        let reason = r#""reason":"overflow of when""#;
        let put = format!(r#"{{"epoch":"{put}","op":"put","row":{{{key},{reason}}}}}"#);
        let del = format!(r#"{{"epoch":"{del}","op":"del","key":{{{key}}}}}"#);
        assert_eq!(told, format!("{put}\n{del}\n"), "{rule}");
    };
    let minute = |minute: u64| format!("2026-01-01T00:0{minute}:00.000000000Z");
    of("dear", [2, 4], r#""venue":"v","wallet":"ann","asset":"A","id":"2""#);
    let position = r#""venue":"v","wallet":"ann","asset":"A","time":"#;
    of("held", [3, 4], &format!("{position}\"{}\"", minute(1)));
    let bar = r#""venue":"v","asset":"A","size":"1m","bucket":"#;
    of("high", [3, 4], &format!("{bar}\"{}\"", minute(0)));
}
