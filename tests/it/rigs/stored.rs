//! What tables store, row by row, where `FINAL` would show one row a key however often it is there.

use super::job::Job;
use super::server::Server;

/// Makes the tables of a database before its job runs, and keeps them from merging: what was stored
/// twice stays there to be counted.
pub(super) fn make_unmerged(house: &Server, database: &str) {
    let header = "op,id,revision,wallet,asset,side,price,size,event_time\n";
    Job::new(header).tables(Some(house), database).finish();
    for (table, _) in tables(house, database) {
        house.query(&format!(
            "ALTER TABLE {database}.{table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1"
        ));
    }
}

/// Says in which table rows are doubled or missing, if in any: a row of a version twice, or others than
/// the table of commits counts.
pub(super) fn amiss(house: &Server, database: &str) -> Option<String> {
    let (mut n_rows, mut problems) = (0, Vec::new());
    for (table, key) in tables(house, database) {
        let counts = house.query(&format!(
            "SELECT count(), count() - uniqExact({key}), (SELECT sum(rows) \
             FROM {database}._commits FINAL WHERE `table` = '{table}') FROM {database}.{table}"
        ));
        let counts: Vec<i64> = counts.split_whitespace().map(|n| n.parse().unwrap()).collect();
        let [n_stored, n_doubled, n_committed] = counts.try_into().unwrap();
        n_rows += n_stored;
        if n_doubled != 0 || n_stored != n_committed {
            problems.push(format!(
                "{table} stores {n_stored} rows, {n_committed} were committed, {n_doubled} are doubled"
            ));
        }
    }
    assert!(n_rows > 0, "nothing is stored");
    (!problems.is_empty()).then(|| problems.join("; "))
}

/// The tables of views, and the columns that name a row of theirs for ever.
fn tables(house: &Server, database: &str) -> Vec<(String, String)> {
    let sql = format!(
        "SELECT name, if(engine = 'MergeTree', sorting_key, concat(sorting_key, ', _version')) \
         FROM system.tables WHERE database = '{database}' \
         AND engine IN ('ReplacingMergeTree', 'MergeTree') AND name != '_commits' ORDER BY name FORMAT TSV"
    );
    let answer = house.query(&sql);
    let tables: Vec<(String, String)> = answer
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(table, key)| (table.to_owned(), key.to_owned()))
        .collect();
    assert!(tables.len() > 7, "{tables:?}");
    tables
}
