//! The one test binary.
#![forbid(unsafe_code)]

#[cfg(test)]
mod config;
#[cfg(test)]
mod server;
#[cfg(test)]
mod subscribe;
#[cfg(test)]
mod websocket;
