//! The one test binary.
#![forbid(unsafe_code)]

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod catching_up;
#[cfg(test)]
mod config;
#[cfg(test)]
mod declared;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod live;
#[cfg(test)]
mod program;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod rigs;
#[cfg(test)]
mod score;
#[cfg(test)]
mod server;
#[cfg(test)]
mod shared_data;
#[cfg(test)]
mod spill;
#[cfg(test)]
mod stuck;
#[cfg(test)]
mod subscribe;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod verbs;
#[cfg(test)]
mod webhook;
#[cfg(test)]
mod websocket;
#[cfg(test)]
mod work;
