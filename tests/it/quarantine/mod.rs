//! Rows that couldn't be used: served over REST, and replayed.

mod files;
mod law;
mod replay;
mod served;
