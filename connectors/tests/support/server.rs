//! A real ClickHouse server for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// One server process. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    /// The server stops when this closes.
    stdin: Option<ChildStdin>,
    /// The HTTP port, on loopback.
    pub(crate) port: u16,
}

/// Starts a server on a folder; port 0 lets the system choose. `None` where the environment doesn't
/// name the library and the launcher: said on stderr, and a failure in CI.
pub(crate) fn start(data: &Path, port: u16) -> Option<Server> {
    start_with(data, port, None)
}

/// As [`start`], with a config of ClickHouse's own.
pub(crate) fn start_with(data: &Path, port: u16, config: Option<&Path>) -> Option<Server> {
    let variable = |name| std::env::var(name).ok();
    let (Some(lib), Some(launcher)) =
        (variable("CLICKHOUSE_TEST_LIB"), variable("CLICKHOUSE_TEST_SERVER"))
    else {
        let what = "the tests against ClickHouse: CLICKHOUSE_TEST_LIB (the path that \
                    tests/clickhouse/fetch.sh prints) and CLICKHOUSE_TEST_SERVER (the path of \
                    clickhouse-test-server) aren't set";
        assert_ne!(variable("CI").as_deref(), Some("true"), "missing for {what}");
        // Whoever runs the tests must see it.
        writeln!(std::io::stderr(), "left out: {what}").expect("writing to stderr");
        return None;
    };
    let mut child = Command::new(launcher)
        .arg("--lib")
        .arg(lib)
        .arg("--data")
        .arg(data)
        .arg("--http-port")
        .arg(port.to_string())
        .args(config.iter().flat_map(|config| [Path::new("--config"), config]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting the launcher");
    let stdin = child.stdin.take();
    let mut line = String::new();
    let stdout = child.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).expect("reading the ready line");
    let port = line.strip_prefix("ready http=").and_then(|rest| rest.split(' ').next());
    let port = port.and_then(|port| port.parse().ok());
    let port = port.unwrap_or_else(|| panic!("the server did not start, it said {line:?}"));
    Some(Server { child, stdin, port })
}

impl Server {
    /// The URL of the HTTP port.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs a statement and gives the answer's text; panics where the server refuses.
    pub(crate) fn query(&self, sql: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).expect("connecting");
        let length = sql.len();
        let head =
            format!("POST / HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        socket.write_all(head.as_bytes()).expect("sending");
        socket.write_all(sql.as_bytes()).expect("sending");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("reading");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        assert!(head.contains(" 200 "), "{sql}: {body}");
        body.to_string()
    }

    /// The crash: kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killing");
        self.child.wait().expect("waiting");
        self.stdin = None;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only where it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
