//! `filter`: the rows for which an expression is true.

use std::sync::Arc;

use types::Text;
use types::expr::Compiled;
use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};
use types::relations::Relation;

use super::Operator;
use super::expressions::{condition, error_row, errors_output, split};
use crate::edge::Edge;
use crate::plan::{Build, Context, Output, PlanBuilder, Prepared, View};
use crate::with_edge;

/// Keeps the rows of its input for which `where` is true: not those where it is false or null. Its
/// rows are of the input's type, so that whatever reads the input can read them. A row whose
/// expression overflows stands in `<view>.errors` for as long as the row is there. Keeps nothing
/// and forgets nothing.
pub(crate) struct Filter;

impl Operator for Filter {
    fn name(&self) -> &'static str {
        "filter"
    }

    fn help(&self) -> &'static str {
        "the rows of the input for which an expression is true"
    }

    fn options(&self) -> &'static [OptionSpec] {
        const OPTIONS: &[OptionSpec] = &[
            option("input", OptionKind::Input, Need::Required, "what is read"),
            option("where", OptionKind::Expression, Need::Required, "true for the rows to keep"),
        ];
        OPTIONS
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
        let place = settings.place("where");
        let condition =
            settings.text("where").and_then(|text| condition(text, &place, input, &mut problems));
        match (input, condition) {
            (Some(input), Some(condition)) if problems.is_empty() => Ok(Prepared {
                inputs: vec![input.port],
                outputs: outputs_of(input),
                build: Box::new(Kept { condition, n_key: input.schema.n_key }),
            }),
            _ => Err(problems),
        }
    }
}

fn outputs_of(input: &View) -> Vec<Output> {
    let rows = Output {
        suffix: "",
        kind: input.kind,
        schema: Arc::clone(&input.schema),
        is_keyed: input.is_keyed,
    };
    vec![rows, errors_output(input)]
}

/// A filter with its options settled.
struct Kept {
    condition: Compiled,
    n_key: usize,
}

impl Build for Kept {
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>> {
        let [input] = inputs else { unreachable!("a filter reads one view") };
        let name = format!("view {}: filter", context.view);
        let (condition, n_key) = (self.condition.clone(), self.n_key);
        let names = Arc::clone(&context.names);
        with_edge!(input, rows => {
            let (kept, errors) = split(rows.clone(), &name, move |row| {
                match condition.is_true(&|index| row.column_ref(index, &names)) {
                    Ok(true) => Some(Ok(row)),
                    Ok(false) => None,
                    Err(error) => {
                        let reason = Text::from(error.to_string());
                        Some(Err(error_row(&row, n_key, &names, reason)))
                    }
                }
            });
            vec![Edge::from(kept), Edge::Rows(errors)]
        })
    }
}

#[cfg(test)]
mod tests;
