//! Rows as of steps, held back until their step is published: when the watermark reaches it
//! (SEMANTICS section 3). A step that is published is revised at once.

use std::collections::BTreeMap;

use differential_dataflow::AsCollection;
use types::changes::consolidate;
use types::options::{Problem, Settings};
use types::relations::PositionStep;
use types::{Span, VenueTime};

use crate::edge::Coll;
use crate::operators::epochs::per_epoch_with_clock;
use crate::plan::Context;

/// The largest grid, 5,200 weeks: its steps around all allowed event times fit 64 bits.
pub(super) const LARGEST: i64 = 5_200 * 7 * 86_400_000_000_000;

/// The grid that an option gives; tells a problem where its steps could leave the range of times.
pub(super) fn grid(settings: &Settings, option: &str, problems: &mut Vec<Problem>) -> Option<Span> {
    let grid = settings.duration(option)?;
    if grid.nanos() > LARGEST {
        let message = format!("a step of {grid} is too long");
        let problem = Problem::new(settings.place(option), "too_long", message);
        problems.push(problem.hint("the longest is 5200w, about a hundred years"));
    }
    Some(grid)
}

/// The greatest common divisor of two lengths, zero of none (Euclid).
pub(super) const fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Lets steps of a grid through as they are published.
pub(super) fn published<'s>(
    steps: Coll<'s, PositionStep>,
    grid: Span,
    context: &Context<'s, '_>,
) -> Coll<'s, PositionStep> {
    let reads = context.reads.clone();
    let clock = context.clock.stream();
    let name = format!("{}: published steps", context.view);
    let mut held: BTreeMap<VenueTime, Vec<(PositionStep, isize)>> = BTreeMap::new();
    let mut last: Option<VenueTime> = None;
    let published = per_epoch_with_clock(steps.inner, clock, &name, move |epoch, input, out| {
        let (rows, clock) = input;
        let mut published = Vec::new();
        last = last.max(clock.and_then(|clock| clock.last_step(grid, &reads)));
        for (row, diff) in rows.drain(..) {
            if Some(row.step) <= last {
                published.push((row, diff));
            } else {
                held.entry(row.step).or_default().push((row, diff));
            }
        }
        while let Some(entry) = held.first_entry().filter(|entry| Some(*entry.key()) <= last) {
            published.append(&mut entry.remove());
        }
        consolidate(&mut published);
        // The rows of a key stand together, the one that is gone first.
        let key = |row: &PositionStep| (row.step, row.position.wallet, row.position.asset);
        published.sort_by_key(|(row, diff)| (key(row), *diff));
        out.extend(published.into_iter().map(|(row, diff)| (row, epoch, diff)));
    });
    published.as_collection()
}
