//! The config as written: a tree of values, each with its place, cut into its sections.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};
use types::options::{Place, Problem, did_you_mean};

use super::ConfigError;
use super::text::Texts;
use super::variables::expand;

/// A value as written.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Where it stands.
    pub(super) place: Place,
    /// What it is.
    pub(super) data: Data,
}

/// What a value is. Numbers keep their digits: none passes through a float.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Text(String),
    Integer(String),
    Float(String),
    Bool(bool),
    Time(String),
    List(Vec<Item>),
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) item: Item,
}

/// A section with a name: `[views.positions]`.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// `positions`; the section's own name where it has no other.
    pub(super) name: String,
    /// Where the name stands.
    pub(super) place: Place,
    /// Its keys in the order of the file.
    pub(super) entries: Vec<Entry>,
}

/// All sections, of all files.
#[derive(Clone, Debug, Default)]
pub(super) struct Sections {
    pub(super) pipeline: Option<Part>,
    pub(super) server: Option<Part>,
    pub(super) relations: Vec<Part>,
    pub(super) sources: Vec<Part>,
    pub(super) views: Vec<Part>,
    pub(super) alerts: Vec<Part>,
    pub(super) sinks: Vec<Part>,
    pub(super) tests: Vec<Item>,
}

/// A config that was read but not yet understood.
pub(super) struct Written {
    pub(super) texts: Texts,
    /// The folder that paths are relative to.
    pub(super) base: PathBuf,
    pub(super) sections: Sections,
    /// Whether a file isn't TOML; what was read of it may lack any key.
    pub(super) is_torn: bool,
    pub(super) problems: Vec<Problem>,
}

const SECTIONS: [&str; 8] =
    ["pipeline", "relations", "sources", "views", "alerts", "sinks", "server", "tests"];

impl Data {
    /// What it is, for messages.
    pub(super) const fn describe(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a decimal number",
            Self::Bool(_) => "true or false",
            Self::Time(_) => "a time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Item {
    /// The text of a value that can be written with or without quotes; `None` for lists and tables.
    pub(super) fn scalar(&self) -> Option<String> {
        match &self.data {
            Data::Text(text) | Data::Integer(text) | Data::Float(text) | Data::Time(text) => {
                Some(text.clone())
            }
            Data::Bool(flag) => Some(flag.to_string()),
            Data::List(_) | Data::Table(_) => None,
        }
    }
}

impl Part {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Item> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.item)
    }
}

/// Reads a file, or all `.toml` files of a folder in the order of their names.
pub(super) fn read(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Written, ConfigError> {
    let failed = |path: &Path, source| ConfigError::Read { path: path.to_owned(), source };
    let (base, paths) = if path.is_dir() {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|e| failed(path, e))? {
            let file = entry.map_err(|e| failed(path, e))?.path();
            if file.extension().is_some_and(|extension| extension == "toml") && file.is_file() {
                paths.push(file);
            }
        }
        paths.sort();
        (path.to_owned(), paths)
    } else {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        (parent.unwrap_or(Path::new(".")).to_owned(), vec![path.to_owned()])
    };
    if paths.is_empty() {
        return Err(ConfigError::NoFile { path: path.to_owned() });
    }
    let mut files = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
        files.push((path.display().to_string(), text));
    }
    Ok(parse(base, files, env))
}

/// Parses the files of a config, given by path and text.
pub(super) fn parse(
    base: PathBuf,
    files: Vec<(String, String)>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Written {
    let mut written = Written {
        texts: Texts::default(),
        base,
        sections: Sections::default(),
        is_torn: false,
        problems: Vec::new(),
    };
    for (path, text) in files {
        let start = written.texts.add(path, text.clone());
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            let place = start + span.start..start + span.end;
            written.is_torn = true;
            written.problems.push(Problem::new(place, "syntax", error.message()));
        }
        let mut reader = Reader { start, env, problems: &mut written.problems };
        let entries = reader.table(table.into_inner());
        written.sections.merge(entries, &mut written.problems);
    }
    written
}

/// Turns the parser's tree into ours.
struct Reader<'a> {
    start: usize,
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn place<T>(&self, spanned: &Spanned<T>) -> Place {
        let span = spanned.span();
        self.start + span.start..self.start + span.end
    }

    fn table(&mut self, table: DeTable<'_>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = table
            .into_iter()
            .map(|(key, value)| {
                let key_place = self.place(&key);
                let item = self.item(value);
                Entry { key: key.into_inner().into_owned(), key_place, item }
            })
            .collect();
        // The parser sorts by key; people read from top to bottom.
        entries.sort_by_key(|entry| entry.key_place.start);
        entries
    }

    fn item(&mut self, value: Spanned<DeValue<'_>>) -> Item {
        let place = self.place(&value);
        let data = match value.into_inner() {
            DeValue::String(text) => Data::Text(self.text(text.into_owned(), &place)),
            DeValue::Integer(integer) => Data::Integer(decimal(&integer)),
            DeValue::Float(float) => Data::Float(float.as_str().to_owned()),
            DeValue::Boolean(flag) => Data::Bool(flag),
            DeValue::Datetime(time) => Data::Time(time.to_string()),
            DeValue::Array(items) => {
                Data::List(items.iter().map(|item| self.item(item.clone())).collect())
            }
            DeValue::Table(table) => Data::Table(self.table(table)),
        };
        Item { place, data }
    }

    fn text(&mut self, text: String, place: &Place) -> String {
        if !text.contains('$') {
            return text;
        }
        expand(&text, self.env).unwrap_or_else(|(message, hint)| {
            self.problems.push(Problem::new(place.clone(), "variable", message).hint(hint));
            text
        })
    }
}

/// The decimal digits of an integer, however it is written; as written where it is absurdly long.
fn decimal(integer: &DeInteger<'_>) -> String {
    match i128::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(number) => number.to_string(),
        Err(_) => integer.as_str().to_owned(),
    }
}

impl Sections {
    /// Adds the sections of a file.
    fn merge(&mut self, entries: Vec<Entry>, problems: &mut Vec<Problem>) {
        for entry in entries {
            let list = match entry.key.as_str() {
                "pipeline" => {
                    one(&mut self.pipeline, entry, problems);
                    continue;
                }
                "server" => {
                    one(&mut self.server, entry, problems);
                    continue;
                }
                "tests" => {
                    match entry.item.data {
                        Data::List(tests) => self.tests.extend(tests),
                        _ => problems.push(
                            Problem::new(entry.key_place, "wrong_type", "`tests` must be a list")
                                .hint("write `[[tests]]` above each test"),
                        ),
                    }
                    continue;
                }
                "relations" => &mut self.relations,
                "sources" => &mut self.sources,
                "views" => &mut self.views,
                "alerts" => &mut self.alerts,
                "sinks" => &mut self.sinks,
                other => {
                    let message = format!("no section is named `{other}`");
                    let mut problem = Problem::new(entry.key_place, "unknown_section", message);
                    problem.hint = did_you_mean(other, SECTIONS);
                    problems.push(problem);
                    continue;
                }
            };
            named(list, entry, problems);
        }
    }
}

/// Takes a section that stands once.
fn one(slot: &mut Option<Part>, entry: Entry, problems: &mut Vec<Problem>) {
    let (name, place) = (entry.key, entry.key_place);
    let Data::Table(entries) = entry.item.data else {
        let message = format!("`{name}` must be a table, not {}", entry.item.data.describe());
        let hint = format!("write `[{name}]` and its options below");
        problems.push(Problem::new(place, "wrong_type", message).hint(hint));
        return;
    };
    if slot.is_some() {
        problems.push(repeated(&format!("[{name}]"), place));
        return;
    }
    *slot = Some(Part { name, place, entries });
}

/// Takes the parts of a section whose parts have names.
fn named(list: &mut Vec<Part>, section: Entry, problems: &mut Vec<Problem>) {
    let hint = format!("write `[{}.NAME]` and its options below", section.key);
    let Data::Table(parts) = section.item.data else {
        let message = format!("`{}` must be a table", section.key);
        problems.push(Problem::new(section.key_place, "wrong_type", message).hint(hint));
        return;
    };
    for part in parts {
        let Data::Table(entries) = part.item.data else {
            let what = part.item.data.describe();
            let message = format!("`{}.{}` must be a table, not {what}", section.key, part.key);
            problems.push(Problem::new(part.key_place, "wrong_type", message).hint(hint.clone()));
            continue;
        };
        if list.iter().any(|known| known.name == part.key) {
            problems.push(repeated(&format!("[{}.{}]", section.key, part.key), part.key_place));
            continue;
        }
        list.push(Part { name: part.key, place: part.key_place, entries });
    }
}

fn repeated(section: &str, place: Place) -> Problem {
    let message = format!("`{section}` stands in another file already");
    Problem::new(place, "repeated_section", message).hint("keep one of them")
}
