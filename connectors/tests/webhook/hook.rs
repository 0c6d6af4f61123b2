//! An HTTP server that takes POSTs, refuses them or cuts the line, as a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A POST that came, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    /// Its head, in lower-case names.
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: String,
    /// The status that it got; 0 where the line was cut.
    pub(crate) status: u16,
}

impl Got {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// What names its content.
    pub(crate) fn key(&self) -> &str {
        self.header("idempotency-key")
    }
}

/// What becomes of a POST: a status and headers, or nothing at all.
pub(crate) type Answer = Option<(u16, &'static str)>;

/// A server, until the process ends.
pub(crate) struct Hook {
    port: u16,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Hook {
    /// Starts a server; `answer` decides on each POST, by how many came before and its body.
    pub(crate) fn start(answer: impl Fn(usize, &str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("binding");
        let port = listener.local_addr().expect("it has an address").port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                // What is cut off by its sender never came.
                take(socket, &kept, &answer).unwrap_or_default();
            }
        });
        Self { port, got }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/a/hook", self.port)
    }

    /// All that came.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("nobody panics").clone()
    }
}

fn take(
    mut socket: TcpStream,
    kept: &Mutex<Vec<Got>>,
    answer: &impl Fn(usize, &str) -> Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut head = Vec::new();
    let mut line = String::new();
    reader.read_line(&mut line)?;
    assert!(line.starts_with("POST /a/hook HTTP/1.1"), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        head.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut got = Got { head, body: String::new(), status: 0 };
    let mut body = vec![0; got.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    got.body = String::from_utf8(body).expect("it is JSON");
    let mut kept = kept.lock().expect("nobody panics");
    let answered = answer(kept.len(), &got.body);
    got.status = answered.map_or(0, |(status, _)| status);
    kept.push(got);
    drop(kept);
    if let Some((status, headers)) = answered {
        let text = format!(
            "HTTP/1.1 {status} Word\r\nContent-Length: 3\r\nConnection: close\r\n{headers}\r\nso\n"
        );
        socket.write_all(text.as_bytes())?;
    }
    Ok(())
}
