//! The text of an alert, as a config writes it: `{column}` stands for the value of a column of the row
//! that fired; `{{` and `}}` are braces.

use types::Text;
use types::options::{Problem, did_you_mean};

use crate::plan::View;

/// A text with places for values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The value of a column, by its index.
    Column(usize),
}

impl Template {
    /// Reads a template over a view's columns; what is wrong is told as a problem at `place`.
    pub(super) fn parse(
        text: &str,
        place: &std::ops::Range<usize>,
        view: &View,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let mut parts = vec![Part::Text(String::new())];
        let mut rest = text.chars();
        let mut tell = |message: String, hint: Option<String>| {
            let problem = Problem::new(place.clone(), "bad_template", message);
            problems.push(Problem { hint, ..problem });
        };
        let twice = || Some(String::from("a brace that is meant as such is written twice"));
        while let Some(next) = rest.next() {
            let is_brace = next == '{' || next == '}';
            if !is_brace || rest.as_str().starts_with(next) {
                if is_brace {
                    rest.next();
                }
                match parts.last_mut() {
                    Some(Part::Text(text)) => text.push(next),
                    _ => parts.push(Part::Text(next.into())),
                }
                continue;
            }
            let Some((name, behind)) = rest.as_str().split_once('}').filter(|_| next == '{') else {
                tell(format!("a `{next}` without its other brace"), twice());
                return None;
            };
            let Some(column) = view.schema.index(name) else {
                let known = view.schema.columns.iter().map(|column| column.name.as_ref());
                let hint = did_you_mean(name, known);
                tell(format!("`{}` has no column `{name}`", view.name), hint);
                return None;
            };
            parts.push(Part::Column(column));
            rest = behind.chars();
        }
        Some(Self(parts))
    }

    /// The columns whose values it shows.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Column(column) => Some(*column),
        })
    }

    /// Fills in values.
    pub(super) fn fill(&self, value: impl Fn(usize) -> Text) -> Text {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Column(column) => text.push_str(value(*column).as_str()),
            }
        }
        Text::from(text)
    }
}
