//! A disk of a rig's own: a file system that may be cut from its power, filled and broken.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A file system that is mounted in a folder of its own, until it is dropped or this process ends.
pub(super) struct Disk {
    folder: PathBuf,
    what: What,
    keeper: Child,
    /// Ends the keeper, which takes the mount away.
    to_keeper: Option<ChildStdin>,
    from_keeper: BufReader<ChildStdout>,
}

/// What is mounted.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// An ext4 file system in a file: options of its making, and of its mount.
    Ext4 { make: &'static [&'static str], mount: &'static str },
    /// A file system in memory, with its options.
    Tmpfs { mount: &'static str },
}

/// Ext4 as it is mounted by default, but that it writes nothing out by the clock.
pub(super) const EXT4: What = What::Ext4 { make: &[], mount: "commit=300" };

/// Whether this machine mounts file systems for us. In CI it must.
pub(super) fn may_mount(rig: &str) -> bool {
    let Err(why) = Disk::make(EXT4) else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{rig}: CI needs loop mounts: {why}");
    eprintln!("{rig}: left out, no file system can be mounted in a loop device (as root): {why}");
    false
}

impl Disk {
    /// Makes and mounts one.
    pub(super) fn make(what: What) -> Result<Self, String> {
        // In memory where there is such a place: what a sync costs isn't what is tried.
        let memory = Path::new("/dev/shm");
        let above = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("tapeline-disk-").tempdir_in(above);
        let folder = folder.map_err(|error| error.to_string())?;
        let mount = folder.path().join("mount");
        std::fs::create_dir(&mount).map_err(|error| error.to_string())?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/rigs/disk.py");
        // In a group of its own, so that it outlives us where a signal goes to all of ours.
        let keeper = Command::new("python3")
            .arg(script)
            .args([mount.as_path(), folder.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut keeper = keeper.map_err(|error| format!("starting python3: {error}"))?;
        // From here on the keeper takes the folder away.
        let (folder, to_keeper) = (folder.keep(), keeper.stdin.take());
        let from_keeper = BufReader::new(keeper.stdout.take().unwrap());
        let disk = Self { folder, what, keeper, to_keeper, from_keeper };
        if let What::Ext4 { make, .. } = what {
            let image = disk.folder.join("image");
            // A sparse file: it takes what is written to it.
            let made = std::fs::File::create(&image).and_then(|file| file.set_len(64 << 20));
            made.map_err(|error| error.to_string())?;
            command(
                Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).args(make).arg(&image),
            )?;
        }
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("mount")
    }

    fn mount(&self) -> Result<(), String> {
        let mut mount = Command::new("mount");
        match self.what {
            What::Ext4 { mount: options, .. } => {
                mount.args(["-o", &format!("loop,{options}")]).arg(self.folder.join("image"));
            }
            What::Tmpfs { mount: options } => {
                mount.args(["-t", "tmpfs", "-o", options, "rig"]);
            }
        }
        command(mount.arg(self.path()))
    }

    /// Mounts it with other options while it is in use.
    pub(super) fn remount(&self, options: &str) -> Result<(), String> {
        let options = format!("remount,{options}");
        command(Command::new("mount").args(["-o", &options]).arg(self.path()))
    }

    /// Leaves so many bytes of it free, or all that it has.
    pub(super) fn fill(&self, n_left: Option<u64>) {
        match (self.what, n_left) {
            (What::Tmpfs { .. }, None) => self.remount("size=64m").unwrap(),
            (What::Tmpfs { .. }, Some(n)) => {
                let n_used = self.number("used");
                self.remount(&format!("size={}", n_used + n)).unwrap();
            }
            (What::Ext4 { .. }, None) => std::fs::remove_file(self.path().join("ballast")).unwrap(),
            (What::Ext4 { .. }, Some(n)) => {
                let ballast = self.number("avail").saturating_sub(n).max(1).to_string();
                let path = self.path().join("ballast");
                command(Command::new("fallocate").args(["-l", &ballast]).arg(path)).unwrap();
            }
        }
    }

    /// Leaves room for so many more files and folders, or for many. Of those in memory alone.
    pub(super) fn limit_files(&self, n_left: Option<u64>) {
        let n_used = self.number("iused");
        self.remount(&format!("nr_inodes={}", n_used + n_left.unwrap_or(100_000))).unwrap();
    }

    /// Bytes of it that are used, and files and folders.
    pub(super) fn used(&self) -> (u64, u64) {
        (self.number("used"), self.number("iused"))
    }

    /// A column of `df`, in bytes where it is a size.
    fn number(&self, column: &str) -> u64 {
        let mut df = Command::new("df");
        let output = df.args(["-B1", &format!("--output={column}")]).arg(self.path()).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines().nth(1).unwrap().trim().parse().unwrap()
    }

    /// Writes out all that is in it.
    pub(super) fn write_out(&self) {
        command(Command::new("sync").arg("--file-system").arg(self.path())).unwrap();
    }

    /// Cuts its power: what wasn't written out is lost, and nothing can be done with it any more.
    pub(super) fn cut(&mut self) {
        self.to_keeper.as_mut().unwrap().write_all(b"cut\n").unwrap();
        let mut answer = String::new();
        self.from_keeper.read_line(&mut answer).unwrap();
        assert_eq!(answer, "cut\n", "the power wasn't cut");
    }

    /// Mounts it again, as a machine does that starts: what was written out is there. Nothing may be open
    /// there. Fails where the file system doesn't come back.
    pub(super) fn start_again(&self) -> Result<(), String> {
        let umount = || command(Command::new("umount").arg(self.path()));
        // The last files of a process that was killed may still be about to be closed.
        let mut freed = umount();
        for _ in 0..100 {
            if freed.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            freed = umount();
        }
        freed.unwrap();
        self.mount()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.to_keeper.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("{} stays behind: {error}", self.folder.display());
        }
    }
}

fn command(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
