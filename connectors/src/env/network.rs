//! Connections to others.

use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection: bytes out, bytes in.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection under way. It has no timeout of its own.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Socket>>> + Send>>;

/// Connects over TCP.
pub(super) fn connect(host: &str, port: u16) -> Connecting {
    let host = host.to_owned();
    Box::pin(async move {
        let stream = TcpStream::connect((host, port)).await?;
        // Without it each insert of more than one chunk waits 40 ms for an acknowledgement.
        stream.set_nodelay(true)?;
        let socket: Box<dyn Socket> = Box::new(stream);
        Ok(socket)
    })
}
