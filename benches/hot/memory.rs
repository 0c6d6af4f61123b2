//! Memory a fill: what a process holds once all events are in, above the events themselves. Each
//! figure comes from a process of its own, since an allocator doesn't give all back.

use std::process::Command;
use std::sync::Arc;

use crate::SEED;
use crate::support::arguments::Arguments;
use crate::support::engine::{BARS, Engine, MARKS, POSITIONS};
use crate::support::harness::Session;
use crate::support::{loops, stream, table};

/// The word that makes a process measure one part and say the figures.
const CHILD: &str = "memory-of-";

const PARTS: &[(&str, &[&str], &[&str])] = &[
    ("loop", &[], &[]),
    ("positions", &[POSITIONS], &["positions"]),
    ("bars", &[BARS], &["bars"]),
    ("both", &[POSITIONS, BARS], &["positions", "bars"]),
    ("marks", &[POSITIONS, MARKS], &["pnl"]),
];

/// Measures each part in a process of its own.
pub(crate) fn run(arguments: &Arguments) {
    if !arguments.wants("memory") {
        return;
    }
    let n_fills = arguments.n_fills;
    table::note(&format!("\nMemory a fill, {n_fills} fills, one worker, 10000 an epoch"));
    let program = std::env::current_exe().expect("the bench has a path");
    for (name, ..) in PARTS {
        let mut command = Command::new(&program);
        command.args([format!("{CHILD}{name}"), "--events".to_owned(), n_fills.to_string()]);
        let output = command.output().expect("the bench starts itself");
        let said = String::from_utf8_lossy(&output.stdout);
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "measuring {name}: {why}");
        table::note(&format!("  {name:<12}{}", said.trim()));
    }
}

/// Measures one part, if this process was started to.
pub(crate) fn is_child(arguments: &Arguments) -> bool {
    let named = |part: &&(&str, _, _)| arguments.names(&format!("{CHILD}{}", part.0));
    let Some((name, views, emitted)) = PARTS.iter().find(named) else { return false };
    let fills = stream::arrivals(arguments.n_fills, SEED, stream::STEP);
    let engine = (*name != "loop").then(|| Arc::new(Engine::new(views, emitted)));
    // What making the events took is no peak of what is measured.
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux forgets a peak");
    let before = resident("VmRSS:");
    let held = if let Some(engine) = &engine {
        let mut session = Session::start(engine, 1);
        session.feed(&fills, 10_000);
        let held = resident("VmRSS:");
        session.end();
        held
    } else {
        let positions = loops::positions(&fills);
        assert!(positions.len() > 0, "fills make positions");
        resident("VmRSS:")
    };
    let (held, peak) = (held.saturating_sub(before), resident("VmHWM:").saturating_sub(before));
    let n = u64::from(arguments.n_fills);
    let (each, most) = (held / n, peak / n);
    table::note(&format!(
        "{each:>6} bytes a fill held, {most:>6} at most ({} MB, {} MB)",
        held / 1_000_000,
        peak / 1_000_000
    ));
    true
}

/// Bytes that the system says this process has.
fn resident(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of processes");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line of it");
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    kib * 1024
}
