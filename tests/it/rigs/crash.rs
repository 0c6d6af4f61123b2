//! ClickHouse is killed while inserts are under way, and started again on what it left.

use std::fs::File;
use std::time::Duration;

use tapeline::env::Stopwatch;
use types::sabotage::Safeguard;

use super::dice::Dice;
use super::house::House;
use super::job::{Job, Keeps, Running, difference, fills, take_out, wanted};
use super::server::Server;
use super::stored::{amiss, make_unmerged};

/// Time that a server may take for what it commits next.
const PATIENCE: Duration = Duration::from_mins(1);

/// A job has room for more, but others shall have other workers.
const KILLS_OF_A_JOB: usize = 7;

/// How many batches the server has, as it says.
fn n_commits(house: &Server, database: &str) -> u64 {
    let sql = format!("SELECT count() FROM {database}._commits");
    house.query(&sql).trim().parse().unwrap()
}

/// Waits until another batch is committed; false where the run has ended before.
fn goes_on(house: &Server, database: &str, run: &mut Running) -> bool {
    let watch = Stopwatch::start();
    let before = n_commits(house, database);
    while n_commits(house, database) == before {
        if run.0.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(watch.elapsed() < PATIENCE, "no batch in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// What a run came through.
struct Survived {
    n_kills: usize,
    /// Requests that broke off, where others found nobody there.
    n_broken: usize,
    wrong: Option<String>,
}

/// Runs a job while the server is killed, so many times at most.
fn kill_under(
    house: &mut House,
    (fills, job): (&str, &Job),
    (n_kills_max, dice): (usize, &mut Dice),
    sabotage: Option<Safeguard>,
) -> Survived {
    let whole = small_batches(fills, house, &format!("{}whole", job.database));
    whole.finish();
    let expected = whole.given(Some(house));
    make_unmerged(house, &job.database);

    let mut command = job.command();
    command.stderr(File::create(job.folder.path("said")).unwrap());
    take_out(&mut command, sabotage);
    let mut run = Running(command.spawn().unwrap());
    let mut n_kills = 0;
    while n_kills < n_kills_max && goes_on(house, &job.database, &mut run) {
        std::thread::sleep(Duration::from_micros(dice.below(60_000)));
        house.kill();
        n_kills += 1;
        house.come_back();
    }
    let status = run.0.wait().unwrap();
    let said = job.folder.read("said");
    assert!(status.success(), "the run ended with {status:?}: {said}");
    let n_broken = said
        .lines()
        .filter(|line| line.contains("trying again") && !line.contains("(Connect)"))
        .count();
    let wrong = difference(&job.given(Some(house)), &expected);
    let wrong = wrong.or_else(|| amiss(house, &job.database));
    Survived { n_kills, n_broken, wrong }
}

/// A job of many small batches.
fn small_batches(fills: &str, house: &Server, database: &str) -> Job {
    Job::new(fills)
        .tables(Some(house), database)
        .with("max_rows = 400", "max_rows = 1")
        .with("max_events = 50", "max_events = 10")
}

#[test]
fn a_killed_house_loses_and_doubles_nothing() {
    let Some(mut house) = House::start() else { return };
    let n_wanted = wanted("TAPELINE_HOUSE_KILLS", 20);
    let seed = 20_261_124;
    let mut dice = Dice(seed);
    let (mut n_kills, mut n_broken, mut n_jobs) = (0, 0, 0);
    while n_kills < n_wanted {
        let fills = fills(seed + n_jobs);
        let mut job = small_batches(&fills, &house, &format!("killed{n_jobs}"));
        let keeps = [Keeps::Positions, Keeps::Events][usize::try_from(n_jobs % 2).unwrap()];
        job.set([1, 2, 4][usize::try_from(n_jobs % 3).unwrap()], keeps);
        let n_max = KILLS_OF_A_JOB.min(n_wanted - n_kills);
        let survived = kill_under(&mut house, (&fills, &job), (n_max, &mut dice), None);
        assert_eq!(survived.wrong, None, "seed {seed}, job {n_jobs}");
        n_kills += survived.n_kills;
        n_broken += survived.n_broken;
        n_jobs += 1;
    }
    println!(
        "rig: ClickHouse killed: {n_kills} times in {n_jobs} jobs, {n_broken} requests broke off, \
         seed {seed}: 0 rows missing, 0 doubled"
    );
    // Where the server goes between two requests the next one finds nobody there.
    assert!(2 * n_broken >= n_kills, "inserts were seldom under way: {n_broken} of {n_kills}");
}

#[test]
#[cfg(feature = "sabotage")]
fn an_insert_that_broke_off_is_sent_again() {
    let Some(mut house) = House::start() else { return };
    let fills = fills(3);
    let job = small_batches(&fills, &house, "without");
    let out = Some(Safeguard::InsertsRepeated);
    let survived = kill_under(&mut house, (&fills, &job), (1, &mut Dice(3)), out);
    assert!(survived.wrong.is_some(), "nothing is sent again, and nothing is missing");
}
