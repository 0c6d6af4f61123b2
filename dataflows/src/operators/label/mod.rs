//! `label`: which named patterns each row shows.
//!
//! A rule is a name and a condition over the input's columns. A row of the view is a row of the input
//! with the names of the rules that are true of it in `labels`, in the config's order, joined by a
//! comma. `patterns` are rules whose conditions are known; see [`pattern`].

mod pattern;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use types::expr::Compiled;
use types::options::{Need, OptionKind, OptionSpec, Place, Problem, Settings, option};
use types::relations::{Relation, RelationKind};
use types::schema::{Column, Kind};
use types::{Names, Row, Schema, ShortText, Text, Value};

use super::expressions::{condition, error_row, errors_output, split};
use super::{Glossary, Operator};
use crate::edge::Edge;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use crate::with_edge;
use pattern::{PATTERNS, Pattern, Refusal, Windows};

/// Gives each row of its input, behind key and time, `labels`: the names of the rules that are true of
/// it. Where no rule is, there is no row, or with `keep = "all"` one with an empty text. A condition
/// that is null isn't true. A row of which a condition overflows stands in `<view>.errors` for as long
/// as the row is there. Keeps nothing and forgets nothing.
pub(crate) struct Label;

/// The column of the names.
const LABELS: &str = "labels";

impl Operator for Label {
    fn name(&self) -> &'static str {
        "label"
    }

    fn help(&self) -> &'static str {
        "the names of the patterns that each row of the input shows"
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] = &[
            option("input", OptionKind::Input, Need::Required, "what is read"),
            option(
                "patterns",
                OptionKind::Texts,
                Need::Optional,
                "patterns whose rules are known, over columns of `features`",
            ),
            option(
                "rules",
                OptionKind::Assignments,
                Need::Optional,
                "names and conditions; one with a pattern's name stands for that pattern",
            ),
            option(
                "keep",
                OptionKind::Choice(&["labelled", "all"]),
                Need::Default("labelled"),
                "rows of which some rule is true, or all",
            ),
        ];
        OPTIONS
    }

    fn glossary(&self) -> Option<Glossary> {
        let names = PATTERNS.iter().map(|pattern| (pattern.name, pattern.help.to_owned()));
        Some(Glossary { option: "patterns", names: names.collect() })
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        plan.input(settings, "input", &mut Vec::new()).map(outputs_of)
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        let mut problems = Vec::new();
        let input = plan.input(settings, "input", &mut problems);
        let rules = rules(settings, input, &mut problems);
        if let Some(view) = input
            && view.schema.index(LABELS).is_some()
        {
            let message = format!("`{}` has a column `{LABELS}` already", view.name);
            let problem = Problem::new(settings.place("input"), "duplicate_column", message);
            problems.push(problem.hint("name it otherwise with `select`"));
        }
        match input {
            Some(input) if problems.is_empty() => Ok(Prepared {
                inputs: vec![input.port],
                outputs: outputs_of(input),
                build: Box::new(Labelled(Labeller {
                    rules: rules.into(),
                    places: places(input).into(),
                    n_key: input.schema.n_key,
                    keeps_all: settings.text("keep") == Some("all"),
                })),
            }),
            _ => Err(problems),
        }
    }
}

/// A rule with its condition settled.
struct Rule {
    name: Text,
    condition: Compiled,
    /// The reason that errors give if it overflows.
    overflow: Text,
}

/// The rules in the config's order: patterns, then the others.
fn rules(settings: &Settings, input: Option<&View>, problems: &mut Vec<Problem>) -> Vec<Rule> {
    let mut texts: Vec<(&str, Cow<'_, str>, &Place)> = Vec::new();
    let own = settings.assignments("rules");
    for (name, place) in settings.list("rules") {
        let message = format!("`{name}` has no condition");
        let problem = Problem::new(place.clone(), "missing_value", message);
        problems.push(problem.hint("write `rules = { name = \"condition\" }`"));
    }
    for (name, place) in settings.list("patterns") {
        let at = |code, message: String| Problem::new(Place::clone(place), code, message);
        let replaced = own.iter().find(|(own, ..)| own == name);
        if texts.iter().any(|(known, ..)| known == name) {
            problems.push(at("duplicate_rule", format!("`{name}` is listed twice")));
        } else if let Some((_, text, place)) = replaced {
            texts.push((name, text.into(), place));
        } else if let Some(pattern) = Pattern::find(name) {
            match input.map(|view| Windows::of(&view.schema).condition(pattern)) {
                Some(Ok(text)) => texts.push((name, text.into(), place)),
                Some(Err(Refusal { message, hint })) => {
                    problems.push(at("missing_feature", message).hint(hint));
                }
                None => {}
            }
        } else {
            let mut problem = at("unknown_pattern", format!("no pattern is named `{name}`"));
            problem.hint = Pattern::hint(name);
            problems.push(problem);
        }
    }
    for (name, text, place) in own {
        if !is_rule_name(name) {
            let message = format!("a rule can't be named `{name}`");
            let hint = "use letters, digits and `_`, a letter first";
            problems.push(Problem::new(place.clone(), "bad_rule_name", message).hint(hint));
        } else if !texts.iter().any(|(known, ..)| known == name) {
            texts.push((name, text.into(), place));
        }
    }
    if texts.is_empty() && problems.is_empty() && input.is_some() {
        let message = "there is neither a pattern nor a rule: no row would have a label";
        problems.push(Problem::new(settings.place.clone(), "missing_value", message));
    }
    let mut rule = |(name, text, place): (&str, Cow<'_, str>, &Place)| {
        let condition = condition(&text, place, input, problems)?;
        let overflow = Text::from(format!("overflow of {name}"));
        Some(Rule { name: Text::from(name), condition, overflow })
    };
    texts.into_iter().filter_map(&mut rule).collect()
}

/// Whether a name can stand among others in a text: without commas and blanks.
fn is_rule_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Where a column of the output comes from.
#[derive(Clone, Copy)]
enum Source {
    /// A column of the input, by its index.
    Column(usize),
    Labels,
}

/// The columns: the key, the time, the labels, the rest.
fn places(input: &View) -> Vec<Source> {
    let Schema { columns, n_key, time } = &*input.schema;
    let time = time.filter(|time| time >= n_key);
    let head = (0..*n_key).chain(time);
    let rest = (*n_key..columns.len()).filter(|index| Some(*index) != time);
    let head = head.map(Source::Column).chain([Source::Labels]);
    head.chain(rest.map(Source::Column)).collect()
}

fn outputs_of(input: &View) -> Vec<Output> {
    let places = places(input);
    let column = |from: &Source| match from {
        Source::Column(index) => input.schema.columns[*index].clone(),
        Source::Labels => Column { name: LABELS.into(), kind: Kind::Text, nullable: false },
    };
    let is_time =
        |from: &Source| matches!(from, Source::Column(index) if Some(*index) == input.schema.time);
    let schema = Schema {
        columns: places.iter().map(column).collect(),
        n_key: input.schema.n_key,
        time: places.iter().position(is_time),
    };
    let rows = Output {
        suffix: "",
        kind: RelationKind::Rows,
        schema: schema.shared(),
        is_keyed: input.is_keyed,
    };
    vec![rows, errors_output(input)]
}

/// A label with its options settled.
struct Labelled(Labeller);

#[derive(Clone)]
struct Labeller {
    rules: Arc<[Rule]>,
    places: Arc<[Source]>,
    n_key: usize,
    keeps_all: bool,
}

impl Build for Labelled {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("a label reads one view") };
        let name = format!("view {}: label", context.view);
        let labeller = self.0.clone();
        let names = Arc::clone(&context.names);
        let (rows, errors) = with_edge!(input, rows => {
            split(rows.clone(), &name, move |row| labeller.label(&row, &names).transpose())
        });
        vec![Edge::Rows(rows), Edge::Rows(errors)]
    }
}

impl Labeller {
    /// The row of the output, if there is one, or that of the errors.
    fn label<R: Relation>(&self, row: &R, names: &Names) -> Result<Option<Row>, Row> {
        let column = |index| row.column_ref(index, names);
        let mut labels = String::new();
        for rule in &*self.rules {
            match rule.condition.is_true(&column) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(_) => return Err(error_row(row, self.n_key, names, rule.overflow.clone())),
            }
            if !labels.is_empty() {
                labels.push(',');
            }
            labels.push_str(rule.name.as_str());
        }
        if labels.is_empty() && !self.keeps_all {
            return Ok(None);
        }
        // Most rows have none, or few short ones.
        let labels = Value::Text(match ShortText::new(&labels) {
            Some(short) => Text::Short(short),
            None => Text::from(labels),
        });
        let value = |from: &Source| match from {
            Source::Column(index) => column(*index).into_owned(),
            Source::Labels => labels.clone(),
        };
        Ok(Some(Row(self.places.iter().map(value).collect())))
    }
}
