//! What a config computes, as a number: equal where a run can go on with what another one left.

use types::digest::Digest128;

use super::file::{Data, Entry, Item, Part, Sections};

/// Keys that change nothing of what comes out: how fast, how much at once, by whom. To which database
/// isn't among them: another one lacks what the first was given.
const FREE: &[(&str, &[&str])] = &[
    ("alerts", &["rate_limit"]),
    (
        "pipeline",
        &[
            "data_dir",
            "workers",
            "history_memory",
            "sync",
            "checkpoint_every",
            "retain",
            "quarantine_bytes",
            "quarantine_full",
        ],
    ),
    (
        "sinks",
        &[
            "user",
            "password",
            "give_up",
            "max_rows",
            "max_bytes",
            "max_refused",
            "max_changes",
            "timeout",
            "headers",
            "signing_secret",
            "format",
            "rate_limit",
            "max_age",
            "replay",
            "on_existing",
            "create",
            "sync_bytes",
            "held_bytes",
        ],
    ),
];

/// The digest of all that decides what a run gives: everything but the free keys, `[server]` and
/// `[[tests]]`. Neither the order of sections and keys matters nor how they are laid out.
pub(super) fn digest(sections: &Sections) -> u128 {
    let mut digest = Digest128::new();
    let Sections { pipeline, server: _, relations, sources, views, alerts, sinks, tests: _ } =
        sections;
    let pipeline: Vec<Part> = pipeline.iter().cloned().collect();
    let all: [(&str, &[Part]); 6] = [
        ("pipeline", &pipeline),
        ("relations", relations),
        ("sources", sources),
        ("views", views),
        ("alerts", alerts),
        ("sinks", sinks),
    ];
    for (section, parts) in all {
        let free = FREE.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, keys)| keys);
        let mut parts: Vec<&Part> = parts.iter().collect();
        parts.sort_by_key(|part| &part.name);
        for part in parts {
            add(&mut digest, b'[', section);
            add(&mut digest, b'.', &part.name);
            let is_free = |entry: &&Entry| {
                free.contains(&entry.key.as_str()) || is_post_url(section, part, entry)
            };
            let entries = part.entries.iter().filter(|entry| !is_free(entry));
            add_entries(&mut digest, entries);
        }
    }
    digest.finish()
}

/// Whether an entry says where a webhook posts to: it may be put right, and what was taken before isn't
/// posted again.
fn is_post_url(section: &str, part: &Part, entry: &Entry) -> bool {
    let is_webhook = |item: &Item| matches!(&item.data, Data::Text(name) if name == "webhook");
    section == "sinks" && entry.key == "url" && part.get("type").is_some_and(is_webhook)
}

fn add_entries<'a>(digest: &mut Digest128, entries: impl Iterator<Item = &'a Entry>) {
    let mut entries: Vec<&Entry> = entries.collect();
    entries.sort_by_key(|entry| &entry.key);
    add(digest, b'{', &entries.len().to_string());
    for entry in entries {
        add(digest, b'k', &entry.key);
        add_item(digest, &entry.item);
    }
}

fn add_item(digest: &mut Digest128, item: &Item) {
    match &item.data {
        Data::Text(text) => add(digest, b't', text),
        Data::Integer(text) => add(digest, b'i', text),
        Data::Float(text) => add(digest, b'f', text),
        Data::Time(text) => add(digest, b'd', text),
        Data::Bool(flag) => add(digest, b'b', &flag.to_string()),
        Data::List(items) => {
            add(digest, b'l', &items.len().to_string());
            for item in items {
                add_item(digest, item);
            }
        }
        Data::Table(entries) => add_entries(digest, entries.iter()),
    }
}

/// Adds a text with its kind and length, so that no two different configs write the same.
fn add(digest: &mut Digest128, kind: u8, text: &str) {
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    digest.add(&[kind]);
    digest.add(&length.to_le_bytes());
    digest.add(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::file::parse;

    fn digest_of(text: &str) -> u128 {
        let files = vec![("c.toml".to_owned(), text.to_owned())];
        digest(&parse(PathBuf::new(), files, &|_| None).sections)
    }

    #[test]
    fn it_tells_what_is_computed_and_nothing_else() {
        let one = "[pipeline]\nname = \"a\"\nworkers = 2\n[sinks.o]\ntype = \"jsonl\"\n\
                   [views.p]\nop = \"x\"\nsizes = [\"1m\", \"5m\"]\n[views.q]\nop = \"y\"\n\
                   [alerts.a]\nwhen = \"x\"";
        let same = "# other\n[alerts.a]\nrate_limit = \"5/1m\"\nwhen = \"x\"\n[views.q]\nop = \"y\"\n[views.p]\nsizes = [ \"1m\",\"5m\" ]\nop = 'x'\n\
                    [sinks.o]\ngive_up = \"1m\"\ntype = \"jsonl\"\n[pipeline]\nname = \"a\"\n[server]\n";
        assert_eq!(digest_of(one), digest_of(same));
        let hook = |url: &str| format!("[sinks.h]\ntype = \"webhook\"\nurl = \"{url}\"");
        assert_eq!(digest_of(&hook("http://a/x")), digest_of(&hook("http://b/y")));
        for (from, to) in [
            ("name = \"a\"", "name = \"b\""),
            ("\"5m\"", "\"6m\""),
            ("[\"1m\", \"5m\"]", "[\"5m\", \"1m\"]"),
            ("[views.q]", "[views.r]"),
            ("when = \"x\"", "when = \"y\""),
            ("op = \"y\"", "op = \"y\"\nm = 1"),
            ("type = \"jsonl\"", "type = \"parquet\""),
            ("type = \"jsonl\"", "type = \"jsonl\"\nurl = \"http://other:8123\""),
        ] {
            assert!(one.contains(from));
            assert_ne!(digest_of(one), digest_of(&one.replacen(from, to, 1)), "{from} -> {to}");
        }
    }
}
