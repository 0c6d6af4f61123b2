//! A proxy before a server that fails in every way that a client must stand.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::dice::Dice;
use super::job::any;

/// Requests of a hundred that go wrong.
const FAULTS_IN_100: u64 = 30;

/// Who says nothing for so long is gone.
const SILENCE: Duration = Duration::from_mins(1);

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// It is answered 500 and goes no further.
    Refused,
    /// It is answered 503, with a page, and goes no further.
    Unavailable,
    /// The answer isn't HTTP, and it goes no further.
    NoHttp,
    /// The connection is cut behind its head.
    CutBefore,
    /// The server gets a part of its body, then both connections are cut.
    CutInBody,
    /// The server has done it, and 500 is answered.
    RefusedAfter,
    /// The server has done it, and the answer is lost.
    AnswerLost,
    /// The server has done it, and a part of the answer comes.
    AnswerCut,
    /// It is held up.
    Late,
}

impl Fault {
    pub(super) const ALL: [Self; 9] = [
        Self::Refused,
        Self::Unavailable,
        Self::NoHttp,
        Self::CutBefore,
        Self::CutInBody,
        Self::RefusedAfter,
        Self::AnswerLost,
        Self::AnswerCut,
        Self::Late,
    ];
}

/// A proxy at work; it ends when it is dropped.
pub(super) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// What connections share.
struct Shared {
    /// The server's port.
    upstream: u16,
    is_over: AtomicBool,
    state: Mutex<State>,
}

struct State {
    dice: Dice,
    seen: Seen,
}

/// What came by.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) n_requests: u64,
    pub(super) faults: BTreeMap<Fault, u64>,
}

impl Seen {
    /// Adds what came by elsewhere.
    pub(super) fn add(&mut self, other: &Self) {
        self.n_requests += other.n_requests;
        for (fault, n) in &other.faults {
            *self.faults.entry(*fault).or_default() += n;
        }
    }
}

impl Proxy {
    /// Starts one before a port of this machine; the seed says which requests go wrong, and how.
    pub(super) fn start(upstream: u16, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Mutex::new(State { dice: Dice(seed), seen: Seen::default() });
        let shared = Arc::new(Shared { upstream, is_over: AtomicBool::new(false), state });
        let accepting = Some(std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        }));
        Self { port, shared, accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What came by so far.
    pub(super) fn seen(&self) -> Seen {
        self.shared.state.lock().unwrap().seen.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes it up.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let (client, shared) = (client.unwrap(), Arc::clone(shared));
        // Whoever is cut off, here or there, comes again.
        std::thread::spawn(move || serve(&client, &shared).ok());
    }
}

/// Serves a connection until one side ends it.
fn serve(mut client: &TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_read_timeout(Some(SILENCE))?;
    client.set_nodelay(true)?;
    let mut requests = BufReader::new(client);
    loop {
        let mut request = read_head(&mut requests)?;
        let n_head = request.len();
        let (fault, chance) = shared.draw();
        if fault == Some(Fault::CutBefore) {
            return Ok(());
        }
        read_body(&mut requests, &mut request, false)?;
        let part = |first: usize, whole: usize| {
            let n = u64::try_from(whole - first).unwrap().max(1);
            first + usize::try_from(chance % n).unwrap()
        };
        match fault {
            Some(Fault::Refused) => client.write_all(&page("500 Internal Server Error", ""))?,
            Some(Fault::Unavailable) => {
                client.write_all(&page("503 Service Unavailable", "<html>come again</html>"))?;
            }
            Some(Fault::NoHttp) => return client.write_all(b"\x00\x01SSH-2.0-what?\r\n\r\n\xff"),
            Some(Fault::CutBefore) => return Ok(()),
            Some(Fault::CutInBody) => {
                let mut server = shared.connect()?;
                let part = part(n_head, request.len());
                server.write_all(request.get(..part).unwrap_or_default())?;
                return server.shutdown(Shutdown::Both);
            }
            Some(Fault::RefusedAfter) => {
                shared.forward(&request)?;
                client.write_all(&page("500 Internal Server Error", ""))?;
            }
            Some(Fault::AnswerLost) => {
                shared.forward(&request)?;
                return Ok(());
            }
            Some(Fault::AnswerCut) => {
                let answer = shared.forward(&request)?;
                let part = part(1, answer.len());
                return client.write_all(answer.get(..part).unwrap_or_default());
            }
            Some(Fault::Late) => {
                std::thread::sleep(Duration::from_millis(20 + chance % 150));
                client.write_all(&shared.forward(&request)?)?;
            }
            None => client.write_all(&shared.forward(&request)?)?,
        }
    }
}

impl Shared {
    /// Says what becomes of the next request, with a number that says where.
    fn draw(&self) -> (Option<Fault>, u64) {
        let mut state = self.state.lock().unwrap();
        state.seen.n_requests += 1;
        let is_wrong = state.dice.below(100) < FAULTS_IN_100;
        let which = any(&mut state.dice, Fault::ALL.len());
        let chance = state.dice.below(1 << 40);
        let fault = is_wrong.then_some(Fault::ALL[which]);
        if let Some(fault) = fault {
            *state.seen.faults.entry(fault).or_default() += 1;
        }
        (fault, chance)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let server = TcpStream::connect(("127.0.0.1", self.upstream))?;
        server.set_read_timeout(Some(SILENCE))?;
        server.set_nodelay(true)?;
        Ok(server)
    }

    /// Gives the server a request; its whole answer.
    fn forward(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut server = self.connect()?;
        server.write_all(request)?;
        let mut answers = BufReader::new(&server);
        let mut answer = read_head(&mut answers)?;
        read_body(&mut answers, &mut answer, true)?;
        Ok(answer)
    }
}

fn page(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads a message's head, up to its empty line.
fn read_head(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        read_line(input, &mut head)?;
    }
    Ok(head)
}

/// Reads a message's body behind its head.
fn read_body(input: &mut impl BufRead, message: &mut Vec<u8>, is_answer: bool) -> io::Result<()> {
    let head = String::from_utf8_lossy(message).to_ascii_lowercase();
    let field = |name: &str| {
        let found = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.map(|value| value.trim().to_owned())
    };
    if field("transfer-encoding").as_deref() == Some("chunked") {
        return read_chunks(input, message);
    }
    match field("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => read_exactly(input, message, length),
        // The end of the connection is the answer's end.
        None if is_answer => input.read_to_end(message).map(|_| ()),
        None => Ok(()),
    }
}

/// Reads chunks up to the empty one.
fn read_chunks(input: &mut impl BufRead, message: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let start = message.len();
        read_line(input, message)?;
        let line = String::from_utf8_lossy(message.get(start..).unwrap_or_default()).into_owned();
        let length = line.trim().split(';').next().unwrap_or_default();
        let length = u64::from_str_radix(length, 16).map_err(io::Error::other)?;
        // Behind the empty one stands an empty line as well.
        read_exactly(input, message, length + 2)?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn read_line(input: &mut impl BufRead, message: &mut Vec<u8>) -> io::Result<()> {
    input.read_until(b'\n', message)?;
    if message.ends_with(b"\n") { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn read_exactly(input: &mut impl BufRead, message: &mut Vec<u8>, length: u64) -> io::Result<()> {
    let n_read = input.take(length).read_to_end(message)?;
    let is_whole = u64::try_from(n_read).is_ok_and(|n| n == length);
    if is_whole { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
