//! What a run did, for people and for programs.

use super::Format;
use crate::engine::Summary;

/// Writes a summary.
pub(super) fn write(done: &Summary, format: Format) -> String {
    match format {
        Format::Text => text(done),
        Format::Json => json(done),
    }
}

fn text(done: &Summary) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let counts = done.counts;
    line(format!("pipeline {}", done.name));
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
        line(format!("  refused  {} in {}", reasons.join(", "), path.display()));
    }
    for (name, n_rows) in &done.views {
        line(format!("  view     {name}: {n_rows} rows"));
    }
    for (name, report) in &done.sinks {
        for written in &report.lines {
            line(format!("  sink     {name}: {written}"));
        }
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
    out
}

fn json(done: &Summary) -> String {
    let views: serde_json::Map<_, _> =
        done.views.iter().map(|(name, n)| (name.clone(), (*n).into())).collect();
    let value = serde_json::json!({
        "pipeline": done.name,
        "received": done.counts.received,
        "applied": done.counts.applied,
        "duplicate": done.counts.duplicate,
        "quarantined": done.counts.quarantined,
        "late": done.counts.late,
        "pending": done.n_pending,
        "reasons": done.reasons,
        "views": views,
        "epochs": done.n_epochs,
        "elapsed_ms": u64::try_from(done.elapsed.as_millis()).unwrap_or(u64::MAX),
        "peak_memory_bytes": done.peak_memory,
    });
    format!("{value}\n")
}
