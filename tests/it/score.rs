//! `tapeline score` from outside.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

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
    let other = folder.run(&[&ASKED[..], &["--seed", "1"]].concat()).with(0).out;
    assert_ne!(other, expected);
}

#[test]
fn a_file_gets_its_name_when_it_is_whole() {
    let folder = folder();
    let expected = folder.run(&ASKED).with(0).out;
    // Over its own input, too.
    let args: Vec<&str> = [&ASKED[..], &["-o", "rows.csv"]].concat();
    folder.run(&args).with(0);
    assert_eq!(folder.read("rows.csv"), expected);
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
    folder.run(&["score", "none.csv"]).with(3).says(&["no column is left"]);
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
    assert_eq!(loda.lines().filter(|line| line.contains("warming")).count(), 200);
    assert_ne!(loda, with(&["-c", "one.toml", "--why", "2", "--seed", "4"]).with(0).out);
    folder.write("two.toml", config + &anomaly("even", ""));
    let several = with(&["-c", "two.toml"]).with(3).err;
    assert!(several.contains("name one with `--view`: `odd`, `even`"), "{several}");
    assert_eq!(with(&["-c", "two.toml", "--view", "odd", "--why", "2"]).with(0).out, loda);
    let none = with(&["-c", "two.toml", "--view", "flow"]).with(3).err;
    assert!(none.contains("no view `flow`"), "{none}");
}
