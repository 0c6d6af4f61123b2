//! A server on loopback and a client that folds what it hears.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tapeline::publish::{Hub, MAX_PENDING_KEYS, ViewSpec};
use tapeline::runtime::EpochOutput;
use tapeline::serve::{MAX_FRAME_BYTES, PROTOCOL, ServeOptions, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use types::relations::RelationKind;
use types::{Changes, Column, Epoch, Kind, Names, Row, Schema, Value, VenueTime};

/// A server with the views `rows` and `others`, of a key `k` and a text `v`.
pub(crate) struct Rig {
    pub(crate) hub: Arc<Hub>,
    pub(crate) at: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
    pub(crate) epoch: u64,
    /// What `rows` holds.
    pub(crate) rows: BTreeMap<u64, String>,
}

/// A row of those views.
pub(crate) fn row(key: u64, text: &str) -> Row {
    Row(Arc::from([Value::Text(format!("k{key}").into()), Value::Text(text.into())]))
}

impl Rig {
    pub(crate) async fn start(options: ServeOptions) -> Self {
        Self::start_with(options, MAX_PENDING_KEYS).await
    }

    pub(crate) async fn start_with(options: ServeOptions, max_pending_keys: usize) -> Self {
        let column = |name| Column { name: Cow::Borrowed(name), kind: Kind::Text, nullable: false };
        let schema = Schema { columns: vec![column("k"), column("v")], n_key: 1, time: None };
        let schema = schema.shared();
        let views = ["rows", "others"].map(|name| ViewSpec {
            live: None,
            name: name.to_owned(),
            kind: RelationKind::Rows,
            schema: Arc::clone(&schema),
            operator: "filter",
        });
        let names = Arc::new(Names::default());
        let hub = Hub::new(views.to_vec(), &names, 0).with_max_pending_keys(max_pending_keys);
        let hub = Arc::new(hub);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let serving = tokio::spawn(serve(listener, Arc::clone(&hub), options, shutdown));
        Self { hub, at, stop: Some(stop), serving, epoch: 0, rows: BTreeMap::new() }
    }

    /// Publishes an epoch that puts these rows into `rows`; an empty text removes.
    pub(crate) fn publish(&mut self, rows: impl IntoIterator<Item = (u64, String)>) {
        self.epoch += 1;
        let mut changed = Vec::new();
        for (key, text) in rows {
            changed.extend(self.rows.remove(&key).map(|old| (row(key, &old), -1)));
            if !text.is_empty() {
                changed.push((row(key, &text), 1));
                self.rows.insert(key, text);
            }
        }
        types::changes::adjoin(&mut changed, &self.hub.views()[0].schema);
        let changes = [Changes::Rows(changed), Changes::empty(RelationKind::Rows)];
        self.hub.publish(&EpochOutput {
            epoch: Epoch(self.epoch),
            watermark: VenueTime::from_nanos(1_700_000_000_000_000_000),
            changes: changes.map(Arc::new).to_vec(),
        });
    }

    /// What a client must hold.
    pub(crate) fn shown(&self) -> BTreeMap<String, String> {
        self.rows.iter().map(|(key, text)| (format!("k{key}"), text.clone())).collect()
    }

    pub(crate) async fn upgrade(&self, headers: &[(&'static str, &str)]) -> Result<Client, Error> {
        // Small buffers, so that a client that doesn't read is felt soon.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let stream = socket.connect(self.at).await.unwrap();
        let mut request = format!("ws://{}/v1/ws", self.at).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let (socket, response) = client_async(request, stream).await?;
        assert_eq!(response.headers()["sec-websocket-protocol"], PROTOCOL);
        Ok(Client { socket, rows: BTreeMap::new(), seq: 0, epoch: 0, is_whole: true, n_resets: 0 })
    }

    /// A client that has said nothing yet.
    pub(crate) async fn connect(&self) -> Client {
        self.upgrade(&[("sec-websocket-protocol", PROTOCOL)]).await.unwrap()
    }

    /// A client that was welcomed.
    pub(crate) async fn client(&self) -> Client {
        let mut client = self.connect().await;
        client.say(json!({ "op": "hello", "id": "h" })).await;
        assert_eq!(client.hear().await["op"], "welcome");
        client
    }

    /// An answer over HTTP: status, type and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String, Json) {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let host = self.at;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
        (status, kind.to_owned(), serde_json::from_str(body).unwrap())
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        timeout(Duration::from_secs(20), self.serving).await.unwrap().unwrap().unwrap();
    }
}

/// A client that folds what it hears of one subscription.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) rows: BTreeMap<String, String>,
    seq: u64,
    pub(crate) epoch: u64,
    /// Whether `rows` are those of `epoch`, whole.
    pub(crate) is_whole: bool,
    pub(crate) n_resets: u64,
}

impl Client {
    pub(crate) async fn say(&mut self, message: Json) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> Json {
        loop {
            let next = timeout(Duration::from_secs(20), self.socket.next()).await;
            match next.expect("a message in time").expect("a message").unwrap() {
                Message::Text(text) => {
                    assert!(text.len() <= MAX_FRAME_BYTES);
                    return serde_json::from_str(text.as_str()).unwrap();
                }
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The code with which the server closes, whatever comes before.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            let next = timeout(Duration::from_secs(20), self.socket.next()).await;
            match next.expect("a close in time") {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, view: &str) {
        self.say(json!({ "op": "subscribe", "id": 1, "sub": "s", "view": view })).await;
        let ok = self.hear().await;
        assert_eq!((&ok["op"], &ok["id"], &ok["key"]), (&json!("ok"), &json!(1), &json!(["k"])));
    }

    /// Folds one frame; gives its op.
    pub(crate) async fn fold(&mut self) -> String {
        let frame = self.hear().await;
        let op = frame["op"].as_str().unwrap().to_owned();
        if op == "reset" {
            (self.seq, self.n_resets) = (0, self.n_resets + 1);
            self.rows.clear();
            return op;
        }
        assert_eq!(frame["seq"], self.seq + 1, "{op} of {}", frame["gen"]);
        assert_eq!(frame["gen"], self.n_resets + 1);
        self.seq += 1;
        let epoch = frame["epoch"].as_str().unwrap().parse().unwrap();
        assert!(epoch >= self.epoch);
        self.epoch = epoch;
        self.is_whole = frame["last"] != false;
        let text = |row: &Json, name: &str| row[name].as_str().unwrap().to_owned();
        for list in ["rows", "put"] {
            for row in frame[list].as_array().into_iter().flatten() {
                self.rows.insert(text(row, "k"), text(row, "v"));
            }
        }
        for key in frame["del"].as_array().into_iter().flatten() {
            self.rows.remove(&text(key, "k"));
        }
        op
    }

    /// Folds until the server says that all up to an epoch was sent.
    pub(crate) async fn fold_to_progress(&mut self, epoch: u64) -> Vec<String> {
        let mut ops = Vec::new();
        while ops.last().is_none_or(|op| op != "progress") || self.epoch < epoch {
            ops.push(self.fold().await);
        }
        ops
    }
}
