//! Three of ten requests to ClickHouse go wrong on their way.

use std::collections::BTreeMap;

use types::sabotage::Safeguard;

use super::house::House;
use super::job::{Job, Keeps, difference, fills, take_out, wanted};
use super::proxy::{Fault, Proxy, Seen};
use super::server::Server;
use super::stored::{amiss, make_unmerged};

/// What a job gave, by name.
type Given = BTreeMap<String, Vec<u8>>;

/// A run through a proxy.
#[derive(Clone, Copy)]
struct Way {
    workers: usize,
    keeps: Keeps,
    seed: u64,
    sabotage: Option<Safeguard>,
}

/// Runs a job through a proxy: what came by there, and what is wrong in the end.
fn run(fills: &str, house: &Server, expected: &Given, way: Way) -> (Seen, Option<String>) {
    let database = format!("proxied{}", way.seed);
    make_unmerged(house, &database);
    let proxy = Proxy::start(house.port, way.seed);
    // An insert for each table and epoch.
    let mut job = Job::new(fills)
        .tables(Some(house), &database)
        .with(&house.url(), &proxy.url())
        .with("max_rows = 400", "max_rows = 1")
        .with("give_up = \"60s\"", "give_up = \"10m\"");
    job.set(way.workers, way.keeps);
    let mut command = job.command();
    take_out(&mut command, way.sabotage);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the run ended with {:?}: {said}", output.status);
    let wrong = difference(&job.given(Some(house)), expected).or_else(|| amiss(house, &database));
    house.query(&format!("DROP DATABASE {database}"));
    (proxy.seen(), wrong)
}

/// What a run gives that goes to the server directly.
fn undisturbed(fills: &str, house: &Server, database: &str) -> Given {
    let job = Job::new(fills).tables(Some(house), database);
    job.finish();
    job.given(Some(house))
}

#[test]
fn a_proxy_that_fails_changes_nothing() {
    let Some(house) = House::start() else { return };
    let n_wanted = u64::try_from(wanted("TAPELINE_PROXY_REQUESTS", 2_000)).unwrap();
    let first = 20_261_123;
    let (mut seen, mut n_jobs, mut round) = (Seen::default(), 0, 0);
    while seen.n_requests < n_wanted {
        let fills = fills(first + round);
        let expected = undisturbed(&fills, &house, &format!("whole{round}"));
        let ways = [1, 2, 4]
            .into_iter()
            .flat_map(|workers| [Keeps::Positions, Keeps::Events].map(|keeps| (workers, keeps)));
        // They mostly wait, so they run side by side.
        let ended: Vec<(Way, (Seen, Option<String>))> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..)
                .zip(ways)
                .map(|(nth, (workers, keeps))| {
                    let seed = first + round * 100 + nth;
                    let way = Way { workers, keeps, seed, sabotage: None };
                    let (fills, house, expected) = (&fills, &house, &expected);
                    (way, scope.spawn(move || run(fills, house, expected, way)))
                })
                .collect();
            runs.into_iter().map(|(way, run)| (way, run.join().unwrap())).collect()
        });
        for (Way { workers, keeps, seed, .. }, (of_job, wrong)) in ended {
            assert_eq!(wrong, None, "{workers} workers, {keeps:?}, seed {seed}, round {round}");
            seen.add(&of_job);
            n_jobs += 1;
        }
        house.query(&format!("DROP DATABASE whole{round}"));
        round += 1;
    }
    let n_faults: u64 = seen.faults.values().sum();
    println!(
        "rig: a proxy that fails: {n_faults} of {} requests in {n_jobs} jobs on 1, 2 and 4 workers, \
         seed {first}: 0 rows missing, 0 doubled; {:?}",
        seen.n_requests, seen.faults
    );
    for fault in Fault::ALL {
        assert!(seen.faults.contains_key(&fault), "{fault:?} never came");
    }
}

/// A run with a protection out must give something else.
#[cfg(feature = "sabotage")]
fn is_noticed(sabotage: Safeguard, seed: u64) {
    let Some(house) = House::start() else { return };
    let fills = fills(seed);
    let expected = undisturbed(&fills, &house, "whole");
    let way = Way { workers: 1, keeps: Keeps::Positions, seed, sabotage: Some(sabotage) };
    let (seen, wrong) = run(&fills, &house, &expected, way);
    let wrong = wrong.unwrap_or_else(|| panic!("{sabotage:?} is out, and nothing is wrong"));
    println!("{sabotage:?} is out of {} requests: {wrong}", seen.n_requests);
}

#[test]
#[cfg(feature = "sabotage")]
fn what_is_stored_already_is_dropped() {
    is_noticed(Safeguard::TokensStay, 1);
}

#[test]
#[cfg(feature = "sabotage")]
fn an_insert_that_failed_is_sent_again() {
    is_noticed(Safeguard::InsertsRepeated, 2);
}
