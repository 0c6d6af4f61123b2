//! What a part of the config can be told: the tables from which the check, the messages and `list`
//! are made.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::rate::Rate;
use crate::time::Span;

/// How an option's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number in this range.
    Count(u64, u64),
    /// A length of time above zero: `"5m"`.
    Duration,
    /// A length of time, zero allowed.
    DurationOrZero,
    /// A list of lengths of time.
    Durations,
    /// At most so many in a length of time: `"20/1m"`.
    Rate,
    /// A size in bytes: `"64MiB"`.
    Bytes,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The name of a relation or view that is read.
    Input,
    /// A list of views.
    Views,
    /// An expression over the columns of the option named `input` or `view`.
    Expression,
    /// A list of columns of the input.
    Columns,
    /// A list of texts.
    Texts,
    /// A table from a new column's name to an expression, or a list of columns.
    Assignments,
    /// A path or pattern, relative to the config file.
    Path,
}

impl OptionKind {
    /// What a user reads in `list` and in messages.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bool => "true or false",
            Self::Count(..) => "whole number",
            Self::Duration | Self::DurationOrZero => "duration like \"5m\"",
            Self::Durations => "list of durations like [\"1m\", \"1h\"]",
            Self::Rate => "rate like \"20/1m\"",
            Self::Bytes => "size like \"64MiB\"",
            Self::Choice(_) => "one of some words",
            Self::Input => "name of a relation or view",
            Self::Views => "list of views",
            Self::Expression => "expression",
            Self::Columns => "list of columns",
            Self::Texts => "list of texts",
            Self::Assignments => "list of columns, or table of expressions",
            Self::Path => "path",
        }
    }
}

/// Whether an option must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It needn't; nothing then.
    Optional,
    /// It needn't; this then, as the config would write it.
    Default(&'static str),
}

/// One option of a source, operator, sink or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its key.
    pub name: &'static str,
    /// How it is read.
    pub kind: OptionKind,
    /// Whether it must be there.
    pub need: Need,
    /// What it does, in a line.
    pub help: &'static str,
}

/// Shorthand for the tables.
pub const fn option(
    name: &'static str,
    kind: OptionKind,
    need: Need,
    help: &'static str,
) -> OptionSpec {
    OptionSpec { name, kind, need, help }
}

/// Where a value stands in the config file, in bytes.
pub type Place = Range<usize>;

/// A value of an option, read by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A text, word, path, expression or name.
    Text(String),
    /// A flag.
    Bool(bool),
    /// A count or number of bytes.
    Count(u64),
    /// A length of time above zero.
    Duration(Span),
    /// A length of time in nanoseconds that may be zero.
    Nanos(i64),
    /// At most so many in a length of time.
    Rate(Rate),
    /// A list of texts, each with its place.
    List(Vec<(String, Place)>),
    /// New columns and their expressions, in the order of the file, each with its place.
    Assignments(Vec<(String, String, Place)>),
}

/// The options of one part of a config, read and with defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where the part's header stands.
    pub place: Place,
    values: BTreeMap<&'static str, (Setting, Place)>,
    /// What is written wrong, as is told.
    wrong: BTreeSet<&'static str>,
}

impl Settings {
    /// Starts the settings of a part.
    pub const fn new(place: Place) -> Self {
        Self { place, values: BTreeMap::new(), wrong: BTreeSet::new() }
    }

    /// Sets an option.
    pub fn set(&mut self, name: &'static str, setting: Setting, place: Place) {
        self.values.insert(name, (setting, place));
    }

    /// Notes that an option is written wrong: what stands in its place, if anything, isn't what was meant.
    pub fn note_wrong(&mut self, name: &'static str) {
        self.wrong.insert(name);
    }

    /// Whether an option is written wrong, so that what follows from it need not be told as well.
    pub fn is_wrong(&self, name: &str) -> bool {
        self.wrong.contains(name)
    }

    /// Where an option stands; the part's header where it isn't written.
    pub fn place(&self, name: &str) -> Place {
        self.values.get(name).map_or(self.place.clone(), |v| v.1.clone())
    }

    /// Whether the option is there, written or by default.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A text, word, path, expression or name.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            (Setting::Text(text), _) => Some(text),
            _ => None,
        }
    }

    /// A flag; false where it isn't there.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.values.get(name), Some((Setting::Bool(true), _)))
    }

    /// A count or number of bytes.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.values.get(name)? {
            (Setting::Count(count), _) => Some(*count),
            _ => None,
        }
    }

    /// A length of time above zero.
    pub fn duration(&self, name: &str) -> Option<Span> {
        match self.values.get(name)? {
            (Setting::Duration(span), _) => Some(*span),
            _ => None,
        }
    }

    /// A length of time in nanoseconds, zero allowed.
    pub fn nanos(&self, name: &str) -> Option<i64> {
        match self.values.get(name)? {
            (Setting::Nanos(nanos), _) => Some(*nanos),
            (Setting::Duration(span), _) => Some(span.nanos()),
            _ => None,
        }
    }

    /// At most so many in a length of time.
    pub fn rate(&self, name: &str) -> Option<Rate> {
        match self.values.get(name)? {
            (Setting::Rate(rate), _) => Some(*rate),
            _ => None,
        }
    }

    /// A list of texts with their places; empty where it isn't there.
    pub fn list(&self, name: &str) -> &[(String, Place)] {
        match self.values.get(name) {
            Some((Setting::List(list), _)) => list,
            _ => &[],
        }
    }

    /// New columns, their expressions and places; empty where there are none.
    pub fn assignments(&self, name: &str) -> &[(String, String, Place)] {
        match self.values.get(name) {
            Some((Setting::Assignments(list), _)) => list,
            _ => &[],
        }
    }
}

/// Something wrong in a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes of the file.
    pub place: Place,
    /// A short name that the documentation explains.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// Makes a problem without a hint.
    pub fn new(place: Place, code: &'static str, message: impl Into<String>) -> Self {
        Self { place, code, message: message.into(), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The place of a part of a text inside its quoted place; the whole place where the file spells it
/// with escapes.
pub fn within(place: &Place, text: &str, at: &Place) -> Place {
    if place.len() == text.len() + 2 {
        return place.start + 1 + at.start..place.start + 1 + at.end;
    }
    place.clone()
}

/// The candidate that a misspelt word most likely means.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (strsim::damerau_levenshtein(word, c), c));
    let (distance, candidate) = scored.min()?;
    (distance <= word.chars().count().max(3).div_ceil(3)).then_some(candidate)
}

/// Words that a hint lists at most.
const KNOWN_MAX: usize = 24;

/// The hint for a misspelt word: the closest candidate, or where none is close all of them, of many the
/// first and how many follow.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(candidate) = closest(word, candidates.clone()) {
        return Some(format!("did you mean `{candidate}`?"));
    }
    let all: Vec<&str> = candidates.into_iter().collect();
    let told = all.get(..KNOWN_MAX).unwrap_or(&all);
    let rest = match all.len() - told.len() {
        0 => String::new(),
        n_rest => format!(" and {n_rest} more"),
    };
    (!all.is_empty()).then(|| format!("known: {}{rest}", told.join(", ")))
}
