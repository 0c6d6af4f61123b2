//! Runs one operator over changes and gives what comes out as text.

use std::sync::Arc;

use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::input::InputSession;
use timely::dataflow::operators::Capture;
use timely::dataflow::operators::capture::Extract;
use types::options::{Problem, Setting, Settings};
use types::relations::{Relation, RelationKind};
use types::schema::{Column, Kind};
use types::{Interner, Names, Row, Schema, Value, json};

use super::Operator;
use crate::edge::{Coll, Edge};
use crate::inputs::ClockInput;
use crate::plan::{Context, PlanBuilder, Prepared, RelationSpec};
use crate::with_edge;

/// A relation as a plan is told of it.
pub(crate) fn relation(name: &str, kind: RelationKind, schema: Schema) -> RelationSpec {
    RelationSpec { name: name.to_owned(), kind, schema: schema.shared(), has_corrections: true }
}

/// The schema of a declared relation whose first columns are the key; `name?` may be null.
pub(crate) fn schema(columns: &[(&'static str, Kind)], n_key: usize) -> Schema {
    let column = |(name, kind): &(&'static str, Kind)| Column {
        name: name.trim_end_matches('?').into(),
        kind: *kind,
        nullable: name.ends_with('?'),
    };
    let time = columns.iter().position(|c| c.1 == Kind::Time);
    Schema { columns: columns.iter().map(column).collect(), n_key, time }
}

/// A declared row; `null` is null, whole numbers are numbers, all else is text.
pub(crate) fn row(values: &str) -> Row {
    let value = |text: &str| match types::Decimal::parse(text.as_bytes()) {
        _ if text == "null" => Value::Null,
        Ok(number) => Value::Number(number),
        Err(_) => Value::Text(text.into()),
    };
    Row(values.split(' ').map(value).collect())
}

/// Settings whose values all stand at the places given.
pub(crate) fn settings<const N: usize>(
    values: [(&'static str, Setting, std::ops::Range<usize>); N],
) -> Settings {
    let mut settings = Settings::new(0..1);
    for (name, setting, place) in values {
        settings.set(name, setting, place);
    }
    settings
}

/// Prepares an operator over relations.
pub(crate) fn prepare(
    operator: &dyn Operator,
    relations: Vec<RelationSpec>,
    settings: &Settings,
) -> Result<Prepared, Vec<Problem>> {
    let mut plan = PlanBuilder::new(relations);
    let outputs = operator.outputs(settings, &plan).map(|outputs| schemas(&outputs));
    let prepared = operator.prepare(settings, &mut plan);
    if let Ok(prepared) = &prepared {
        assert_eq!(outputs, Some(schemas(&prepared.outputs)), "both ways to the outputs");
    }
    prepared
}

fn schemas(outputs: &[crate::plan::Output]) -> Vec<(Arc<Schema>, &'static str, bool)> {
    outputs.iter().map(|o| (Arc::clone(&o.schema), o.suffix, o.is_keyed)).collect()
}

/// The changes of each output, `epoch diff row`, ordered by epoch and row.
pub(crate) fn changes<R: Relation>(
    prepared: Prepared,
    names: &Arc<Names>,
    rows: Vec<(R, u64, isize)>,
) -> Vec<Vec<String>>
where
    for<'s> Edge<'s>: From<Coll<'s, R>>,
{
    changes_of(prepared, names, vec![rows])
}

/// As [`changes`], of an operator that reads several views.
pub(crate) fn changes_of<R: Relation>(
    prepared: Prepared,
    names: &Arc<Names>,
    rows: Vec<Vec<(R, u64, isize)>>,
) -> Vec<Vec<String>>
where
    for<'s> Edge<'s>: From<Coll<'s, R>>,
{
    let schemas: Vec<Arc<Schema>> =
        prepared.outputs.iter().map(|output| Arc::clone(&output.schema)).collect();
    let kinds: Vec<RelationKind> = prepared.outputs.iter().map(|output| output.kind).collect();
    let names = Arc::clone(names);
    let captured = timely::execute_directly(move |worker| {
        let mut inputs: Vec<_> = rows.iter().map(|_| InputSession::new()).collect();
        let captured: Vec<_> = worker.dataflow::<u64, _, _>(|scope| {
            let clock = ClockInput::new(scope);
            let context = Context {
                cold: crate::cold::Cold::new(None),
                scope,
                clock: &clock,
                names: Arc::clone(&names),
                view: "v",
                reads: (0..inputs.len()).collect(),
                is_read: vec![true; kinds.len()],
            };
            let read: Vec<_> =
                inputs.iter_mut().map(|input| Edge::from(input.to_collection(scope))).collect();
            let edges = prepared.build.build(&context, &read);
            assert_eq!(edges.iter().filter_map(Edge::kind).collect::<Vec<_>>(), kinds);
            let texts = edges.into_iter().zip(schemas).map(|(edge, schema)| {
                let names = Arc::clone(&names);
                with_edge!(edge, rows => rows.map(move |row| text(&row, &schema, &names)).inner)
            });
            texts.map(Capture::capture).collect()
        });
        for (input, rows) in inputs.iter_mut().zip(rows) {
            for (row, epoch, diff) in rows {
                // Else rows of several epochs would come as those of the first.
                input.advance_to(epoch);
                input.flush();
                input.update(row, diff);
            }
        }
        captured
    });
    captured
        .into_iter()
        .map(|captured| {
            let mut changes: Vec<_> = captured.extract().into_iter().flat_map(|c| c.1).collect();
            consolidate_updates(&mut changes);
            changes.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
            changes.iter().map(|(row, epoch, diff)| format!("{epoch} {diff:+} {row}")).collect()
        })
        .collect()
}

fn text<R: Relation>(row: &R, schema: &Schema, names: &Names) -> String {
    let mut text = Vec::new();
    json::write_row(&mut text, row, schema, names);
    String::from_utf8(text).unwrap()
}

/// An empty dictionary.
pub(crate) fn no_names() -> Arc<Names> {
    Arc::clone(Interner::new(false).names())
}

/// A value of a strategy, the same for the same seed.
pub(crate) fn sample<S: proptest::strategy::Strategy>(strategy: &S, seed: u64) -> S::Value {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    strategy.new_tree(&mut runner).unwrap().current()
}

/// Makes a test of each safeguard: with it taken out, one of so many cases of a check must fail.
#[cfg(feature = "sabotage")]
macro_rules! noticed {
    ($($name:ident: $safeguard:ident by $n:literal of $case:expr;)*) => {
        $(#[test]
        fn $name() {
            let safeguard = types::sabotage::Safeguard::$safeguard;
            types::sabotage::assert_noticed(safeguard, $n, $case);
        })*
    };
}
#[cfg(feature = "sabotage")]
pub(crate) use noticed;
