//! A piece of news in a prediction market: `configs/market-watch.toml`, as it is, over the trades around
//! the announcement of the Nobel peace prize of 2025 (at 09:00 UTC; the winner's price moves from
//! 09:00:50 on).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value as Json;

use super::data;
use crate::program::{Folder, tapeline};

const FILE: &str = "nobel-peace-prize-2025.csv.gz";
/// When the winner's price begins to move, and the half hour before.
const NEWS: &str = "2025-10-10T09:00:50";
const WITHIN_A_MINUTE: &str = "2025-10-10T09:01:50";
const HALF_AN_HOUR_BEFORE: &str = "2025-10-10T08:30:50";

/// The market of each outcome's token.
fn markets(path: &Path) -> BTreeMap<String, String> {
    let file = GzDecoder::new(fs::File::open(path).unwrap());
    let mut rows = csv::Reader::from_reader(file);
    let header = rows.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (asset, title) = (at("asset"), at("title"));
    rows.records()
        .map(|row| row.unwrap())
        .map(|row| (row[asset].into(), row[title].into()))
        .collect()
}

#[test]
fn the_news_is_told_within_a_minute() {
    let Some(data) = data("polymarket-dataapi-trades") else { return };
    let folder = Folder::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(root.join("configs/market-watch.toml"), folder.path("market-watch.toml")).unwrap();
    fs::create_dir(folder.path("demo")).unwrap();
    folder.write("demo/quotes.csv.gz", fs::read(root.join("configs/demo/quotes.csv.gz")).unwrap());
    let path = data.join(FILE);
    let mut command = tapeline();
    command.args(["run", "market-watch.toml"]).env("TRADES", &path).envs([
        ("TRADES_ORDER", "newest_first"),
        ("VENUE", "polymarket"),
        ("ID", "transactionHash"),
        ("TIME", "timestamp"),
        ("TIME_UNIT", "s"),
    ]);
    folder.end(&mut command).with(0);
    let markets = markets(&path);
    let text = |alert: &Json, name: &str| alert[name].as_str().unwrap_or_default().to_owned();
    let alerts = folder.read_json("out/market-watch/alerts.jsonl");
    let unusual = alerts.iter().filter(|alert| text(alert, "rule") == "unusual").map(|alert| {
        let entity: Vec<String> = serde_json::from_str(&text(alert, "entity")).unwrap();
        (text(alert, "time"), markets[&entity[1]].clone())
    });
    let unusual: Vec<(String, String)> = unusual.collect();
    println!("{unusual:#?}");
    let is_told = |(time, market): &(String, String)| {
        market.contains("Machado") && (NEWS..WITHIN_A_MINUTE).contains(&time.as_str())
    };
    assert!(unusual.iter().any(is_told), "the winner's market isn't told");
    let mut before: BTreeMap<&str, usize> = BTreeMap::new();
    for (time, market) in &unusual {
        if (HALF_AN_HOUR_BEFORE..NEWS).contains(&time.as_str()) {
            *before.entry(market).or_default() += 1;
        }
    }
    assert!(before.values().all(|n| *n <= 1), "{before:?}");
}
