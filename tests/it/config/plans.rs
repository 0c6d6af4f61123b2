//! Good configs and what becomes of them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use connectors::source::{From, Order, TimeFormat};
use tapeline::config::plan::Also;
use tapeline::config::{ConfigError, EnginePlan, Purpose, load_with};
use types::event::Cell;
use types::{Decimal, Op, Rounding, Value};

use super::environment;
use super::parts::registry;

pub(crate) const WHOLE: &str = r#"
[pipeline]
name = "whole-1"
workers = 0x04
epoch = { max_events = 1_000 }

[relations.watchlist]
columns = { weight = "number?", wallet = "text", event_time = "time" }
key = ["wallet"]

[sources.fills]
type = "csv"
path = "${TAPES}/fills.csv"
relation = "fills"
order = "newest_first"
on_bad_row = "stop"
lateness = "1h30m"
quote_asset = "USDC"
[sources.fills.columns]
op = { column = "op", values = { "1" = "insert", "-1" = "bust" } }
id = "Seq"
venue = { constant = "v" }
price = { column = "Price", round = "half_even", scale = 6 }
fee = { column = "Fee", optional = true }
event_time = { column = "Time", format = "%Y-%m-%d %H:%M", zone = "+05:30" }

[sources.more]
type = "jsonl"
path = "more.jsonl"
relation = "fills"
identity = ["a", "b"]
[sources.more.columns]
revision = "rev"
price = { pointer = "/data/p" }
market = { file = "stem" }
asset = { expr = "market || '/' || outcome" }
event_time = { column = "ts", unit = "ms" }

[sources.watchlist]
type = "csv"
path = "watchlist.csv"
relation = "watchlist"

# Views stand in any order.
[views.pnl]
op = "mark_to_market"
positions = "positions"
quotes = "quotes"
snapshot = "5m"

[views.positions]
op = "avg_cost"
input = "large"

[views.large]
op = "filter"
input = "fills"
where = "size > 10"

[alerts.big-loss]
view = "pnl"
when = "total_pnl < -1"

[alerts.other]
view = "positions"
when = "qty < 0"

[sinks.some]
type = "jsonl"
path = "out/some"
views = ["positions.breaks", "positions"]

[sinks.all]
type = "jsonl"
path = "out/all"

[[tests]]
name = "a sale"
insert.fills = [
  { wallet = "0xaa", asset = 1, side = "buy", price = "0.50", size = 10, event_time = 2026-01-01T00:00:00Z },
  { wallet = "0xaa", asset = "1", side = "sell", price = 0.7, size = "4", id = "x", seq = 9, event_time = "2026-01-01T00:00:01Z" },
]
bust.fills = [ { wallet = "0xaa", asset = "1", id = "x" } ]
insert.quotes = [ { asset = "1", bid = "1", ask = "2", event_time = "2026-01-01T00:00:00Z" } ]
expect.positions = [ { wallet = "0xAA", qty = "6.0", avg_price = "", n_fills = 2, basis = "known" } ]
also = ["shuffled", "workers_1_2_4"]

[[tests]]
name = "a filter"
expect.large = []
"#;

/// Loads a text as a config of its own folder.
fn load(text: &str, purpose: Purpose) -> Result<EnginePlan, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    fs::write(&path, text).unwrap();
    load_with(&path, &environment, &registry(), purpose)
}

fn whole(purpose: Purpose) -> EnginePlan {
    load(WHOLE, purpose).unwrap_or_else(|error| panic!("{error:?}"))
}

fn emitted(plan: &EnginePlan) -> Vec<&str> {
    plan.plan.emitted_views().map(|view| view.name.as_str()).collect()
}

#[test]
fn the_pipeline_has_its_options_and_defaults() {
    let plan = whole(Purpose::Run);
    let pipeline = &plan.pipeline;
    assert_eq!((pipeline.workers, pipeline.max_events), (4, 1000));
    assert_eq!(pipeline.max_age, Duration::from_millis(100));
    assert_eq!(pipeline.data_dir, plan.base.join(".tapeline/whole-1"));
    assert_eq!((plan.n_views, plan.n_alerts, plan.tests.len()), (3, 2, 2));
    assert!(plan.server.is_none());
}

#[test]
fn relations_and_what_can_be_corrected_are_known() {
    let plan = whole(Purpose::Run);
    let told: Vec<(&str, bool)> =
        plan.plan.relations.iter().map(|r| (r.name.as_str(), r.has_corrections)).collect();
    assert_eq!(told, [("fills", true), ("quotes", false), ("watchlist", false)]);
    let watchlist = &plan.plan.relations[2].schema;
    let names: Vec<&str> = watchlist.columns.iter().map(|c| c.name.as_ref()).collect();
    assert_eq!(names, ["wallet", "weight", "event_time"]);
    assert_eq!(
        (watchlist.n_key, watchlist.time, watchlist.columns[1].nullable),
        (1, Some(2), true)
    );
    let fed: Vec<usize> = plan.sources.iter().map(|source| source.relation).collect();
    assert_eq!(fed, [0, 0, 2]);
    let warned: Vec<&str> = plan.warnings.iter().map(|w| w.message.as_str()).collect();
    assert_eq!(warned, ["no source feeds `quotes`"]);
}

#[test]
fn columns_are_mapped() {
    let plan = whole(Purpose::Run);
    let fills = &plan.sources[0];
    assert!(fills.stops_on_bad_row);
    assert_eq!(fills.lateness_nanos, 5_400_000_000_000);
    let file = &fills.file;
    assert_eq!((file.path.as_str(), file.order), ("/tapes/fills.csv", Order::NewestFirst));
    assert_eq!(file.quote_asset.as_deref(), Some("USDC"));
    let column = |name: &str| file.columns.iter().position(|c| c.name == name).unwrap();
    let mapping = |name: &str| &file.mapping[&column(name)];
    assert!(matches!(&mapping("venue").from, From::Constant(text) if text == "v"));
    assert_eq!((mapping("price").rounding, mapping("price").scale), (Rounding::HalfEven, 6));
    assert!(mapping("fee").optional);
    assert!(matches!(
        &mapping("event_time").time,
        TimeFormat::Strftime { zone: Some(zone), .. } if zone == "+05:30"
    ));
    let keys: Vec<usize> = ["venue", "wallet", "asset", "id"].map(column).to_vec();
    assert_eq!(file.key_columns, keys);
    let values = file.op.as_ref().and_then(|op| op.values.as_ref()).unwrap();
    assert_eq!(values["-1"], "bust");
    // Neither is taken from a source's column of that name.
    assert!(matches!(&mapping("revision").from, From::Constant(text) if text.is_empty()));
    let op = plan.sources[1].file.op.as_ref().map(|op| &op.from);
    assert!(matches!(op, Some(From::Constant(text)) if text == "insert"));
    let more = &plan.sources[1].file;
    assert_eq!(more.identity, ["a", "b"]);
    assert!(matches!(more.mapping[&column("event_time")].time, TimeFormat::Unit(1_000_000)));
    assert!(matches!(more.mapping[&column("market")].from, From::FileStem));
}

#[test]
fn views_stand_after_what_they_read_and_leave_where_someone_wants_them() {
    let plan = whole(Purpose::Run);
    let nodes: Vec<&str> = plan.plan.nodes.iter().map(|node| node.name.as_str()).collect();
    let order = ["large", "positions", "pnl", "alerts.big-loss", "alerts.other", "alerts"];
    assert_eq!(nodes, order);
    let all =
        ["large", "positions", "positions.errors", "positions.breaks", "pnl", "pnl.now", "alerts"];
    assert_eq!(emitted(&plan), all);
    let views = |sink: usize| -> Vec<&str> {
        plan.sinks[sink].views.iter().map(|view| emitted(&plan)[*view]).collect()
    };
    assert_eq!(views(0), ["positions.breaks", "positions"]);
    assert_eq!(views(1), all);
    assert!(plan.keeps_id_texts);
}

#[test]
fn only_what_is_wanted_leaves_the_dataflow() {
    let text = r#"
        pipeline.name = "x"
        sources.fills = { type = "csv", path = "f.csv", relation = "fills" }
        views.positions = { op = "avg_cost", input = "fills" }
    "#;
    let plan = load(text, Purpose::Run).unwrap();
    assert_eq!(emitted(&plan), [""; 0]);
    assert!(!plan.keeps_id_texts);
    let served = format!("{text}\n[server]\norigins = [\"http://localhost:3000\"]\n");
    let plan = load(&served, Purpose::Run).unwrap();
    let server = plan.server.as_ref().unwrap();
    assert_eq!(server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(server.retain_nanos, 86_400_000_000_000);
    assert_eq!(server.origins, ["http://localhost:3000"]);
    assert_eq!(emitted(&plan), ["positions", "positions.errors", "positions.breaks"]);
    assert_eq!(server.views, [0, 1, 2]);
    let tested = format!("{text}\n[[tests]]\nname = \"t\"\nexpect.positions.breaks = []\n");
    assert_eq!(emitted(&load(&tested, Purpose::Test).unwrap()), ["positions.breaks"]);
    assert_eq!(emitted(&load(&tested, Purpose::Run).unwrap()), [""; 0]);
}

#[test]
fn tests_become_drafts_and_values() {
    let plan = whole(Purpose::Test);
    let test = &plan.tests[0];
    assert_eq!(
        (test.name.as_str(), &*test.also),
        ("a sale", &[Also::Shuffled, Also::Workers124][..])
    );
    let relations: Vec<usize> = test.inserts.iter().map(|input| input.relation).collect();
    assert_eq!(relations, [0, 0, 1]);
    let columns = &plan.sources[0].file.columns;
    let column = |name: &str| columns.iter().position(|c| c.name == name).unwrap();
    let [first, second] = &*test.inserts[0].drafts else { panic!("two rows") };
    assert_eq!(first.text(column("venue")), Some("test"));
    assert_eq!(first.text(column("asset")), Some("1"));
    assert_eq!(first.text(column("id")), Some("1"));
    assert_eq!(first.cells[column("size")], Cell::Nano(10_000_000_000));
    assert_eq!((first.cells[column("seq")], first.seq_is_mapped), (Cell::Count(1), false));
    assert_eq!((second.cells[column("seq")], second.seq_is_mapped), (Cell::Count(9), true));
    assert_eq!(second.text(column("id")), Some("x"));
    assert_eq!(second.cells[column("price")], Cell::Nano(700_000_000));
    let bust = &test.inserts[1].drafts[0];
    assert_eq!((bust.op, bust.text(column("id"))), (Op::Bust, Some("x")));
    let expect = &test.expect[0];
    let view = &plan.plan.views[expect.view];
    let row: Vec<(&str, Value)> = expect.rows[0]
        .iter()
        .map(|(column, value)| (view.schema.columns[*column].name.as_ref(), value.clone()))
        .collect();
    let six = Value::Number(Decimal::parse(b"6").unwrap());
    assert_eq!(
        row,
        [
            ("wallet", Value::Text("0xaa".into())),
            ("qty", six),
            ("avg_price", Value::Null),
            ("n_fills", Value::from(2u64)),
            ("basis", Value::word("known")),
        ]
    );
}

#[test]
fn a_test_may_correct_what_a_run_only_inserts() {
    let text = r#"
        pipeline.name = "x"
        sources.fills = { type = "csv", path = "f.csv", relation = "fills" }
        [[tests]]
        name = "t"
        bust.fills = [ { wallet = "a", asset = "b", id = "1" } ]
        expect.fills = []
    "#;
    let corrects = |purpose| load(text, purpose).unwrap().plan.relations[0].has_corrections;
    assert!(corrects(Purpose::Test) && !corrects(Purpose::Run));
}

#[test]
fn what_cannot_be_read_is_told_with_its_path() {
    let missing = load_with(Path::new("/none/c.toml"), &environment, &registry(), Purpose::Run);
    let told = missing.err().map(|error| error.to_string());
    assert_eq!(told.as_deref(), Some("reading config /none/c.toml"));
    let empty = tempfile::tempdir().unwrap();
    let none = load_with(empty.path(), &environment, &registry(), Purpose::Run);
    assert!(matches!(none, Err(ConfigError::NoFile { .. })));
}
