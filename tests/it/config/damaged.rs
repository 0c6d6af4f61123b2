//! Whatever stands in a config, it is answered: never a panic, and what is told has a place.

use std::fs;

use proptest::prelude::*;
use tapeline::config::message::{Weight, render};
use tapeline::config::{ConfigError, Purpose, load_with};

use super::environment;
use super::parts::registry;
use super::plans::WHOLE;

/// What a slip of the keyboard may leave behind, and worse.
const SCRAPS: [&str; 16] = [
    "",
    "\"",
    "=",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "é",
    "💥",
    "0",
    "-1",
    "\"\"\"",
    "${",
    "[[tests]]\n",
    "\u{0}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_damaged_config_is_answered(
        edits in prop::collection::vec((0..WHOLE.len(), 0..40_usize, 0..SCRAPS.len()), 1..4),
    ) {
        let mut text = WHOLE.to_owned();
        for (start, length, scrap) in edits {
            let start = text.floor_char_boundary(start);
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, SCRAPS[scrap]);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        fs::write(&path, &text).unwrap();
        match load_with(&path, &environment, &registry(), Purpose::Test) {
            Ok(plan) => {
                render(&plan.texts, &plan.warnings, Weight::Warning, false);
            }
            Err(ConfigError::Problems { texts, problems }) => {
                prop_assert!(!problems.is_empty());
                for problem in &problems {
                    let told = render(&texts, std::slice::from_ref(problem), Weight::Error, true);
                    prop_assert!(told.contains("c.toml"), "{problem:?}: {told}");
                    prop_assert!(problem.place.end <= text.len() + 1, "{problem:?}");
                }
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
