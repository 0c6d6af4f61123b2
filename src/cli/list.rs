//! `tapeline list`: what is compiled in, with its options.

use std::fmt::Write;

use clap::ValueEnum;
use dataflows::operators::Glossary;
use serde_json::{Value, json};
use types::options::{Need, OptionKind, OptionSpec};

use super::{Format, put};
use crate::config::Registry;
use crate::config::sections::{SINK, SOURCE, VIEW};
use crate::error::Error;

/// Shows the sources, operators and sinks that are compiled in, with their options.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tapeline list\n  \
    tapeline list operators\n  \
    tapeline list sinks --format json")]
pub(super) struct Args {
    /// What to show; all by default.
    #[arg(value_enum)]
    what: Option<What>,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// What `[sources.NAME]` can be.
    Sources,
    /// What `[views.NAME]` can be, and `[alerts.NAME]`.
    Operators,
    /// What `[sinks.NAME]` can be.
    Sinks,
}

/// A source, operator or sink.
struct Listed {
    group: &'static str,
    name: &'static str,
    help: &'static str,
    options: Vec<OptionSpec>,
    glossary: Option<Glossary>,
}

/// Prints the list.
pub(super) fn run(arguments: Args) -> Result<(), Error> {
    let is_asked = |what| arguments.what.is_none_or(|asked| asked == what);
    let registry = Registry::compiled();
    let mut listed = Vec::new();
    if is_asked(What::Sources) {
        listed.extend(sources(&registry));
    }
    if is_asked(What::Operators) {
        listed.extend(operators(&registry));
    }
    if is_asked(What::Sinks) {
        listed.extend(sinks(&registry));
    }
    match arguments.format {
        Format::Text => put(&text(&listed)),
        Format::Json => {
            let listed: Value = listed.iter().map(json).collect();
            put(&format!("{listed:#}\n"))
        }
    }
}

fn sources(registry: &Registry) -> Vec<Listed> {
    let listed = registry.sources.iter().map(|kind| Listed {
        group: "source",
        name: kind.name,
        help: kind.help,
        options: [SOURCE, kind.options].concat(),
        glossary: None,
    });
    listed.collect()
}

fn operators(registry: &Registry) -> Vec<Listed> {
    let views = registry.operators.iter().map(|operator| Listed {
        group: "operator",
        name: operator.name(),
        help: operator.help(),
        options: [VIEW, operator.options()].concat(),
        glossary: operator.glossary(),
    });
    let alert = registry.alert.iter().map(|operator| Listed {
        group: "alert",
        name: operator.name(),
        help: operator.help(),
        options: operator.options().to_vec(),
        glossary: operator.glossary(),
    });
    views.chain(alert).collect()
}

fn sinks(registry: &Registry) -> Vec<Listed> {
    let listed = registry.sinks.iter().map(|kind| Listed {
        group: "sink",
        name: kind.name,
        help: kind.help,
        options: [SINK, kind.options].concat(),
        glossary: None,
    });
    listed.collect()
}

/// What an option takes, for people: `one of short, clamp, error`.
fn kind(spec: &OptionSpec) -> String {
    match spec.kind {
        OptionKind::Choice(words) => format!("one of {}", words.join(", ")),
        OptionKind::Count(least, most) => format!("whole number, {least} to {most}"),
        kind => kind.describe().to_owned(),
    }
}

/// One line an option, in columns that line up, then one a name that an option takes.
fn text(listed: &[Listed]) -> String {
    let mut out = String::new();
    for Listed { group, name, help, options, glossary } in listed {
        if !out.is_empty() {
            out.push('\n');
        }
        line(&mut out, &format!("{group} {name}: {help}"));
        let width = |get: fn(&OptionSpec) -> String| {
            options.iter().map(|spec| get(spec).chars().count()).max().unwrap_or(0)
        };
        let (names, kinds) = (width(|spec| spec.name.to_owned()), width(kind));
        for spec in options {
            let need = match spec.need {
                Need::Required => ", needed".to_owned(),
                Need::Optional => String::new(),
                Need::Default(value) => format!(", default {value}"),
            };
            let (name, kind, help) = (spec.name, kind(spec), spec.help);
            line(&mut out, &format!("  {name:names$}  {kind:kinds$}  {help}{need}"));
        }
        let Some(Glossary { option, names }) = glossary else { continue };
        line(&mut out, &format!("  names of `{option}`:"));
        let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, what) in names {
            line(&mut out, &format!("    {name:width$}  {what}"));
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("memory takes all");
}

fn json(listed: &Listed) -> Value {
    let option = |spec: &OptionSpec| {
        let default = match spec.need {
            Need::Default(value) => Value::from(value),
            Need::Required | Need::Optional => Value::Null,
        };
        json!({
            "name": spec.name,
            "kind": kind(spec),
            "required": spec.need == Need::Required,
            "default": default,
            "help": spec.help,
        })
    };
    let options: Vec<Value> = listed.options.iter().map(option).collect();
    let names = |glossary: &Glossary| {
        let names = glossary.names.iter();
        let names = names.map(|(name, what)| json!({"name": name, "help": what}));
        json!({"option": glossary.option, "names": names.collect::<Vec<_>>()})
    };
    json!({
        "group": listed.group,
        "name": listed.name,
        "help": listed.help,
        "options": options,
        "glossary": listed.glossary.as_ref().map(names),
    })
}
