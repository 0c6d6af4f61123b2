//! The calls by which a run uses its files, as strace tells them; and one of them made to fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::job::Job;

/// The calls that may fail.
const NAMES: &str =
    "openat,mkdir,rename,unlink,read,pread64,write,pwrite64,fsync,fdatasync,ftruncate";

/// One call of a run.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Its name.
    pub(super) name: String,
    /// The file, below the job's folder.
    pub(super) path: String,
    /// Which one of its name, with this file, in its thread.
    pub(super) time: usize,
}

/// How a call fails.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    pub(super) call: Call,
    /// As the system names it.
    pub(super) error: &'static str,
    /// Whether all that come behind it fail, too.
    pub(super) for_good: bool,
}

/// The job's program below strace, which writes what it sees into a file.
fn below_strace(log: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--decode-fds=path", "--seccomp-bpf"]);
    command.arg(format!("--trace={NAMES}")).arg("--output").arg(log);
    command
}

/// Puts the program, with the job, behind a command. Its paths are whole, as strace compares them.
fn program(mut command: Command, job: &Job) -> Command {
    let run = job.command();
    command.arg(run.get_program()).arg("run").arg(job.folder.path("c.toml"));
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    command.env_remove("RUST_LOG");
    command
}

/// Runs a job to its end; all calls that name a file below its folder.
pub(super) fn trace(job: &Job) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = program(below_strace(log.path()), job).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = format!("{}/", job.folder.path("").display());
    let folder = folder.replace("//", "/");
    let text = std::fs::read_to_string(log.path()).unwrap();
    let mut times: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, name, path)) = parse(line, &folder) else { continue };
        let time = times.entry((thread, name.clone(), path.clone())).or_default();
        *time += 1;
        calls.push(Call { name, path, time: *time });
    }
    calls
}

/// Thread, call and path of a line such as `17 write(5</rig/out/a>, "x", 1) = 1`.
fn parse(line: &str, folder: &str) -> Option<(String, String, String)> {
    let (thread, call) = line.split_once(' ')?;
    let (name, arguments) = call.trim_start().split_once('(')?;
    let arguments = arguments
        .strip_prefix("AT_FDCWD<")
        .map_or(arguments, |rest| rest.split_once(", ").map_or(rest, |(_, arguments)| arguments));
    let from = arguments.find(|c| ['<', '"'].contains(&c))?;
    let rest = arguments.get(from + 1..)?;
    let path = rest.split(['>', '"']).next()?.strip_prefix(folder)?;
    Some((thread.to_owned(), name.to_owned(), path.to_owned()))
}

impl Failing {
    /// The job's program, in which the call fails.
    pub(super) fn command(&self, job: &Job, log: &Path) -> Command {
        let Call { name, path, time } = &self.call;
        let mut command = below_strace(log);
        command.arg("--trace-path").arg(job.folder.path(path));
        let on = if self.for_good { "+" } else { "" };
        command.arg(format!("--inject={name}:error={}:when={time}{on}", self.error));
        program(command, job)
    }

    /// Whether it failed.
    pub(super) fn has_failed(log: &Path) -> bool {
        std::fs::read_to_string(log).unwrap_or_default().contains("(INJECTED)")
    }

    /// Whether a run may end well without it: what it would remove or look for isn't needed.
    pub(super) fn may_be_passed_over(&self) -> bool {
        ["openat", "mkdir", "unlink", "read"].contains(&self.call.name.as_str())
    }
}
