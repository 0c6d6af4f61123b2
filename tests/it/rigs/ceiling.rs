//! A process that may hold so much memory and no more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where cgroups of the memory controller stand, in the first version of cgroups.
const CONTROLLER: &str = "/sys/fs/cgroup/memory";

/// A bound of memory for one process; lifted when it is dropped.
pub(super) struct Ceiling {
    n_bytes: u64,
    /// The cgroup, where this process may make one.
    cgroup: Option<PathBuf>,
}

impl Ceiling {
    /// Makes one: a memory cgroup, or where there can be none a limit of the process's own data.
    pub(super) fn new(n_bytes: u64) -> Self {
        let name = format!("tapeline-rig-{:032x}", tapeline::env::chance());
        let cgroup = make_cgroup(&Path::new(CONTROLLER).join(name), n_bytes);
        Self { n_bytes, cgroup }
    }

    /// What holds the bound.
    pub(super) const fn kind(&self) -> &'static str {
        if self.cgroup.is_some() { "a memory cgroup" } else { "RLIMIT_DATA" }
    }

    /// The command under the bound; it becomes the command's own process.
    pub(super) fn over(&self, command: &Command) -> Command {
        let mut bound = if let Some(cgroup) = &self.cgroup {
            let mut shell = Command::new("sh");
            let enter = r#"echo $$ > "$0" && exec "$@""#;
            shell.args(["-c", enter]).arg(cgroup.join("cgroup.procs"));
            shell
        } else {
            let mut limited = Command::new("prlimit");
            limited.arg(format!("--data={}", self.n_bytes));
            limited
        };
        bound.arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            bound.current_dir(folder);
        }
        bound.stdout(Stdio::null());
        bound
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            // Nothing is inside any more.
            fs::remove_dir(cgroup).ok();
        }
    }
}

fn make_cgroup(path: &Path, n_bytes: u64) -> Option<PathBuf> {
    if !Path::new(CONTROLLER).join("memory.limit_in_bytes").exists() {
        return None;
    }
    fs::create_dir(path).ok()?;
    let made = fs::write(path.join("memory.limit_in_bytes"), n_bytes.to_string());
    if made.is_err() {
        fs::remove_dir(path).ok();
        return None;
    }
    Some(path.to_owned())
}

/// The most memory that a process has held so far, in bytes; `None` where it is gone.
pub(super) fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
