//! The program from outside: a folder of its own for each test, what it printed, how it ended.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value as Json;
use tempfile::TempDir;

/// The program, with nothing of the environment that it reads.
pub(crate) fn tapeline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapeline"));
    command.env_remove("RUST_LOG");
    command
}

/// A folder in which a test writes files and runs the program.
pub(crate) struct Folder(TempDir);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One on a disk of the test's own.
    #[cfg(feature = "sabotage")]
    pub(crate) fn within(path: &std::path::Path) -> Self {
        Self(tempfile::tempdir_in(path).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The lines of a file, each parsed as JSON.
    pub(crate) fn read_json(&self, name: &str) -> Vec<serde_json::Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs the program in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.end(tapeline().args(arguments))
    }

    /// Runs a command in the folder.
    pub(crate) fn end(&self, command: &mut Command) -> Ended {
        Ended::from(command.current_dir(self.0.path()).output().unwrap())
    }
}

impl Ended {
    /// Checks the exit code; shows all that was said where it is another.
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Checks that all of these were said.
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "`{word}` isn't said: {self:#?}");
        }
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A server's answer to a GET: its status and its JSON.
pub(crate) fn get(address: &str, path: &str) -> (String, Json) {
    try_get(address, path).expect("the server answers")
}

/// The same; `None` where nobody answers.
pub(crate) fn try_get(address: &str, path: &str) -> Option<(String, Json)> {
    let mut stream = TcpStream::connect(address).ok()?;
    let asked = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().to_owned();
    Some((status, serde_json::from_str(body).unwrap()))
}
