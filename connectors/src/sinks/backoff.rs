//! How long to wait before trying again. Pure.

use std::time::Duration;

use types::digest::digest64;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// The wait after a failed attempt, counted from zero: doubles up to a cap, and lies between half
/// of that and all of it. What is waited for spreads the waits, so that many don't come back at
/// once.
pub(crate) fn wait(attempt: u32, what: &str) -> Duration {
    let longest = FIRST.saturating_mul(1u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(LONGEST);
    let spread = digest64(format!("{attempt} {what}").as_bytes()) % 1000;
    let spread = u32::try_from(spread).unwrap_or(0);
    longest / 2 + (longest / 2) * spread / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap_and_spread() {
        for attempt in [0, 1, 5, 6, 7, 31, 32, u32::MAX] {
            let cap = FIRST.saturating_mul(1 << attempt.min(20)).min(LONGEST);
            for what in ["a", "b"] {
                let wait = wait(attempt, what);
                assert!((cap / 2..=cap).contains(&wait), "{attempt}: {wait:?}");
            }
        }
        assert_ne!(wait(3, "a"), wait(3, "b"));
        assert_eq!(wait(3, "a"), wait(3, "a"));
    }
}
