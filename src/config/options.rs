//! Reads the keys of a part by the tables of its options.

use toml::de::DeValue;
use types::options::{
    Need, OptionKind, OptionSpec, Place, Problem, Setting, Settings, did_you_mean,
};
use types::time::parse_nanos;
use types::{Rate, Span};

use super::file::{Data, Entry, Item, Part};

/// Reads a part's options. What is wrong is told; an option with a wrong value has its default, if
/// there is one, and isn't there otherwise, so that the rest can still be checked. `what` names the
/// part in messages; `extras` are keys that someone else reads.
pub(super) fn settings(
    part: &Part,
    what: &str,
    tables: &[&'static [OptionSpec]],
    extras: &[&str],
    problems: &mut Vec<Problem>,
) -> Settings {
    let specs = || tables.iter().flat_map(|table| table.iter());
    let mut settings = Settings::new(part.place.clone());
    for spec in specs() {
        let item = part.get(spec.name);
        let n_problems = problems.len();
        let found = item.map(|item| (read(spec, item, problems), item.place.clone()));
        if problems.len() > n_problems {
            settings.note_wrong(spec.name);
        }
        match (found, spec.need) {
            (Some((Some(setting), place)), _) => settings.set(spec.name, setting, place),
            (Some((None, place)), Need::Default(text)) => {
                settings.set(spec.name, default(spec, text), place);
            }
            (Some((None, _)), Need::Required | Need::Optional) => {}
            (None, Need::Default(text)) => {
                settings.set(spec.name, default(spec, text), part.place.clone());
            }
            (None, Need::Required) => {
                let message = format!("{what} needs `{}`", spec.name);
                let hint = format!("`{}`: {}", spec.name, spec.help);
                problems
                    .push(Problem::new(part.place.clone(), "missing_option", message).hint(hint));
            }
            (None, Need::Optional) => {}
        }
    }
    let known: Vec<&str> = specs().map(|spec| spec.name).chain(extras.iter().copied()).collect();
    unknown_keys(&part.entries, what, &known, problems);
    settings
}

/// Reads the options of a table inside a part: `epoch = { .. }`. All defaults where it isn't there.
pub(super) fn nested(
    part: &Part,
    key: &str,
    tables: &[&'static [OptionSpec]],
    problems: &mut Vec<Problem>,
) -> Settings {
    let what = format!("`{key}`");
    let (place, entries) = match part.get(key) {
        None => (part.place.clone(), Vec::new()),
        Some(Item { place, data: Data::Table(entries) }) => (place.clone(), entries.clone()),
        Some(Item { place, data }) => {
            let message = format!("{what} must be a table, not {}", data.describe());
            let problem = Problem::new(place.clone(), "wrong_type", message);
            problems.push(problem.hint(format!("write {key} = {{ .. }}")));
            (place.clone(), Vec::new())
        }
    };
    settings(&Part { name: key.to_owned(), place, entries }, &what, tables, &[], problems)
}

/// Tells the keys that aren't known.
pub(super) fn unknown_keys(
    entries: &[Entry],
    what: &str,
    known: &[&str],
    problems: &mut Vec<Problem>,
) {
    for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let message = format!("{what} has no option `{}`", entry.key);
        let mut problem = Problem::new(entry.key_place.clone(), "unknown_option", message);
        problem.hint = did_you_mean(&entry.key, known.iter().copied());
        problems.push(problem);
    }
}

/// Checks a name that becomes a file, a table or a word in expressions.
pub(super) fn check_name(name: &str, place: &Place, problems: &mut Vec<Problem>) {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if !is_plain || !starts_well || name.len() > NAME_BYTES_MAX {
        let hint = "names start with a letter; letters, digits and `_` follow, 64 in all at most";
        problems.push(bad_name(name, place, hint));
    }
}

/// Checks a name that is only shown, or names a folder.
pub(super) fn check_label(name: &str, place: &Place, problems: &mut Vec<Problem>) {
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !is_plain || !starts_well || name.len() > NAME_BYTES_MAX {
        let hint = "letters, digits, `_`, `-` and `.`; a letter or digit first, 64 in all at most";
        problems.push(bad_name(name, place, hint));
    }
}

/// Names of tables and files are no longer than this.
const NAME_BYTES_MAX: usize = 64;

fn bad_name(name: &str, place: &Place, hint: &str) -> Problem {
    let message = format!("`{name}` can't be a name");
    Problem::new(place.clone(), "bad_name", message).hint(hint)
}

/// Reads one option; what is good of a list stays, so that it is checked as well.
fn read(spec: &OptionSpec, item: &Item, problems: &mut Vec<Problem>) -> Option<Setting> {
    let one = match spec.kind {
        OptionKind::Durations => {
            let mut texts = list(spec, item, problems)?;
            texts.retain(|(text, place)| {
                let is_good = Span::parse(text).is_some();
                if !is_good {
                    problems.push(no_duration(text, place.clone()));
                }
                is_good
            });
            return Some(Setting::List(texts));
        }
        OptionKind::Views | OptionKind::Columns | OptionKind::Texts => {
            return list(spec, item, problems).map(Setting::List);
        }
        OptionKind::Assignments => return assignments(spec, item, problems),
        _ => read_one(spec, item),
    };
    one.map_err(|problem| problems.push(problem)).ok()
}

/// Reads an option that isn't a list.
fn read_one(spec: &OptionSpec, item: &Item) -> Result<Setting, Problem> {
    match spec.kind {
        OptionKind::Text | OptionKind::Input | OptionKind::Expression | OptionKind::Path => {
            let text = text(spec, item)?;
            if text.is_empty() {
                let message = format!("`{}` is empty", spec.name);
                return Err(
                    Problem::new(item.place.clone(), "wrong_value", message).hint(spec.help)
                );
            }
            Ok(Setting::Text(text.to_owned()))
        }
        OptionKind::Bool => match &item.data {
            Data::Bool(flag) => Ok(Setting::Bool(*flag)),
            _ => Err(wrong_type(spec, item)),
        },
        OptionKind::Count(least, most) => count(spec, item, least, most),
        OptionKind::Duration => {
            let span = Span::parse(text(spec, item)?).ok_or_else(|| not_a_duration(spec, item))?;
            Ok(Setting::Duration(span))
        }
        OptionKind::DurationOrZero => {
            let nanos = parse_nanos(text(spec, item)?).ok_or_else(|| not_a_duration(spec, item))?;
            Ok(Setting::Nanos(nanos))
        }
        OptionKind::Rate => Rate::parse(text(spec, item)?).map(Setting::Rate).ok_or_else(|| {
            wrong_value(spec, item, "rates look like \"20/1m\", at most \"1000/..\"")
        }),
        OptionKind::Bytes => bytes(text(spec, item)?)
            .map(Setting::Count)
            .ok_or_else(|| wrong_value(spec, item, "sizes look like \"64MiB\", \"4KiB\", \"1GB\"")),
        OptionKind::Choice(words) => choice(spec, item, words),
        OptionKind::Durations
        | OptionKind::Views
        | OptionKind::Columns
        | OptionKind::Texts
        | OptionKind::Assignments => Err(wrong_type(spec, item)),
    }
}

/// Reads a default, which stands in the table of options.
fn default(spec: &OptionSpec, text: &str) -> Setting {
    let quoted = Item { place: 0..0, data: Data::Text(text.to_owned()) };
    // Only lists, numbers and flags are written as in the config; the rest may lack its quotes.
    let item = match DeValue::parse(text).map(toml::Spanned::into_inner) {
        Ok(DeValue::String(text)) => Item { place: 0..0, data: Data::Text(text.into_owned()) },
        Ok(DeValue::Boolean(flag)) => Item { place: 0..0, data: Data::Bool(flag) },
        Ok(DeValue::Integer(n)) if matches!(spec.kind, OptionKind::Count(..)) => {
            Item { place: 0..0, data: Data::Integer(n.as_str().to_owned()) }
        }
        Ok(DeValue::Array(items)) => {
            let texts = items.iter().filter_map(|item| item.get_ref().as_str());
            let item = |text: &str| Item { place: 0..0, data: Data::Text(text.to_owned()) };
            Item { place: 0..0, data: Data::List(texts.map(item).collect()) }
        }
        _ => quoted,
    };
    let mut problems = Vec::new();
    let setting = read(spec, &item, &mut problems).filter(|_| problems.is_empty());
    setting.unwrap_or_else(|| panic!("the default of option `{}`: {problems:?}", spec.name))
}

fn wrong_type(spec: &OptionSpec, item: &Item) -> Problem {
    let wanted = match spec.kind {
        OptionKind::Bool => "true or false".to_owned(),
        OptionKind::Choice(words) => format!("one of {}", words.join(", ")),
        OptionKind::Expression => "an expression in quotes".to_owned(),
        OptionKind::Input => "a relation or view in quotes".to_owned(),
        OptionKind::Text | OptionKind::Path => {
            format!("a {} in quotes", spec.kind.describe())
        }
        kind => format!("a {}", kind.describe()),
    };
    let message = format!("`{}` must be {wanted}, not {}", spec.name, item.data.describe());
    let mut problem = Problem::new(item.place.clone(), "wrong_type", message);
    problem.hint = match (&item.data, spec.kind) {
        (Data::Integer(digits), OptionKind::Duration | OptionKind::DurationOrZero) => {
            Some(format!("say the unit: \"{digits}s\", \"{digits}m\", \"{digits}h\""))
        }
        (Data::Integer(digits), OptionKind::Bytes) => Some(format!("write \"{digits}B\"")),
        (Data::Text(text), OptionKind::Bool) if text == "true" || text == "false" => {
            Some(format!("leave out the quotes: {text}"))
        }
        (Data::Text(text), OptionKind::Count(..)) if text.parse::<u64>().is_ok() => {
            Some(format!("leave out the quotes: {text}"))
        }
        (Data::Text(text), OptionKind::Views | OptionKind::Columns | OptionKind::Durations) => {
            Some(format!("write a list: [\"{text}\"]"))
        }
        _ => Some(format!("`{}`: {}", spec.name, spec.help)),
    };
    problem
}

fn wrong_value(spec: &OptionSpec, item: &Item, hint: &str) -> Problem {
    let value = item.scalar().unwrap_or_default();
    let message = format!("`{}` can't be `{value}`", spec.name);
    Problem::new(item.place.clone(), "wrong_value", message).hint(hint)
}

fn text<'a>(spec: &OptionSpec, item: &'a Item) -> Result<&'a str, Problem> {
    match &item.data {
        Data::Text(text) => Ok(text),
        _ => Err(wrong_type(spec, item)),
    }
}

fn count(spec: &OptionSpec, item: &Item, least: u64, most: u64) -> Result<Setting, Problem> {
    let Data::Integer(digits) = &item.data else { return Err(wrong_type(spec, item)) };
    match digits.parse::<u64>() {
        Ok(count) if (least..=most).contains(&count) => Ok(Setting::Count(count)),
        _ => Err(wrong_value(spec, item, &format!("from {least} to {most}"))),
    }
}

const ABOVE_ZERO: &str = "it must be above zero";

fn not_a_duration(spec: &OptionSpec, item: &Item) -> Problem {
    match (&item.data, spec.kind) {
        (Data::Text(text), OptionKind::Duration) if parse_nanos(text) == Some(0) => {
            wrong_value(spec, item, ABOVE_ZERO)
        }
        (Data::Text(text), _) => no_duration(text, item.place.clone()),
        _ => wrong_type(spec, item),
    }
}

fn no_duration(text: &str, place: Place) -> Problem {
    if parse_nanos(text) == Some(0) {
        let message = format!("`{text}` is too short");
        return Problem::new(place, "wrong_value", message).hint(ABOVE_ZERO);
    }
    let message = format!("`{text}` isn't a duration");
    let hint = "durations look like \"5m\", \"1h30m\", \"100ms\"; units: w, d, h, m, s, ms, us, ns";
    // The commonest mistake: a unit spelt out, as in "5 minutes".
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let n_digits = compact.bytes().take_while(u8::is_ascii_digit).count();
    let short: String = compact.chars().take(n_digits + 1).collect();
    let hint = match Span::parse(&short) {
        Some(_) if n_digits > 0 => format!("did you mean \"{short}\"? {hint}"),
        _ => hint.to_owned(),
    };
    Problem::new(place, "wrong_value", message).hint(hint)
}

fn choice(spec: &OptionSpec, item: &Item, words: &[&str]) -> Result<Setting, Problem> {
    let text = text(spec, item)?;
    if words.contains(&text) {
        return Ok(Setting::Text(text.to_owned()));
    }
    let message = format!("`{}` can't be `{text}`", spec.name);
    let mut problem = Problem::new(item.place.clone(), "wrong_value", message);
    problem.hint = did_you_mean(text, words.iter().copied());
    Err(problem)
}

/// A list of texts, none twice, none empty.
fn list(
    spec: &OptionSpec,
    item: &Item,
    problems: &mut Vec<Problem>,
) -> Option<Vec<(String, Place)>> {
    let Data::List(items) = &item.data else {
        problems.push(wrong_type(spec, item));
        return None;
    };
    let mut texts: Vec<(String, Place)> = Vec::new();
    for element in items {
        let place = element.place.clone();
        match &element.data {
            Data::Text(text) if text.is_empty() => {
                let message = format!("`{}` holds an empty text", spec.name);
                problems.push(Problem::new(place, "wrong_value", message).hint("remove it"));
            }
            Data::Text(text) if texts.iter().any(|(known, _)| known == text) => {
                let message = format!("`{}` holds `{text}` twice", spec.name);
                problems.push(Problem::new(place, "wrong_value", message).hint("remove one"));
            }
            Data::Text(text) => texts.push((text.clone(), place)),
            other => {
                let message = format!("`{}` must hold texts, not {}", spec.name, other.describe());
                problems.push(Problem::new(place, "wrong_type", message).hint(spec.help));
            }
        }
    }
    if items.is_empty() {
        problems.push(empty(spec, item));
    }
    (!texts.is_empty()).then_some(texts)
}

/// New columns and their expressions; a list of columns takes each as it is.
fn assignments(spec: &OptionSpec, item: &Item, problems: &mut Vec<Problem>) -> Option<Setting> {
    let Data::Table(entries) = &item.data else {
        let columns = list(spec, item, problems)?.into_iter();
        let same = columns.map(|(column, place)| (column.clone(), column, place));
        return Some(Setting::Assignments(same.collect()));
    };
    let mut columns = Vec::new();
    for Entry { key, key_place, item } in entries {
        check_name(key, key_place, problems);
        if let Data::Text(expression) = &item.data {
            columns.push((key.clone(), expression.clone(), item.place.clone()));
            continue;
        }
        let message = format!("`{key}` must be an expression in quotes");
        let problem = Problem::new(item.place.clone(), "wrong_type", message);
        problems.push(problem.hint(format!("write it as a text: {key} = \"price * size\"")));
    }
    if entries.is_empty() {
        problems.push(empty(spec, item));
    }
    (!columns.is_empty()).then_some(Setting::Assignments(columns))
}

fn empty(spec: &OptionSpec, item: &Item) -> Problem {
    let message = format!("`{}` is empty", spec.name);
    Problem::new(item.place.clone(), "wrong_value", message).hint(spec.help)
}

/// Reads a number of bytes: `"64MiB"`.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let of = |(unit, factor): &(&str, u64)| Some((text.strip_suffix(unit)?, *factor));
    let (digits, factor) =
        UNITS.iter().find_map(of).or_else(|| Some((text.strip_suffix('B')?, 1)))?;
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Registry;
    use crate::config::cases::TEST;
    use crate::config::columns::COLUMN;
    use crate::config::relations::RELATION;
    use crate::config::sections::{EPOCH, PIPELINE, SERVER, SINK, SOURCE, VIEW};

    #[test]
    fn every_default_can_be_read() {
        let registry = Registry::compiled();
        let mut tables: Vec<&[OptionSpec]> =
            vec![PIPELINE, EPOCH, SERVER, SOURCE, VIEW, SINK, COLUMN, RELATION, TEST];
        tables.extend(registry.sources.iter().map(|kind| kind.options));
        tables.extend(registry.operators.iter().map(|operator| operator.options()));
        tables.extend(registry.alert.iter().map(|operator| operator.options()));
        tables.extend(registry.sinks.iter().map(|kind| kind.options));
        for spec in tables.into_iter().flatten() {
            if let Need::Default(text) = spec.need {
                // Panics where the table is wrong.
                drop(default(spec, text));
            }
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, n_bytes) in [
            ("64MiB", Some(64 << 20)),
            ("1B", Some(1)),
            ("2kB", Some(2_000)),
            ("1TB", Some(1_000_000_000_000)),
            ("64", None),
            ("MiB", None),
            ("-1B", None),
            ("1.5GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(bytes(text), n_bytes, "{text}");
        }
    }
}
