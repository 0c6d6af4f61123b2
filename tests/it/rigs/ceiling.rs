//! A process that may hold so much memory and no more.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tapeline::env::{Env as _, System};

/// Where cgroups of the memory controller stand and which file of theirs holds the bound, in the first
/// version of cgroups and in the second.
const CONTROLLERS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A bound of memory for one process; lifted when it is dropped.
pub(super) struct Ceiling {
    n_bytes: u64,
    /// The cgroup, where this process may make one.
    cgroup: Option<PathBuf>,
}

impl Ceiling {
    /// Makes one: a memory cgroup, or where there can be none a limit of the process's own data.
    pub(super) fn new(n_bytes: u64) -> Self {
        let name = format!("tapeline-rig-{:032x}", System.chance());
        let make = |(above, bound)| make_cgroup(&Path::new(above).join(&name), bound, n_bytes);
        let cgroup = CONTROLLERS.into_iter().find_map(make);
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

fn make_cgroup(path: &Path, bound: &str, n_bytes: u64) -> Option<PathBuf> {
    fs::create_dir(path).ok()?;
    // The system makes a cgroup's files; where this one isn't there, memory isn't bounded there.
    let mut file = fs::File::options().write(true).open(path.join(bound));
    let is_bounded = file.as_mut().is_ok_and(|file| write!(file, "{n_bytes}").is_ok());
    drop(file);
    if !is_bounded {
        fs::remove_dir(path).ok();
    }
    is_bounded.then(|| path.to_owned())
}

/// The most memory that a process has held so far, in bytes; `None` where it is gone.
pub(super) fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}
