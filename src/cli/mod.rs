//! The command line: a verb a file.

pub(crate) mod subscribe;
