//! `tapeline subscribe` from outside: lines and exit codes.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use tapeline::serve::ServeOptions;

use crate::server::Rig;

fn subscribe(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapeline"));
    command.arg("subscribe").args(arguments);
    command
}

/// Starts a subscriber whose lines are read one by one.
fn spawn(arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = subscribe(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

// The server has threads of its own, so that these may block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_changes_are_lines() {
    let mut rig = Rig::start(ServeOptions::default()).await;
    rig.publish([(1, "a".to_owned()), (2, "b".to_owned())]);
    let at = rig.at.to_string();
    let once = subscribe(&[&at, "rows", "--once"]).output().unwrap();
    let first = "{\"epoch\":\"1\",\"op\":\"put\",\"row\":{\"k\":\"k1\",\"v\":\"a\"}}\n\
                 {\"epoch\":\"1\",\"op\":\"put\",\"row\":{\"k\":\"k2\",\"v\":\"b\"}}\n";
    assert_eq!(
        (once.status.code(), String::from_utf8(once.stdout).unwrap()),
        (Some(0), first.to_owned())
    );

    let (mut child, mut lines) = spawn(&[&format!("http://{at}"), "rows", "--until-end"]);
    for line in first.lines() {
        assert_eq!(lines.next().unwrap().unwrap(), line);
    }
    rig.publish([(1, String::new())]);
    rig.hub.end();
    let del = "{\"epoch\":\"2\",\"op\":\"del\",\"key\":{\"k\":\"k1\"}}";
    assert_eq!(lines.next().unwrap().unwrap(), del);
    assert!(lines.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    rig.stop().await;
}

// The server has threads of its own, so that these may block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_say_whose_fault_it_is() {
    let mut rig = Rig::start(ServeOptions::default()).await;
    let at = rig.at.to_string();
    for (arguments, code) in [(["wss://x", "rows"], 2), ([at.as_str(), "row"], 2)] {
        assert_eq!(subscribe(&arguments).output().unwrap().status.code(), Some(code));
    }

    // Whoever reads stops reading: success.
    rig.publish([(1, "a".to_owned())]);
    let (mut child, mut lines) = spawn(&[&at, "rows"]);
    assert!(lines.next().is_some());
    drop(lines);
    for n in 0..100 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        rig.publish([(1, n.to_string())]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let (mut cut_off, mut lines) = spawn(&[&at, "rows"]);
    assert!(lines.next().is_some());
    rig.stop().await;
    assert_eq!(cut_off.wait().unwrap().code(), Some(4));
    assert_eq!(subscribe(&[&at, "rows"]).output().unwrap().status.code(), Some(4));
}
