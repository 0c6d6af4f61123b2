//! `tapeline score` from outside.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use serde_json::value::RawValue;

use crate::program::{Folder, tapeline};
use crate::rigs::dice::Dice;

/// Rows of two keys, one of which jumps at its 500th.
fn rows() -> String {
    let mut dice = Dice(7);
    let mut text = "who,at,x,y,label\n".to_owned();
    for n in 0..600_u64 {
        for who in ["a", "b"] {
            let (x, y) = (dice.below(100), dice.below(100));
            let x = if who == "b" && n == 500 { x + 100_000 } else { x };
            writeln!(text, "{who},{},{x},{y},{}", 1_700_000_000 + n, u8::from(x > 1000)).unwrap();
        }
    }
    text
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("rows.csv", rows());
    folder
}

const ASKED: [&str; 8] = ["score", "rows.csv", "--key", "who", "--time", "at", "--drop", "label"];

#[test]
fn a_row_comes_out_for_each_row() {
    let folder = folder();
    let scored = folder.run(&ASKED).with(0);
    assert_eq!(scored.err, "1200 rows scored, of 2 keys\n");
    let lines: Vec<&str> = scored.out.lines().collect();
    assert_eq!((lines.len(), lines[0]), (1_201, "score,raw,state,why"));
    assert!(lines[1..65].iter().all(|line| line.starts_with("0,") && line.contains("warming")));
    // Row 500 of the second key.
    let jump: Vec<&str> = lines[1 + 1_001].splitn(4, ',').collect();
    assert!(jump[0].parse::<f64>().unwrap() > 0.999, "{jump:?}");
    assert!(jump[3].starts_with("x 1000") || jump[3].starts_with("\"x 1000"), "{jump:?}");
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let folder = folder();
    let expected = folder.run(&ASKED).with(0).out;
    let file = std::fs::File::create(folder.path("rows.csv.gz")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(rows().as_bytes()).unwrap();
    gzip.finish().unwrap();
    let asked: Vec<&str> =
        ASKED.iter().map(|word| if *word == "rows.csv" { "rows.csv.gz" } else { word }).collect();
    let asked = [&asked[..], &["-o", "scores.csv"]].concat();
    assert_eq!(folder.run(&asked).with(0).out, "");
    assert_eq!(folder.read("scores.csv"), expected);
    folder.run(&[&ASKED[..], &["-o", "scores.csv.gz"]].concat()).with(0);
    let file = std::fs::File::open(folder.path("scores.csv.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    assert_eq!(text, expected);
    let other = folder.run(&[&ASKED[..], &["--seed", "1"]].concat()).with(0).out;
    assert_ne!(other, expected);
}

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let folder = folder();
    let expected = folder.run(&ASKED).with(0).out;
    let args: Vec<&str> = [&ASKED[..], &["-o", "of_rows.csv"]].concat();
    folder.run(&args).with(0);
    assert_eq!(folder.read("of_rows.csv"), expected);
    // Not over the rows, whatever they are called.
    let rows = folder.read("rows.csv");
    let place = folder.path("rows.csv");
    for name in ["rows.csv", "./rows.csv", place.to_str().unwrap()] {
        let args: Vec<&str> = [&ASKED[..], &["-o", name]].concat();
        folder.run(&args).with(3).says(&["these are the rows: name another file"]);
    }
    assert_eq!(folder.read("rows.csv"), rows);
    folder.run(&["score", "rows.csv", "--why", "nan"]).with(2).says(&["a score is at least 0"]);
    folder.write("scores.csv", "old");
    folder.write("torn.csv", "x,y\n1,2\n3\n");
    folder.run(&["score", "torn.csv", "-o", "scores.csv"]).with(3);
    assert_eq!(folder.read("scores.csv"), "old");
    assert!(!folder.path("scores.csv.unfinished").exists());
    folder.run(&["score", "torn.csv", "-o", "gone/scores.csv"]).with(3).says(&["gone/scores.csv"]);
    // A quote that is never closed isn't held whole.
    folder.write("open.csv", format!("x,y\n1,\"{}", "7\n".repeat(5 << 20)));
    folder.run(&["score", "open.csv"]).with(3).says(&["longer than 8 MiB"]);
}

#[test]
fn rows_come_on_stdin_and_between_other_characters() {
    let folder = folder();
    let expected = folder.run(&ASKED).with(0).out;
    let semicolons = rows().replace(',', ";");
    folder.write("semi.csv", &semicolons);
    let args: Vec<&str> =
        ASKED.iter().map(|word| if *word == "rows.csv" { "semi.csv" } else { word }).collect();
    folder.run(&args).with(3).says(&["is one column", "--delimiter ';'"]);
    let args = [&args[..], &["--delimiter", ";"]].concat();
    assert_eq!(folder.run(&args).with(0).out, expected);
    // A name with such a character can be had.
    folder.write("odd.csv", "x;y\n1\n2\n");
    folder.run(&["score", "odd.csv", "--delimiter", ","]).with(0);
    for (option, wrong) in [("--delimiter", "-"), ("--delimiter", "\""), ("--warm-up", "15")] {
        folder.run(&["score", "odd.csv", &format!("{option}={wrong}")]).with(2);
    }
    let args: Vec<&str> =
        ASKED.iter().map(|word| if *word == "rows.csv" { "-" } else { word }).collect();
    let mut command = tapeline();
    command.args(&args).args(["-o", "-"]).current_dir(folder.path("."));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin.write_all(rows().as_bytes()).unwrap());
    let done = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(done.status.success());
    assert_eq!(String::from_utf8(done.stdout).unwrap(), expected);
    assert!(!folder.path("-").exists());
    // As many rows as are asked for are learnt before the first score.
    let slow = folder.run(&[&ASKED[..], &["--warm-up", "100"]].concat()).with(0).out;
    assert_eq!(slow.matches("warming").count(), 200);
}

#[test]
fn who_reads_no_more_has_what_they_wanted() {
    let folder = Folder::new();
    folder.write("rows.csv", format!("x\n{}", "7\n".repeat(200_000)));
    let mut command = tapeline();
    command.args(["score", "rows.csv"]).current_dir(folder.path("."));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "score,raw,state,why\n");
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let folder = Folder::new();
    folder.write("rows.csv", "a,b\n1,2\n3\n");
    folder.write("none.csv", "");
    folder.run(&["score", "rows.csv"]).with(3).says(&["reading rows.csv", "line: 3"]);
    folder.run(&["score", "rows.csv", "--key", "c"]).with(3).says(&["no column `c`", "hint:"]);
    folder.run(&["score", "none.csv"]).with(3).says(&["there is no header"]);
    folder.run(&["score", "gone.csv"]).with(3).says(&["reading gone.csv", "No such file"]);
    folder.run(&["score", "rows.csv", "--detector", "best"]).with(2).says(&["known: combined"]);
}

/// The detector of a config's view is taken, and what is said beside it goes before.
#[test]
fn the_detector_of_a_config_is_taken() {
    let folder = folder();
    let anomaly = |name: &str, more: &str| {
        format!("[views.{name}]\nop = \"anomaly\"\ninput = \"flow\"\n{more}\n")
    };
    let config = format!(
        "[pipeline]\nname = \"watch\"\n[views.flow]\nop = \"features\"\ninput = \"trades\"\n{}",
        anomaly("odd", "detector = \"loda\"\nseed = 3\nwarm_up = 100")
    );
    folder.write("one.toml", config.clone());
    let with = |more: &[&str]| folder.run(&[&ASKED[..], more].concat());
    let loda = with(&["-c", "one.toml", "--why", "2"]).with(0).out;
    // One model serves both keys, whose first eight rows it doesn't see.
    let n_warming = |out: &str| out.lines().filter(|line| line.contains("warming")).count();
    assert_eq!(n_warming(&loda), 2 * 8 + 100);
    assert_ne!(loda, with(&["-c", "one.toml", "--why", "2", "--seed", "4"]).with(0).out);
    folder.write("two.toml", config.clone() + &anomaly("even", ""));
    let several = with(&["-c", "two.toml"]).with(3).err;
    assert!(several.contains("name one with `--view`: `odd`, `even`"), "{several}");
    assert_eq!(with(&["-c", "two.toml", "--view", "odd", "--why", "2"]).with(0).out, loda);
    let none = with(&["-c", "two.toml", "--view", "flow"]).with(3).err;
    assert!(none.contains("no view `flow`"), "{none}");
    folder.write("key.toml", config.replace("seed = 3", "scope = \"key\""));
    assert_eq!(n_warming(&with(&["-c", "key.toml", "--why", "2"]).with(0).out), 200);
    // All rows of one key, as nobody says what tells keys apart.
    let one = ["score", "rows.csv", "--drop", "label,who,at", "-c", "one.toml"];
    let one = folder.run(&one).with(0).says(&["warning: the rows lack", "by, venue, asset: all"]);
    assert_eq!(n_warming(&one.out), 8 + 100);
}

const WATCH: &str = r#"
[pipeline]
name = "watch"
[sources.trades]
type = "csv"
path = "trades.csv"
relation = "trades"
[sources.trades.columns]
venue = { constant = "x" }
event_time = { column = "time", unit = "s" }
[views.flow]
op = "features"
input = "trades"
windows = ["1m", "5m"]
emit = "event"
features = ["count", "volume", "last_return", "momentum"]
[sinks.out]
type = "jsonl"
path = "out"
views = ["odd"]
[views.odd]
op = "anomaly"
input = "flow"
columns = ["volume_1m", "last_return", "momentum_1m"]
explain_from = "0.5"
"#;

/// Trades of two assets of other sizes, each at a time of its own, with an hour without any in the middle.
fn trades() -> String {
    let mut dice = Dice(5);
    let mut text = "asset,id,side,price,size,time\n".to_owned();
    for n in 0..500_u64 {
        let (asset, price) = if n % 3 == 0 { ("A", 30_000) } else { ("B", 2) };
        let (price, size) = (price * (900 + dice.below(200)), 1 + dice.below(40));
        let size = if n % 97 == 90 { size * 1_000 } else { size };
        let time = 1_700_000_000 + 7 * n + if n < 250 { 0 } else { 3_600 };
        writeln!(text, "{asset},{n},buy,{price},{size},{time}").unwrap();
    }
    text
}

/// What the operator adds to the columns of its input.
const SAID: [&str; 6] = ["score", "raw", "state", "reason", "deviations", "why"];

type Fields = BTreeMap<String, Box<RawValue>>;

/// The rows that a view gives, in the order of time, and the same without what is said of them as a CSV.
fn given(folder: &Folder) -> (Vec<Fields>, String) {
    let text = folder.read("out/odd.jsonl");
    let mut rows: Vec<Fields> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.sort_by_key(|row| row["time"].get().to_owned());
    let names: Vec<&String> =
        rows[0].keys().filter(|name| !SAID.contains(&name.as_str())).collect();
    let line = |cells: Vec<&str>| cells.join(",") + "\n";
    let mut csv = line(names.iter().map(|name| name.as_str()).collect());
    for row in &rows {
        let cell = |name: &&String| match row[*name].get() {
            "null" => "",
            text => text.trim_matches('"'),
        };
        csv += &line(names.iter().map(cell).collect());
    }
    (rows, csv)
}

/// The program scores rows that a view was given as the view does, bit for bit.
#[test]
fn a_csv_is_scored_as_the_view_of_a_config_scores_its_rows() {
    let listed = "columns = [\"volume_1m\", \"last_return\", \"momentum_1m\"]\n";
    let all = WATCH.replace(listed, "");
    assert_ne!(all, WATCH);
    // Each with how many rows have no score: 32 of a model, eight of a key with units of its own, and those
    // once more where the hour without rows makes the two keys forgotten.
    let others = [
        ("normalise = false", 32),
        ("scope = \"key\"", 2 * 32),
        ("by = [\"asset\"]\nseed = 9", 2 * 8 + 32),
        ("scope = \"key\"\nforget_after = \"30m\"", 4 * 32),
        ("forget_after = \"30m\"", 4 * 8 + 32),
        ("forget_after = \"2h\"", 2 * 8 + 32),
    ];
    let asked = others.map(|(more, n_warming)| (WATCH, more, n_warming));
    for (config, more, n_warming) in
        [(WATCH, "", 2 * 8 + 32), (&*all, "", 2 * 8 + 32)].into_iter().chain(asked)
    {
        let folder = Folder::new();
        folder.write("trades.csv", trades());
        folder.write("c.toml", format!("{config}{more}\n"));
        folder.run(&["run", "c.toml"]).with(0);
        let (rows, csv) = given(&folder);
        folder.write("flow.csv", csv.clone());
        let asked = ["score", "flow.csv", "-c", "c.toml", "--time", "time"];
        let scored = folder.run(&asked).with(0);
        let mut lines = csv::Reader::from_reader(scored.out.as_bytes());
        let (mut n_lines, mut n_explained, mut n_unscored) = (0, 0, 0);
        for (line, row) in lines.records().zip(&rows) {
            let (line, at) = (line.unwrap(), &row["time"]);
            let state: String = serde_json::from_str(row["state"].get()).unwrap();
            let why: Option<String> = serde_json::from_str(row["why"].get()).unwrap();
            let why = why.unwrap_or_default();
            assert_eq!((&line[2], &line[3]), (&*state, &*why), "{more}, {at}");
            n_lines += 1;
            n_unscored += usize::from(state == "warming");
            n_explained += usize::from(!why.is_empty());
            for (place, name) in [(0, "score"), (1, "raw")] {
                if state == "ok" {
                    let bits = |text: &str| text.parse::<f64>().unwrap().to_bits();
                    let expected = bits(row[name].get());
                    assert_eq!(bits(&line[place]), expected, "{more}, {at}: {name}");
                }
            }
        }
        assert_eq!((n_lines, scored.out.lines().count()), (rows.len(), rows.len() + 1), "{more}");
        assert_eq!(n_unscored, n_warming, "{more}");
        assert!(n_lines == 500 && n_explained > 20, "{more}: {n_explained} of {n_lines}");
    }
}

#[test]
fn a_column_of_the_view_that_the_rows_lack_is_told() {
    let folder = Folder::new();
    folder.write("c.toml", WATCH);
    folder.write("flow.csv", "venue,asset,volume_1m,last_return,momentum_5m\nx,A,1,2,3\n");
    let asked = ["score", "flow.csv", "-c", "c.toml"];
    let words = ["no column `momentum_1m`", "did you mean `momentum_5m`?"];
    folder.run(&asked).with(3).says(&words);
    folder.run(&[&asked[..], &["--drop", "momentum_1m"]].concat()).with(0);
}

/// What the program doesn't do as the view would.
#[test]
fn where_scores_depart_from_the_view_is_told() {
    let folder = Folder::new();
    let listed = "columns = [\"volume_1m\", \"last_return\", \"momentum_1m\"]\n";
    let more = "normalise = false\nrefit_on = \"count_5m\"\n";
    let rests = "forget_after = \"1h\"\n";
    folder.write("c.toml", WATCH.replace(listed, more));
    folder.write("flow.csv", "who,seq,volume_1m,last_return\nA,1,2,3\nB,2,3,4\n");
    let asked = ["score", "flow.csv", "-c", "c.toml", "--key", "who"];
    folder.run(&asked).with(0).says(&[
        "the rows lack columns that the view looks at: count_1m, volume_5m, momentum_1m, momentum_5m",
        "fits that `count_5m` asks for (refit_on) aren't made",
        "`--key` only leaves its column out",
    ]);
    // What is dropped isn't missed.
    let given = folder.run(&[&asked[..], &["--drop", "momentum_1m"]].concat()).with(0);
    let given = given.says(&["looks at: count_1m, volume_5m, momentum_5m"]);
    assert!(!given.err.contains("momentum_1m"), "{}", given.err);
    folder.write("other.csv", "a,b\n1,2\n");
    let other = ["score", "other.csv", "-c", "c.toml"];
    folder.run(&other).with(0).says(&["the rows have none of the columns that the view looks at"]);
    folder.write("rests.toml", WATCH.to_owned() + rests);
    let asked = ["score", "flow.csv", "-c", "rests.toml", "--drop", "momentum_1m"];
    folder.run(&asked).with(0).says(&["without `--time` no key rests"]);
}

/// Each list of names leaves one column, by which the rows come out as without the others.
#[test]
fn names_with_commas_can_be_dropped() {
    let folder = Folder::new();
    let mut rows = "x,\"a, b\",\"say \"\"hi\"\"\",label,\n".to_owned();
    let mut alone = "x\n".to_owned();
    for n in 0..60 {
        writeln!(rows, "{},{n},{n},{n},{n}", n % 7).unwrap();
        writeln!(alone, "{}", n % 7).unwrap();
    }
    folder.write("rows.csv", rows);
    folder.write("alone.csv", alone);
    let expected = folder.run(&["score", "alone.csv"]).with(0).out;
    for dropped in [
        &["\"a, b\",\"say \"\"hi\"\"\",label,"][..],
        &["label", "\"a, b\"", "say \"hi\"", ""],
        &["label,\"a, b\"", "say \"hi\","],
    ] {
        let mut asked = vec!["score", "rows.csv"];
        asked.extend(dropped.iter().flat_map(|names| ["--drop", *names]));
        assert_eq!(folder.run(&asked).with(0).out, expected, "{dropped:?}");
    }
    folder.run(&["score", "rows.csv", "--drop", "a, b"]).with(3).says(&["no column `a`"]);
    folder.run(&["score", "rows.csv", "--drop", "x\nlabel"]).with(2).says(&["one line of names"]);
}
