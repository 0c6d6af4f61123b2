//! Wrong options of what is compiled in: what follows from a problem isn't told beside it.

use std::fs;

use tapeline::config::{ConfigError, Purpose, Registry, load_with};

use super::environment;

const HEAD: &str = r#"
[pipeline]
name = "compiled"

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
"#;

/// What is told of a config with these parts.
fn told(parts: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, format!("{HEAD}{parts}")).unwrap();
    match load_with(&path, &environment, &Registry::compiled(), Purpose::Run) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Problems { problems, .. }) => {
            problems.into_iter().map(|problem| problem.message).collect()
        }
        Err(error) => panic!("{error}"),
    }
}

/// Features with some windows, what reads them, and a sink.
fn windows(windows: &str) -> String {
    format!(
        r#"
[views.flow]
op = "features"
input = "fills"
kind = "tumbling"
windows = {windows}
features = ["count", "rate_ratio"]

[views.busy]
op = "filter"
input = "flow"
where = "count_5m > 3"

[sinks.files]
type = "jsonl"
path = "out"
views = ["flow", "busy"]
"#
    )
}

#[test]
fn a_step_that_cannot_be_read_is_all_that_is_told() {
    let windows = windows(r#"["5m", "12m"]"#);
    let stepped = |step: &str| windows.replace("kind =", &format!("step = \"{step}\"\nkind ="));
    assert_eq!(told(&stepped("1m")), [""; 0]);
    assert_eq!(
        told(&stepped("5m")),
        ["some windows of 12m end between two steps of 5m: no row shows them whole"]
    );
    assert_eq!(told(&stepped("1 m")), ["`1 m` isn't a duration"]);
}

#[test]
fn windows_that_cannot_be_read_are_all_that_is_told() {
    assert_eq!(told(&windows(r#"["5m", "10m"]"#)), [""; 0]);
    assert_eq!(told(&windows(r#"["0s"]"#)), ["`0s` is too short"]);
    assert_eq!(told(&windows(r#"["5 m", "7m"]"#)), ["`5 m` isn't a duration"]);
    assert_eq!(told(&windows(r#"["5 m", "7m", "12m"]"#)), ["`5 m` isn't a duration"]);
    assert_eq!(told(&windows("[]")), ["`windows` is empty"]);
    assert_eq!(
        told(&windows("5")),
        ["`windows` must be a list of durations like [\"1m\", \"1h\"], not a whole number"]
    );
}

/// Scores that say why from a score on, which a sink writes, with what came too late.
fn scores(explain_from: &str, view: &str) -> String {
    format!(
        r#"
[views.flow]
op = "features"
input = "fills"

[views.scores]
op = "anomaly"
input = "flow"
explain_from = "{explain_from}"

[views.unusual]
op = "filter"
input = "scores"
where = "score > 0.99"

[sinks.files]
type = "jsonl"
path = "out"
views = ["unusual", "{view}"]
"#
    )
}

#[test]
fn outputs_of_a_view_with_a_wrong_option_are_known() {
    assert_eq!(told(&scores("0.5", "scores.stale")), [""; 0]);
    assert_eq!(told(&scores("2", "scores.stale")), ["`2` is no score"]);
    let unknown = "no relation or view is named `scores.late`";
    assert_eq!(told(&scores("2", "scores.late")), ["`2` is no score", unknown]);
}

#[test]
fn what_a_rule_of_a_missing_view_gives_is_not_missed() {
    let parts = |view: &str, at: &str| {
        format!(
            r#"
[alerts.big]
view = "{view}"
when = "size * price > 1000"

[alerts.again]
view = "{at}"
when = "size > 0"

[sinks.files]
type = "jsonl"
path = "out"
views = ["alerts", "alerts.big", "alerts.big.errors"]
"#
        )
    };
    assert_eq!(told(&parts("fills", "fills")), [""; 0]);
    assert_eq!(told(&parts("fils", "fills")), ["no relation or view is named `fils`"]);
    let told = told(&parts("fills", "alerts.big"));
    assert_eq!(told, ["`alerts.big` can't be an input: it is for sinks and readers alone"]);
}

#[test]
fn any_name_may_be_an_output_of_a_view_whose_outputs_are_not_known() {
    let parts = |op: &str| {
        format!(
            r#"
[views.large]
op = "{op}"
input = "fills"
where = "size > 1"

[views.odd]
op = "filter"
input = "large.errors"
where = "reason = 'x'"

[sinks.files]
type = "jsonl"
path = "out"
views = ["large.errors", "odd"]
"#
        )
    };
    assert_eq!(told(&parts("filter")), [""; 0]);
    assert_eq!(told(&parts("filtre")), ["no operator is named `filtre`"]);
}
