//! From written to used: finds every problem in one pass.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connectors::quarantine::Quota;
use dataflows::PlanBuilder;
use dataflows::plan::{Plan, RelationSpec};
use types::Value;
use types::options::{Place, Problem};

use super::cases::{self, Case};
use super::file::{Sections, Written};
use super::options::{check_label, settings};
use super::places::check_places;
use super::plan::{EnginePlan, Pipeline, SourcePlan, TestCase, TestExpect, TestInput};
use super::relations::{Relations, relations};
use super::sections::{EPOCH, HISTORY_MEMORY_MIN, PIPELINE};
use super::sinks::{Server, Sink};
use super::sources::{Source, source};
use super::text::Texts;
use super::{Purpose, Registry, sinks, views};
use crate::{checkpoint, log};

/// A config of which each section is read, but whose names aren't settled yet.
struct Parts {
    pipeline: Option<Pipeline>,
    relations: Relations,
    sources: Vec<Source>,
    views: Vec<views::Written>,
    alerts: Vec<views::Written>,
    sinks: Vec<Sink>,
    server: Option<Server>,
    cases: Vec<Case>,
}

/// The rows that each test expects of each view; `None` where they have problems.
type Expected = Vec<Vec<Option<Vec<Vec<(usize, Value)>>>>>;

/// Checks a config and settles all names in it.
///
/// # Errors
/// All problems, in the order of the text.
pub(super) fn check(
    written: Written,
    registry: &Registry,
    purpose: Purpose,
) -> Result<EnginePlan, (Texts, Vec<Problem>)> {
    let Written { texts, base, sections, is_torn, mut problems } = written;
    let mut parts = read(&sections, &base, registry, &mut problems);
    let mut builder = PlanBuilder::new(specs(&parts, purpose));
    for name in &parts.relations.broken {
        builder.add_broken(name, "relation", None);
    }
    views::tell_readers(&parts.views, &parts.alerts, &mut builder, &mut problems);
    views::prepare(&parts.views, &mut builder, &mut problems);
    views::prepare_alerts(&parts.alerts, &mut builder, &mut problems);
    sinks::check_views(&parts.sinks, &builder, &mut problems);
    let whole = std::path::absolute(&base).unwrap_or_else(|_| base.clone());
    check_places(&parts.sinks, &parts.sources, &whole, &builder, &mut problems);
    let expected: Expected = parts
        .cases
        .iter()
        .map(|case| {
            let expect = case.expect.iter();
            expect.map(|e| cases::expected_rows(e, &builder, &mut problems)).collect()
        })
        .collect();
    let Some(pipeline) = parts.pipeline.take().filter(|_| problems.is_empty()) else {
        return Err((texts, in_order(problems, is_torn)));
    };
    let plan = finish(builder, &parts, purpose);
    let mut warnings = unfed(&parts);
    let is_heard = |rule: &str| parts.sinks.iter().any(|sink| sink.limits_alerts(rule));
    warnings.extend(views::unheard_rates(&parts.alerts, is_heard));
    warnings.extend(parts.sinks.iter().filter_map(Sink::unheard_rate));
    warnings.extend(parts.sinks.iter().filter_map(Sink::unheard_age));
    let warnings = in_order(warnings, false);
    Ok(EnginePlan {
        pipeline,
        n_views: parts.views.len(),
        n_alerts: parts.alerts.len(),
        keeps_id_texts: views::keeps_id_texts(&plan),
        sources: source_plans(parts.sources, &plan),
        tests: test_cases(parts.cases, expected, &plan),
        sinks: sinks::sink_plans(parts.sinks, &plan, &views::rates(&parts.alerts)),
        digest: super::digest::digest(&sections),
        server: parts.server.map(|server| sinks::server_plan(server, &plan)),
        plan: Arc::new(plan),
        warnings,
        base,
        texts,
    })
}

/// Reads each section.
fn read(
    sections: &Sections,
    base: &Path,
    registry: &Registry,
    problems: &mut Vec<Problem>,
) -> Parts {
    let pipeline = pipeline(sections, base, problems);
    let relations = relations(&sections.relations, problems);
    let mut sources = Vec::new();
    for part in &sections.sources {
        sources.extend(source(part, base, registry.sources, &relations, problems));
    }
    let views = views::views(&sections.views, registry.operators, &relations, problems);
    let alerts = views::alerts(&sections.alerts, registry.alert, problems);
    let sink = |part| sinks::sink(part, registry.sinks, problems);
    let sinks = sections.sinks.iter().map(sink).collect();
    let server = sections.server.as_ref().and_then(|part| sinks::server(part, problems));
    let mut cases: Vec<Case> = Vec::new();
    for item in &sections.tests {
        let Some(case) = cases::case(item, &relations, problems) else { continue };
        if !case.name.is_empty() && cases.iter().any(|known| known.name == case.name) {
            let message = format!("another test is named `{}`", case.name);
            problems.push(Problem::new(case.place.clone(), "name_taken", message));
        }
        cases.push(case);
    }
    Parts { pipeline, relations, sources, views, alerts, sinks, server, cases }
}

/// Reads `[pipeline]`.
fn pipeline(sections: &Sections, base: &Path, problems: &mut Vec<Problem>) -> Option<Pipeline> {
    let Some(part) = &sections.pipeline else {
        let problem = Problem::new(0..0, "missing_section", "the config has no `[pipeline]`");
        problems.push(problem.hint("write `[pipeline]` and `name = \"..\"` below"));
        return None;
    };
    let read = settings(part, "the pipeline", &[PIPELINE], &["epoch"], problems);
    let epoch = super::options::nested(part, "epoch", &[EPOCH], problems);
    let name = read.text("name")?;
    check_label(name, &read.place("name"), problems);
    let data_dir = match read.text("data_dir") {
        Some(folder) => base.join(folder),
        None => base.join(".tapeline").join(name),
    };
    let history_memory = read.count("history_memory");
    if history_memory.is_some_and(|bytes| bytes < HISTORY_MEMORY_MIN) {
        let message = "`history_memory` is too small".to_owned();
        let problem = Problem::new(read.place("history_memory"), "wrong_value", message);
        problems.push(problem.hint("from \"1MiB\" on; leave it out to hold all in memory"));
    }
    let keeps_events = read.text("journal") == Some("events");
    let cuts_log = read.text("retain") == Some("checkpoints");
    if cuts_log && !keeps_events {
        let message = "`retain = \"checkpoints\"` needs a log that keeps events".to_owned();
        let problem = Problem::new(read.place("retain"), "wrong_value", message);
        problems.push(problem.hint("add journal = \"events\", or leave `retain` out"));
    }
    Some(Pipeline {
        name: name.to_owned(),
        data_dir,
        history_memory,
        keeps_events,
        checkpoints: checkpoint::Settings::new(read.count("checkpoint_every")?, cuts_log),
        sync: if read.text("sync") == Some("none") { log::Sync::None } else { log::Sync::Data },
        quarantine: Quota {
            max_bytes: read.count("quarantine_bytes")?,
            ends_run: read.text("quarantine_full") != Some("count"),
        },
        workers: usize::try_from(read.count("workers")?).ok()?,
        max_events: usize::try_from(epoch.count("max_events")?).ok()?,
        max_age: Duration::from_nanos(u64::try_from(epoch.nanos("max_age")?).ok()?),
    })
}

/// The relations of the plan: those that a source feeds, a view reads, a sink writes or a test
/// names; built-in ones first.
fn specs(parts: &Parts, purpose: Purpose) -> Vec<RelationSpec> {
    let mut wanted: BTreeSet<&str> = reads(parts).map(|(name, _)| name).collect();
    wanted.extend(parts.sources.iter().map(|source| source.relation.as_str()));
    wanted.extend(parts.sinks.iter().flat_map(Sink::names));
    for case in &parts.cases {
        wanted.extend(case.inserts.iter().map(|input| input.relation.as_str()));
        wanted.extend(case.expect.iter().map(|expect| expect.view.as_str()));
    }
    let known = parts.relations.known.iter().filter(|known| wanted.contains(known.name.as_str()));
    let spec = |known: &super::relations::Known| {
        let by_source = |source: &Source| source.relation == known.name && source.has_corrections;
        let by_test = parts.cases.iter().flat_map(|case| &case.inserts).any(|input| {
            // What a test does to a relation says nothing of how a run feeds it.
            purpose == Purpose::Test && input.relation == known.name && input.has_corrections
        });
        RelationSpec {
            name: known.name.clone(),
            kind: known.kind,
            schema: Arc::clone(&known.schema),
            has_corrections: by_test || parts.sources.iter().any(by_source),
        }
    };
    known.map(spec).collect()
}

/// All that views and alerts read, each with its place.
fn reads(parts: &Parts) -> impl Iterator<Item = (&str, &Place)> {
    let written = parts.views.iter().chain(&parts.alerts);
    written.flat_map(|view| view.reads.iter().map(|(name, place)| (name.as_str(), place)))
}

/// Warns of relations that a view reads and no source feeds; each where it is read first.
fn unfed(parts: &Parts) -> Vec<Problem> {
    let fed: BTreeSet<&str> = parts.sources.iter().map(|s| s.relation.as_str()).collect();
    let mut told = BTreeSet::new();
    let mut warnings = Vec::new();
    for (name, place) in reads(parts) {
        if parts.relations.has(name) && !fed.contains(name) && told.insert(name) {
            let message = format!("no source feeds `{name}`");
            let problem = Problem::new(place.clone(), "unfed_relation", message);
            warnings.push(problem.hint(format!("add a source with relation = \"{name}\"")));
        }
    }
    warnings
}

/// Finishes the plan with the views that leave the dataflow.
fn finish(builder: PlanBuilder, parts: &Parts, purpose: Purpose) -> Plan {
    let views = builder.names().filter_map(|name| Some((name, builder.view(name)?)));
    let served = views.filter(|(_, view)| sinks::is_served(view));
    let all: Vec<(String, bool)> =
        served.map(|(name, view)| (name.to_owned(), sinks::is_shown(view))).collect();
    let mut emitted = sinks::wanted(&parts.sinks, parts.server.as_ref(), &all);
    if purpose == Purpose::Test {
        let expect = parts.cases.iter().flat_map(|case| &case.expect);
        emitted.extend(expect.map(|expect| expect.view.as_str()));
    }
    builder.finish(emitted)
}

fn source_plans(sources: Vec<Source>, plan: &Plan) -> Vec<SourcePlan> {
    let settle = |source: Source| {
        Some(SourcePlan {
            relation: plan.relations.iter().position(|r| r.name == source.relation)?,
            file: source.file?,
            lateness_nanos: source.lateness_nanos,
            stops_on_bad_row: source.stops_on_bad_row,
        })
    };
    sources.into_iter().filter_map(settle).collect()
}

fn test_cases(cases: Vec<Case>, expected: Expected, plan: &Plan) -> Vec<TestCase> {
    let settle = |(case, expected): (Case, Vec<Option<_>>)| {
        let insert = |input: cases::Input| {
            let relation = plan.relations.iter().position(|r| r.name == input.relation)?;
            Some(TestInput { relation, drafts: input.drafts })
        };
        let expect = case.expect.into_iter().zip(expected).filter_map(|(expect, rows)| {
            let view = plan.view(&expect.view)?;
            Some(TestExpect { view, rows: rows?, place: expect.place })
        });
        TestCase {
            name: case.name,
            place: case.place,
            inserts: case.inserts.into_iter().filter_map(insert).collect(),
            expect: expect.collect(),
            also: case.also,
        }
    };
    cases.into_iter().zip(expected).map(settle).collect()
}

/// Problems in the order of the text, each once. Of a file that isn't TOML only that is told: what
/// is missing then may stand in the part that couldn't be read.
fn in_order(mut problems: Vec<Problem>, is_torn: bool) -> Vec<Problem> {
    if is_torn {
        problems.retain(|problem| matches!(problem.code, "syntax" | "variable"));
    }
    // What is wrong with a text whose variable isn't set isn't known.
    let unset = problems.iter().filter(|problem| problem.code == "variable");
    let unset: Vec<Place> = unset.map(|problem| problem.place.clone()).collect();
    problems.retain(|problem| problem.code == "variable" || !unset.contains(&problem.place));
    problems.sort_by(|a, b| {
        let place = |problem: &Problem| (problem.place.start, problem.place.end);
        place(a).cmp(&place(b)).then_with(|| a.message.cmp(&b.message))
    });
    problems.dedup();
    problems
}
