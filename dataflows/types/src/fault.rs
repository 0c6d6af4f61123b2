//! Fail points: places by name where a test lets the process end as a crash would (feature `sabotage`).
//! Without the feature they are nothing.
//!
//! `TAPELINE_FAIL="log.sync.before:3"` ends the process when it comes by for the third time.
//! `TAPELINE_POISON="777"` makes a worker panic at each fill of this size.
//! `TAPELINE_POINTS=file` adds the name of each point there when it is passed.

/// A place where a test may end the process.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub const fn point(_name: &'static str) {}

/// A place where a test may let a worker panic at an event.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub const fn poison(_size: Size) {}

#[cfg(feature = "sabotage")]
pub use on::{point, poison};

use crate::Size;

#[cfg(feature = "sabotage")]
mod on {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::sync::{LazyLock, Mutex, PoisonError};

    use super::Size;

    /// How often each point was passed.
    static PASSED: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    /// Where to end, and at which time.
    static FAIL: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let text = variable("TAPELINE_FAIL")?;
        let (name, count) = text.split_once(':')?;
        Some((name.to_owned(), count.parse().ok()?))
    });

    /// Where names are noted.
    static POINTS: LazyLock<Option<String>> = LazyLock::new(|| variable("TAPELINE_POINTS"));

    /// The size of a fill at which a worker panics, in units.
    static POISON: LazyLock<Option<i128>> =
        LazyLock::new(|| variable("TAPELINE_POISON")?.parse().ok());

    #[expect(clippy::disallowed_methods, reason = "no release has this")]
    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// A place where a test may let a worker panic at an event.
    ///
    /// # Panics
    /// If the size is the one that was asked for.
    pub fn poison(size: Size) {
        let is_it = POISON.is_some_and(|poison| poison * 1_000_000_000 == size.raw());
        assert!(!is_it, "a fill of size {}", size.raw());
    }

    /// A place where a test may end the process.
    pub fn point(name: &'static str) {
        if FAIL.is_none() && POINTS.is_none() {
            return;
        }
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        let count = passed.entry(name).or_default();
        *count += 1;
        let count = *count;
        drop(passed);
        if let Some(path) = POINTS.as_ref() {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            // A name in one write, so that those of several threads don't mix.
            file.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes()))
                .unwrap_or_default();
        }
        if FAIL.as_ref().is_some_and(|(fail, at)| fail == name && *at == count) {
            // As kill -9 does it: nothing is flushed, nothing is told.
            std::process::abort();
        }
    }
}
