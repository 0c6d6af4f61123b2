//! The one test binary.

#[cfg(test)]
mod server;
#[cfg(test)]
mod subscribe;
#[cfg(test)]
mod websocket;
