//! Memory a fill: what a process holds once all events are in, above the events themselves. Each
//! figure comes from a process of its own, since an allocator doesn't give all back.

use std::process::Command;
use std::sync::Arc;

use tapeline::cold::Spill;
use tapeline::ingest::{Identities, Standing};
use types::relations::Identity;
use types::{AssetId, Op, Sym};

use crate::SEED;
use crate::support::arguments::Arguments;
use crate::support::clocks::Clocks;
use crate::support::engine::{BARS, Engine, MARKS, POSITIONS};
use crate::support::harness::Session;
use crate::support::{loops, stream, table};

/// The word that makes a process measure one part and say the figures.
const CHILD: &str = "memory-of-";

/// A part's name, its views, those that leave the dataflow.
type Part = (&'static str, &'static [&'static str], &'static [&'static str]);

const PARTS: &[Part] = &[
    ("loop", &[], &[]),
    ("positions", &[POSITIONS], &["positions"]),
    ("spilled", &[POSITIONS], &["positions"]),
    ("bars", &[BARS], &["bars"]),
    ("both", &[POSITIONS, BARS], &["positions", "bars"]),
    ("marks", &[POSITIONS, MARKS], &["pnl"]),
    (IDENTITIES, &[], &[]),
    (OLD_IDENTITIES, &[], &[]),
];

const IDENTITIES: &str = "identities";
const OLD_IDENTITIES: &str = "identities-spilled";

/// Identities for each fill of the other parts: 20 million for 5.
const IDENTITIES_OF_FILL: u32 = 4;

/// What history and identities may hold where they are spilled.
const SPILLED_MEMORY: u64 = 16 << 20;

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
        table::note(&format!("  {name:<20}{}", said.trim()));
    }
}

/// Measures one part, if this process was started to.
pub(crate) fn is_child(arguments: &Arguments) -> bool {
    let named = |part: &&(&str, _, _)| arguments.names(&format!("{CHILD}{}", part.0));
    let Some((name, views, emitted)) = PARTS.iter().find(named) else { return false };
    let folder = tempfile::tempdir().expect("a folder for what leaves memory");
    let spill = Spill::new(folder.path(), SPILLED_MEMORY).expect("the folder is empty");
    let spill = Some(spill).filter(|_| name.ends_with("spilled"));
    if name.starts_with(IDENTITIES) {
        identities(arguments.n_fills * IDENTITIES_OF_FILL, spill);
        return true;
    }
    let fills = stream::arrivals(arguments.n_fills, SEED, stream::STEP);
    let engine =
        (*name != "loop").then(|| Arc::new(Engine::new(views, emitted).spilling(spill.clone())));
    // What making the events took is no peak of what is measured.
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux forgets a peak");
    let before = resident("VmRSS:");
    let clocks = Clocks::process();
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
    let spilled = spill.map_or_else(String::new, |spill| {
        let (written, allowed) = (spill.n_written() / n, SPILLED_MEMORY >> 20);
        format!(", {written} bytes a fill written, {allowed} MiB allowed")
    });
    table::note(&format!(
        "{each:>6} bytes a fill held, {most:>6} at most ({} MB, {} MB), {} ns CPU{spilled}",
        held / 1_000_000,
        peak / 1_000_000,
        clocks.spent().cpu.as_nanos() / u128::from(n),
    ));
    true
}

/// Judges identities: new ones, then old ones again, spread over all.
fn identities(n: u32, spill: Option<Spill>) {
    let mut identities = Identities::new(spill.map(|spill| spill.of_relation(0, 1)));
    let before = resident("VmRSS:");
    let clocks = Clocks::thread();
    let mut judge = |id: u32| {
        let (wallet, asset) = (Some(Sym::from_index(id % 100_000)), Some(AssetId(id % 2_000)));
        let identity = Identity { wallet, asset, id: id.into() };
        identities.judge(identity, Op::Insert, 0, id).expect("the disk is fine")
    };
    let is_new = (0..n).filter(|id| judge(*id) == Standing::First).count();
    let new = clocks.spent();
    let held = resident("VmRSS:").saturating_sub(before);
    let n_old = n / 20;
    let clocks = Clocks::thread();
    let old = |i: u32| i.wrapping_mul(0x9e37_79b1) % n;
    let is_old = (0..n_old).filter(|i| judge(old(*i)) == Standing::Duplicate).count();
    let repeated = clocks.spent();
    assert!(
        is_new == usize::try_from(n).unwrap_or(0) && is_old == usize::try_from(n_old).unwrap_or(0)
    );
    let nanos = |cpu: std::time::Duration, n: u32| cpu.as_nanos() / u128::from(n.max(1));
    table::note(&format!(
        "{n} identities: {} bytes each held, {} ns each new, {} ns each repeated (CPU)",
        held / u64::from(n),
        nanos(new.cpu, n),
        nanos(repeated.cpu, n_old)
    ));
}

/// Bytes that the system says this process has.
fn resident(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of processes");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line of it");
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    kib * 1024
}
