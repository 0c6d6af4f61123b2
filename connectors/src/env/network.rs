//! Connections to others.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service as _;

/// Longest wait for a connection, once the host's name is looked up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection: bytes out, bytes in.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection under way.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Socket>>> + Send>>;

/// Connects over TCP. Where a host has addresses of both kinds, a second one is tried before long.
pub(super) fn connect(host: &str, port: u16) -> Connecting {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut connector = HttpConnector::new();
    // Without it each insert of more than one chunk waits 40 ms for an acknowledgement.
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Box::pin(async move {
        let url: Uri = format!("http://{host}:{port}").parse().map_err(io::Error::other)?;
        let stream = connector.call(url).await.map_err(io::Error::other)?;
        let socket: Box<dyn Socket> = Box::new(TokioIo::into_inner(stream));
        Ok(socket)
    })
}
