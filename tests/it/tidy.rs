//! House rules that no compiler knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tapeline::config::Registry;

/// Lines of a source file at most.
const LINES_MAX: usize = 500;

/// Where each operator is held, over random histories, against a slow, obvious twin that shares no
/// code with it.
const TWINS: [(&str, &str); 19] = [
    ("aggregate", "dataflows/tests/operators/aggregate.rs"),
    ("alert", "dataflows/tests/operators/alert.rs"),
    ("anomaly", "tests/it/laws/scores.rs"),
    ("asof_join", "dataflows/tests/operators/asof_join.rs"),
    ("avg_cost", "tests/it/laws/mod.rs"),
    ("cusum", "dataflows/tests/operators/folds.rs"),
    ("distinct", "dataflows/tests/operators/distinct.rs"),
    ("ewma", "dataflows/tests/operators/folds.rs"),
    ("features", "dataflows/tests/operators/features.rs"),
    ("filter", "dataflows/src/operators/filter/tests.rs"),
    ("indicators", "dataflows/tests/operators/folds.rs"),
    ("join", "dataflows/tests/operators/join.rs"),
    ("label", "dataflows/src/operators/label/tests.rs"),
    ("latest", "dataflows/tests/operators/latest.rs"),
    ("mark_to_market", "dataflows/tests/operators/marks.rs"),
    ("rollup", "dataflows/tests/operators/rollup.rs"),
    ("select", "tests/it/laws/declared/mod.rs"),
    ("top_k", "dataflows/tests/operators/top_k.rs"),
    ("zscore", "dataflows/tests/operators/folds.rs"),
];

/// The licences that a dependency may come under.
const LICENCES: [&str; 11] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "0BSD",
    "MPL-2.0",
    "MPL-2.0+",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of the repository with one of these extensions, relative to its root.
fn files(extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_ours = !name.starts_with('.') && !["target", "out"].contains(&name);
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known)) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for file in files(&["rs", "py", "sh", "toml", "md"]) {
        let n = read(&file).lines().count();
        if n > LINES_MAX {
            long.push(format!("{file}: {n} lines"));
        }
    }
    assert!(long.is_empty(), "more than {LINES_MAX} lines: {long:#?}");
}

#[test]
fn no_file_is_left_out_of_the_module_tree() {
    let mut lost = Vec::new();
    for file in files(&["rs"]) {
        let path = Path::new(&file);
        let (folder, name) = (path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap());
        // A crate of its own: Cargo knows it.
        let is_root = ["main", "lib"].contains(&name)
            || ["tests", "benches", "examples"].iter().any(|of_cargo| folder.ends_with(of_cargo));
        if is_root {
            continue;
        }
        let (module, parent) = match name {
            "mod" => (folder.file_name().unwrap().to_str().unwrap(), folder.parent().unwrap()),
            name => (name, folder),
        };
        let names_it = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().any(|line| line.ends_with(&format!("mod {module};")))
        };
        if !entries(&root().join(parent)).iter().filter(|path| path.is_file()).any(names_it) {
            lost.push(file);
        }
    }
    assert!(lost.is_empty(), "no `mod` names these: {lost:#?}");
}

#[test]
fn the_readme_maps_the_folders_that_are_there() {
    let readme = read("README.md");
    let (_, map) = readme.split_once("## The map").unwrap();
    let (map, _) = map.split_once("\n## ").unwrap();
    let mapped: BTreeSet<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(|folder| folder.trim_end_matches('/'))
        .collect();
    for folder in &mapped {
        assert!(root().join(folder).exists(), "the README's map names {folder}, which isn't there");
    }
    for path in entries(root()).into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_mapped = mapped.contains(name) || name.starts_with('.') || name == "target";
        assert!(is_mapped, "the README's map doesn't name {name}/");
    }
}

#[test]
fn every_operator_is_held_against_a_twin() {
    let registry = Registry::compiled();
    let mut operators: Vec<&str> =
        registry.operators.iter().chain(registry.alert.iter()).map(|o| o.name()).collect();
    operators.sort_unstable();
    let mut listed: Vec<&str> = TWINS.map(|(operator, _)| operator).to_vec();
    listed.sort_unstable();
    assert_eq!(operators, listed, "operators, and those of the lists in this file");
    for (operator, file) in TWINS {
        let text = read(file);
        let is_random = text.contains("proptest!") || text.contains("check_cases(");
        assert!(is_random, "{file}: no random histories of {operator}");
    }
}

/// Each safeguard guards something, and a test sees to it that its loss is noticed.
#[test]
fn every_safeguard_is_hooked_and_noticed() {
    let declared = read("dataflows/types/src/sabotage.rs");
    let (_, declared) = declared.split_once("safeguards! {").unwrap();
    let (declared, _) = declared.split_once("\n}").unwrap();
    let names: Vec<&str> =
        declared.lines().filter_map(|line| line.trim().strip_suffix(',')).collect();
    assert!(names.len() > 40, "{names:?}");
    let text: String = files(&["rs"]).iter().map(|file| read(file)).collect();
    for name in names {
        assert!(text.contains(&format!("is_out(Safeguard::{name})")), "nothing asks for {name}");
        let by_macro = text.contains(&format!(": {name} by "));
        let by_hand = text.contains(&format!("Safeguard::{name},"));
        assert!(by_macro || by_hand, "no test takes {name} out");
    }
}

#[test]
fn no_release_can_be_sabotaged() {
    // The features of all that the binary is made of.
    let features = |more: &[&str]| {
        let tree = Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["tree", "--package", "tapeline", "--locked", "--offline", "--prefix", "none"])
            .args(["--edges", "normal,build", "--format", "{lib} {f}"])
            .args(more)
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        String::from_utf8(tree.stdout).unwrap()
    };
    assert!(features(&["--features", "sabotage"]).contains("types sabotage"));
    assert!(!features(&[]).contains("sabotage"));
    // And where somebody asks for it, a release doesn't compile.
    let text = read("dataflows/types/src/sabotage.rs");
    assert!(
        text.contains("#[cfg(all(feature = \"sabotage\", not(debug_assertions)))]\ncompile_error!")
    );
}

#[test]
fn connectors_name_no_timely() {
    for (manifest, banned) in [
        ("connectors/Cargo.toml", &["timely", "differential-dataflow", "dataflows"][..]),
        ("dataflows/Cargo.toml", &["tokio", "connectors"]),
        ("dataflows/types/Cargo.toml", &["timely", "differential-dataflow", "dataflows", "tokio"]),
    ] {
        let text = read(manifest);
        for line in text.lines().filter(|line| !line.starts_with("description")) {
            let named = banned.iter().find(|name| line.trim_start().starts_with(**name));
            assert!(named.is_none(), "{manifest}: {line}");
        }
    }
}

#[test]
fn what_is_built_may_be_built() {
    // What Cargo resolves for this machine, tests and builds included; offline, since whatever runs
    // this test has it all.
    let tree = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--workspace", "--locked", "--offline", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}\t{l}"])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let packages: BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    assert!(packages.len() > 100, "{} packages", packages.len());
    let is_refused = |line: &&&str| {
        let (_, licence) = line.split_once('\t').unwrap();
        !is_allowed(licence)
    };
    let refused: Vec<&&str> = packages.iter().filter(is_refused).collect();
    assert!(refused.is_empty(), "under other licences than {LICENCES:?}: {refused:#?}");
}

/// Whether a licence expression leaves a choice that is allowed. `/` is an old `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    let allowed = any(&mut words);
    allowed && words.is_empty()
}

/// `a OR b`; takes its words from the end.
fn any(words: &mut Vec<&str>) -> bool {
    let mut allowed = all(words);
    while words.pop_if(|word| *word == "OR").is_some() {
        allowed |= all(words);
    }
    allowed
}

/// `a AND b`.
fn all(words: &mut Vec<&str>) -> bool {
    let mut allowed = one(words);
    while words.pop_if(|word| *word == "AND").is_some() {
        allowed &= one(words);
    }
    allowed
}

/// A licence, with its exception if it has one, or an expression in parentheses.
fn one(words: &mut Vec<&str>) -> bool {
    match words.pop() {
        Some("(") => {
            let allowed = any(words);
            words.pop() == Some(")") && allowed
        }
        Some(licence) => match words.pop_if(|word| *word == "WITH") {
            Some(_) => {
                let exception = words.pop().unwrap_or_default();
                LICENCES.contains(&format!("{licence} WITH {exception}").as_str())
            }
            None => LICENCES.contains(&licence),
        },
        None => false,
    }
}

#[test]
fn licences_are_read_as_choices() {
    for good in [
        "MIT",
        "MIT/Apache-2.0",
        "Unlicense OR MIT",
        "GPL-3.0 OR (MIT AND ISC)",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
    ] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "CC0-1.0", "(MIT", "MIT ISC", "MIT WITH x"] {
        assert!(!is_allowed(bad), "{bad}");
    }
}
