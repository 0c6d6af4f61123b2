//! ClickHouse is away for a minute, while the program runs under a ceiling of memory.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::process::Command;
use std::time::Duration;

use tapeline::env::Stopwatch;
#[cfg(feature = "sabotage")]
use types::sabotage::Safeguard;

use super::ceiling::{Ceiling, peak};
use super::dice::Dice;
use super::house::House;
use super::job::{Running, wanted};
use crate::program::{Folder, tapeline};

const CEILING: u64 = 512 << 20;
const EPOCH_EVENTS: u64 = 1_000;
/// Fills of a run. Those that come behind the first eighth, where the server goes, would take a minute at
/// 50,000 a second.
const N_FILLS: u64 = 3_500_000;
/// How often is looked.
const LOOK: Duration = Duration::from_millis(100);
/// Longer than any step of it takes.
const PATIENCE: Duration = Duration::from_mins(10);
/// Time from the server's return to its first batch at most: twice as long as a sink waits between two
/// tries, and what an insert takes.
const BACK_IN: Duration = Duration::from_secs(30);

/// Writes fills of 40,000 positions, 20 a second.
fn write_fills(folder: &Folder, n: u64, seed: u64) {
    let mut file = BufWriter::new(File::create(folder.path("fills.csv")).unwrap());
    writeln!(file, "id,wallet,asset,side,price,size,event_time").unwrap();
    let mut dice = Dice(seed);
    for id in 0..n {
        let chance = dice.below(1 << 60);
        let (wallet, asset, cents) = (chance % 2_000, chance / 2_000 % 20, chance / 40_000 % 1_000);
        let (size, side) =
            (1 + chance / (1 << 40) % 90, ["buy", "sell"][usize::from(chance >> 59 == 1)]);
        let time = 1_700_000_000 + id / 20;
        writeln!(file, "{id},w{wallet},a{asset},{side},2.{cents:03},{size},{time}").unwrap();
    }
    file.flush().unwrap();
}

/// Fills whose results are committed.
fn n_committed(house: &House) -> u64 {
    if house.query("EXISTS TABLE away._commits") != "1\n" {
        return 0;
    }
    let epochs = house.query("SELECT max(last_epoch) FROM away._commits");
    epochs.trim().parse::<u64>().unwrap() * EPOCH_EVENTS
}

/// Waits until more than so many fills are committed; how many are.
fn wait_for(house: &House, more_than: u64, run: &mut Running) -> u64 {
    let watch = Stopwatch::start();
    loop {
        let n = n_committed(house);
        if n > more_than {
            return n;
        }
        let ended = run.0.try_wait().unwrap();
        assert_eq!(ended, None, "{n} of {more_than} fills, and it has ended");
        assert!(watch.elapsed() < PATIENCE, "{n} of {more_than} fills after {PATIENCE:?}");
        std::thread::sleep(LOOK);
    }
}

fn rows(house: &House) -> [String; 2] {
    ["positions", "bars"]
        .map(|table| house.query(&format!("SELECT * FROM away.{table}_v ORDER BY ALL FORMAT TSV")))
}

fn write_config(folder: &Folder, house: &House) {
    folder.write("c.toml", CONFIG.replace("URL", &house.url()));
}

/// The program under the ceiling.
fn command(folder: &Folder, ceiling: &Ceiling) -> Command {
    let mut command = tapeline();
    command.args(["run", "c.toml"]).current_dir(folder.path("."));
    let mut command = ceiling.over(&command);
    command.env_remove("RUST_LOG").stderr(File::create(folder.path("said")).unwrap());
    command
}

/// Starts it with a protection out.
#[cfg(feature = "sabotage")]
fn spawn_without(safeguard: Safeguard, folder: &Folder, ceiling: &Ceiling) -> Running {
    let mut command = command(folder, ceiling);
    Running(command.env("TAPELINE_SABOTAGE", format!("{safeguard:?}")).spawn().unwrap())
}

/// What a run gives whose server was never away, on a server of its own.
fn undisturbed(fills: &Folder) -> [String; 2] {
    let house = House::start().unwrap();
    let folder = Folder::new();
    std::fs::hard_link(fills.path("fills.csv"), folder.path("fills.csv")).unwrap();
    write_config(&folder, &house);
    folder.run(&["run", "c.toml"]).with(0);
    rows(&house)
}

fn per_second(n: u64, time: Duration) -> u128 {
    u128::from(n) * 1_000 / time.as_millis().max(1)
}

#[test]
fn a_house_may_be_away_for_a_minute() {
    let n_seconds = u64::try_from(wanted("TAPELINE_AWAY_SECONDS", 60)).unwrap();
    for round in 0..u64::try_from(wanted("TAPELINE_AWAY_ROUNDS", 1)).unwrap() {
        let Some(house) = House::start() else { return };
        is_away(house, Duration::from_secs(n_seconds), 17 + round);
    }
}

/// Takes the server away from a run for a while.
fn is_away(mut house: House, time: Duration, seed: u64) {
    let (folder, n) = (Folder::new(), N_FILLS);
    write_fills(&folder, n, seed);
    write_config(&folder, &house);
    let ceiling = Ceiling::new(CEILING);
    let mut run = Running(command(&folder, &ceiling).spawn().unwrap());
    let n_first = wait_for(&house, 0, &mut run);
    let watch = Stopwatch::start();
    let n_before = wait_for(&house, n / 8, &mut run);
    let rate_before = per_second(n_before - n_first, watch.elapsed());

    house.kill();
    let watch = Stopwatch::start();
    let expected = undisturbed(&folder);
    std::thread::sleep(time.saturating_sub(watch.elapsed()));
    assert_eq!(run.0.try_wait().unwrap(), None, "it ended while the server was away");
    let peak_away = peak(run.0.id()).unwrap();
    let was_away = watch.elapsed();

    house.come_back();
    let watch = Stopwatch::start();
    let n_back = wait_for(&house, n_before, &mut run);
    let until_back = watch.elapsed();
    assert!(until_back < BACK_IN, "the first batch came {until_back:?} after its return");
    let watch = Stopwatch::start();
    let mut peak_all = peak_away;
    let status = loop {
        peak_all = peak(run.0.id()).unwrap_or(0).max(peak_all);
        match run.0.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(LOOK),
        }
    };
    let rate_after = per_second(n - n_back, watch.elapsed());
    assert!(status.success(), "it ended with {status:?}: {}", folder.read("said"));
    assert!(peak_all < CEILING, "{peak_all} bytes at most");
    assert!(rows(&house) == expected, "the tables differ from those of an undisturbed run");
    println!(
        "rig: ClickHouse away for {} s under {} of 512 MiB: {n} fills, {} MiB at most ({} while it was \
         away), {rate_before} fills/s before, first batch {:.1} s after its return, then \
         {rate_after} fills/s: no row differs",
        was_away.as_secs(),
        ceiling.kind(),
        peak_all >> 20,
        peak_away >> 20,
        until_back.as_secs_f64()
    );
}

#[test]
#[cfg(feature = "sabotage")]
fn a_sink_without_room_holds_back_what_comes() {
    let Some(mut house) = House::start() else { return };
    let folder = Folder::new();
    write_fills(&folder, N_FILLS, 17);
    write_config(&folder, &house);
    let ceiling = Ceiling::new(CEILING);
    let mut run = spawn_without(Safeguard::SinksHoldBack, &folder, &ceiling);
    wait_for(&house, 0, &mut run);
    house.kill();
    let watch = Stopwatch::start();
    while run.0.try_wait().unwrap().is_none() && watch.elapsed() < PATIENCE {
        std::thread::sleep(LOOK);
    }
    let held = peak(run.0.id());
    // Where it is still there the ceiling was high enough for all that came.
    run.0.kill().ok();
    let status = run.0.wait().unwrap();
    // The system has ended it, not the sink that gave up.
    let is_killed = held.is_none() && status.code().is_none();
    assert!(is_killed, "it holds {held:?} bytes, and ended with {status:?}");
    println!("nothing is held back: ended with {status:?} after {:?}", watch.elapsed());
}

const CONFIG: &str = r#"
[pipeline]
name = "away"
data_dir = "state"
workers = 2
history_memory = "64MiB"
epoch = { max_events = 1000 }

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
venue = { constant = "v" }
id = "id"
event_time = { column = "event_time", unit = "s" }

[views.positions]
op = "avg_cost"
input = "fills"

[views.bars]
op = "rollup"
input = "fills"
sizes = ["1m", "1h"]

[sinks.house]
type = "clickhouse"
url = "URL"
database = "away"
max_rows = 10000
give_up = "2h"
"#;
