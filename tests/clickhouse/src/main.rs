//! A real ClickHouse server for tests, without a container: loads `libchdb.so` (`fetch.sh` fetches
//! it) and runs the `clickhouse local` program inside it with its HTTP and TCP listeners started.
//!
//! Prints one line `ready http=PORT tcp=PORT` on stdout once the server answers, then serves until
//! stdin closes. Exit status: 0 after a clean stop, 1 when it did not start, 2 for wrong arguments.
//! The error of ClickHouse itself is on stderr.

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const USAGE: &str = "usage: clickhouse-test-server --lib PATH --data DIR [--http-port N] [--tcp-port N] [--config PATH]";

/// How often the HTTP port is asked, once the server says that it listens, and the wait between.
const ANSWER_TRIES: u32 = 1000;
const ANSWER_WAIT: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            complain(&format!("{error}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program that talks to people on stderr")]
fn complain(error: &str) {
    eprintln!("clickhouse-test-server: {error}");
}

struct Args {
    lib: PathBuf,
    data: PathBuf,
    http_port: u16,
    tcp_port: u16,
    /// A config of ClickHouse's own, for a server with users.
    config: Option<PathBuf>,
}

impl Args {
    fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let (mut lib, mut data, mut config) = (None, None, None);
        let (mut http_port, mut tcp_port) = (0, 0);
        while let Some(name) = words.next() {
            let name = name.to_string_lossy().into_owned();
            let mut value = || words.next().ok_or(format!("{name} needs a value"));
            let port = |text: OsString| {
                let text = text.to_string_lossy();
                text.parse().map_err(|_| format!("{name}: {text} is no port number"))
            };
            match name.as_str() {
                "--lib" => lib = Some(PathBuf::from(value()?)),
                "--data" => data = Some(PathBuf::from(value()?)),
                "--config" => config = Some(PathBuf::from(value()?)),
                "--http-port" => http_port = port(value()?)?,
                "--tcp-port" => tcp_port = port(value()?)?,
                other => return Err(format!("unknown argument {other}")),
            }
        }
        Ok(Self {
            lib: lib.ok_or("--lib is missing")?,
            data: data.ok_or("--data is missing")?,
            http_port, // 0: the system chooses a free one
            tcp_port,
            config,
        })
    }
}

fn serve(args: &Args) -> Result<(), String> {
    let data = args.data.to_str().ok_or("--data is not UTF-8")?;
    // The server writes its ports into this pipe. A pipe and not the result of the query, which
    // comes back only at the end; and not INTO OUTFILE '/dev/stdout', which would replace that
    // file (it writes a new file and renames it).
    let (ports, write_end) = io::pipe().map_err(|error| format!("cannot make a pipe: {error}"))?;
    let query = format!(
        "SYSTEM START LISTEN TCP; \
         SYSTEM START LISTEN HTTP; \
         INSERT INTO FUNCTION file({fd}, 'TSV') \
             SELECT getServerPort('http_port'), getServerPort('tcp_port'); \
         SELECT count() FROM file('stdin', 'LineAsString') FORMAT Null", // until stdin closes
        fd = write_end.as_raw_fd()
    );
    let mut words = vec![
        "clickhouse".to_string(),
        format!("--path={data}"),
        "--listen_host=127.0.0.1".to_string(), // the default user has no password
        format!("--http_port={}", args.http_port),
        format!("--tcp_port={}", args.tcp_port),
        format!("--query={query}"),
    ];
    if let Some(config) = &args.config {
        words.push(format!("--config-file={}", config.display()));
    }
    let announcer = thread::spawn(move || {
        let (http, tcp) = read_ports(ports)?; // an error: the server is gone, serve() goes on
        if let Err(error) = announce(http, tcp) {
            complain(&error);
            end_process();
        }
        Ok(())
    });
    let ran = run_clickhouse(&args.lib, &words);
    drop(write_end); // ends the wait for the ports where the server never wrote them
    let announced =
        announcer.join().unwrap_or_else(|_| Err("the announcing thread panicked".into()));
    ran.and(announced)
}

#[expect(clippy::exit, reason = "the server runs on another thread that only ends with stdin")]
fn end_process() -> ! {
    std::process::exit(1)
}

/// Waits for the line `HTTP<TAB>TCP` that the server writes into the pipe.
fn read_ports(pipe: PipeReader) -> Result<(u16, u16), String> {
    let mut line = String::new();
    BufReader::new(pipe)
        .read_line(&mut line)
        .map_err(|error| format!("cannot read the ports: {error}"))?;
    let (http, tcp) =
        line.trim_end().split_once('\t').ok_or("the server stopped before it listened")?;
    match (http.parse(), tcp.parse()) {
        (Ok(http), Ok(tcp)) => Ok((http, tcp)),
        _ => Err(format!("bad line of ports {line:?}")),
    }
}

/// Waits until the HTTP port answers, then prints the ready line.
fn announce(http: u16, tcp: u16) -> Result<(), String> {
    let mut tries = 0;
    while !answers(http) {
        tries += 1;
        if tries > ANSWER_TRIES {
            return Err(format!("no answer on 127.0.0.1:{http}"));
        }
        thread::sleep(ANSWER_WAIT);
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "ready http={http} tcp={tcp}")
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))
}

/// One HTTP `GET /ping`; true when the server said `Ok.`.
fn answers(http_port: u16) -> bool {
    let ping = || -> io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", http_port))?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ping().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains("Ok."))
}

/// Runs `clickhouse local` with these arguments and returns when its last query has ended.
/// Only errors of the start itself are seen here: a failed query goes to stderr alone.
#[expect(unsafe_code, reason = "the server is a C library: loading and calling it is unsafe")]
fn run_clickhouse(lib: &Path, words: &[String]) -> Result<(), String> {
    // chdb_result * chdb_query_cmdline(int argc, char ** argv)
    type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
    // const char * chdb_result_error(chdb_result *)
    type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

    let words: Vec<CString> = words
        .iter()
        .map(|word| CString::new(word.as_str()).map_err(|_| format!("NUL byte in {word:?}")))
        .collect::<Result<_, _>>()?;
    let mut argv: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    let argc = c_int::try_from(argv.len()).map_err(|_| "too many arguments")?;
    argv.push(std::ptr::null_mut());

    // SAFETY: the library is the one that `fetch.sh` has verified; its initialisers need nothing
    // from us.
    let library = unsafe { libloading::Library::new(lib) }
        .map_err(|error| format!("cannot load {}: {error:?}", lib.display()))?;
    // SAFETY: the signature is that of chdb.h.
    let query_cmdline = unsafe { library.get::<QueryCmdline>("chdb_query_cmdline") };
    let query_cmdline = *query_cmdline.map_err(|error| format!("{error:?}"))?;
    // SAFETY: the signature is that of chdb.h.
    let result_error = unsafe { library.get::<ResultError>("chdb_result_error") };
    let result_error = *result_error.map_err(|error| format!("{error:?}"))?;
    // Never unloaded, because threads of it may still run: the process ends right after.
    std::mem::forget(library);

    // SAFETY: argv ends with a null pointer; it and its strings outlive the call.
    let result = unsafe { query_cmdline(argc, argv.as_mut_ptr()) };
    if result.is_null() {
        return Err("chdb_query_cmdline returned nothing".into());
    }
    // SAFETY: the result isn't null, and it is never freed.
    let error = unsafe { result_error(result) };
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: what isn't null is a C string that lives as long as the result.
    Err(unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned())
}
