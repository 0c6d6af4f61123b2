//! What a run did, for people and for programs.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use types::Value;

use super::Format;
use crate::engine::{Summary, ViewSummary};

/// Writes a summary.
pub(super) fn write(done: &Summary, format: Format) -> String {
    match format {
        Format::Text => text(done),
        Format::Json => json(done),
    }
}

fn text(done: &Summary) -> String {
    let mut out = String::new();
    for view in &done.views {
        out.push_str(&table(view));
    }
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let counts = done.counts;
    let stopped = if done.is_stopped { ", stopped before its end: run it again" } else { "" };
    line(format!("pipeline {}{stopped}", done.name));
    line(format!(
        "  events   {} received = {} applied + {} duplicate + {} quarantined; {} late, {} pending",
        counts.received,
        counts.applied,
        counts.duplicate,
        counts.quarantined,
        counts.late,
        done.n_pending
    ));
    if let Some(path) = &done.quarantine {
        let reasons: Vec<String> =
            done.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let left_out = match done.n_left_out {
            0 => String::new(),
            n => format!("; {n} of them had no room there (`quarantine_bytes`)"),
        };
        line(format!("  refused  {} in {}{left_out}", reasons.join(", "), path.display()));
    }
    for (name, report) in &done.sinks {
        for written in &report.lines {
            line(format!("  sink     {name}: {written}"));
        }
        if let Some(path) = &report.quarantine {
            line(format!("  refused  {} by sink {name}, in {}", report.n_refused, path.display()));
        }
    }
    if let Some(n_bytes) = done.n_spilled.filter(|n_bytes| *n_bytes > 0) {
        let kilobytes = n_bytes.div_ceil(1000);
        line(format!("  spilled  {kilobytes} kB of old history and identities left memory"));
    }
    let millis = done.elapsed.as_millis().max(1);
    let rate = u128::from(counts.received) * 1000 / millis;
    let memory = done
        .peak_memory
        .map_or_else(String::new, |bytes| format!(", {} MB at most", bytes / 1_000_000));
    line(format!(
        "  took     {}.{:03} s, {rate} events/s, {} epochs{memory}",
        millis / 1000,
        millis % 1000,
        done.n_epochs
    ));
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    line(format!(
        "  an epoch {:.1} ms (p50), {:.1} ms (p99), {:.1} ms at most, from fed to delivered",
        millis(done.latency.p50),
        millis(done.latency.p99),
        millis(done.latency.max)
    ));
    out
}

/// How wide a table may become before columns are left out.
const WIDTH_MAX: usize = 110;

/// A view's newest rows, as many columns as fit: all but the venue and what is null in each row.
fn table(view: &ViewSummary) -> String {
    let mut out = format!("{}: {} rows", view.name, view.n_rows);
    if view.newest.is_empty() {
        out.push_str("\n\n");
        return out;
    }
    out.push_str(", the newest:\n");
    let (mut shown, mut width) = (Vec::new(), 2);
    for (index, name) in view.columns.iter().enumerate() {
        let cells: Vec<String> = view.newest.iter().map(|row| cell(row.get(index))).collect();
        if name == "venue" || cells.iter().all(String::is_empty) {
            continue;
        }
        width += 2 + cells.iter().map(String::len).chain([name.len()]).max().unwrap_or(0);
        if width > WIDTH_MAX && !shown.is_empty() {
            break;
        }
        shown.push((name, cells));
    }
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(shown.iter().map(|(name, _)| name.as_str()));
    for row in 0..view.newest.len() {
        table.add_row(shown.iter().filter_map(|(_, cells)| cells.get(row)));
    }
    out.push_str(&table.trim_fmt());
    out.push_str("\n\n");
    out
}

/// A value for people: times to the second where that loses nothing, nothing for null.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Float(float)) => float.get().to_string(),
        Some(Value::Time(time)) => time.to_string().replace(".000000000Z", "Z"),
        Some(Value::Text(text)) => text.to_string(),
    }
}

fn json(done: &Summary) -> String {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let views: serde_json::Map<_, _> =
        done.views.iter().map(|view| (view.name.clone(), view.n_rows.into())).collect();
    let sinks: serde_json::Map<_, _> =
        done.sinks.iter().map(|(name, report)| (name.clone(), report.n_refused.into())).collect();
    let value = serde_json::json!({
        "pipeline": done.name,
        "stopped": done.is_stopped,
        "received": done.counts.received,
        "applied": done.counts.applied,
        "duplicate": done.counts.duplicate,
        "quarantined": done.counts.quarantined,
        "late": done.counts.late,
        "pending": done.n_pending,
        "reasons": done.reasons,
        "left_out_of_quarantine": done.n_left_out,
        "views": views,
        "refused_by_sinks": sinks,
        "epochs": done.n_epochs,
        "epoch_micros": {
            "p50": micros(done.latency.p50),
            "p99": micros(done.latency.p99),
            "max": micros(done.latency.max),
        },
        "spilled_bytes": done.n_spilled,
        "elapsed_ms": u64::try_from(done.elapsed.as_millis()).unwrap_or(u64::MAX),
        "peak_memory_bytes": done.peak_memory,
    });
    format!("{value}\n")
}
