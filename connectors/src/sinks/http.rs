//! How HTTP clients connect: through the surroundings of the run.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::env::{Env, Socket};

/// Connects to the host of a url.
#[derive(Clone, Debug)]
pub(crate) struct Connector(Arc<dyn Env>);

impl Connector {
    /// Connects through these surroundings.
    pub(crate) const fn new(env: Arc<dyn Env>) -> Self {
        Self(env)
    }
}

impl Connection for Box<dyn Socket> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Socket>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        // An IPv6 address stands in brackets in a url, and without them elsewhere.
        let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let connecting = self.0.connect(host, url.port_u16().unwrap_or(default));
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}
