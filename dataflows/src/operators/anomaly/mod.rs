//! `anomaly`: how unusual each row is, among those before it.
//!
//! A detector ([`detectors`]) takes rows in the order of event time, `seq`, id and text: it scores a row
//! by what it has learnt so far, then learns it. With `scope = "view"` one model serves all keys, each in
//! units of its own (`normalise`): a key's first rows, until one of its columns has eight values, are
//! neither scored nor learnt. With `scope = "key"` each key has a model.
//!
//! `score` is 1 - p, so that at least 0.999 comes of one usual row in a thousand; `raw` is the detector's
//! own measure. `state` says `warming` where too little was learnt (score and raw are null then), `ok`, or
//! `stale`. Of a row whose score reaches `explain_from`, `reason` names the column that does most,
//! `deviations` how far from usual it lies, and `why` says in words what up to three columns do. Behind
//! them stand the input's columns.
//!
//! Rows that come late, change or go away are folded in where they belong: all scores behind them are as
//! if they had come in time. The model is kept at some rows for that, fewer the older they are. This ends
//! at `revise_within` behind the watermark as it stood before the epoch: what comes or changes there is
//! not learnt, has no score and is `stale`, and what goes away stays learnt. `<view>.stale` tells of each.
//! A model whose rows all lie there keeps no states beside itself.
//! So a view with such rows depends on when they came, and a run that goes on is fed epoch by epoch.
//!
//! With `forget_after` a key that rests is forgotten: a row that lies further than that behind the key's row
//! before it, of those that are learnt, finds a model, or units, that have learnt nothing. This goes by the
//! rows alone, so a late row in between joins what it lies between, and one that goes away may part it. What
//! was known of the key goes once `revise_within` has passed as well, as no row asks for it then.
//!
//! Rows and scores are kept for good, because a row that goes away takes back what it said.

mod judge;
mod layout;
mod line;
mod operator;
mod prepare;
mod refits;
mod rungs;
mod scores;
#[cfg(test)]
mod tests;
mod usual;

use types::options::{Need, OptionKind, OptionSpec, Problem, Settings, option};

use crate::operators::Operator;
use crate::plan::{Output, PlanBuilder, Prepared};

/// The operator.
pub(super) struct Anomaly;

const OPTIONS: &[OptionSpec] = &[
    option(
        "input",
        OptionKind::Input,
        Need::Required,
        "rows with a time: features, bars, snapshots",
    ),
    option(
        "columns",
        OptionKind::Columns,
        Need::Optional,
        "the numbers that are looked at; where not given all that aren't part of the key, but for `seq`, `revision`, `age`, `covered_*` and `refit_on`",
    ),
    option(
        "detector",
        OptionKind::Choice(&["combined", "robust_z", "loda", "forest"]),
        Need::Default("combined"),
        "which detector: all of them together, or one",
    ),
    option(
        "scope",
        OptionKind::Choice(&["view", "key"]),
        Need::Default("view"),
        "one model for all keys, or a model a key",
    ),
    option(
        "by",
        OptionKind::Columns,
        Need::Optional,
        "the key: columns of the input's; those without time and id where not given",
    ),
    option(
        "normalise",
        OptionKind::Bool,
        Need::Optional,
        "with one model: each key's numbers in deviations from its own usual ones; true where not given",
    ),
    option(
        "seed",
        OptionKind::Count(0, SEED_MAX),
        Need::Default("0"),
        "what all chance comes from",
    ),
    option(
        "warm_up",
        OptionKind::Count(16, 65_536),
        Need::Default("32"),
        "rows that are learnt before the first score",
    ),
    option(
        "refit",
        OptionKind::Duration,
        Need::Optional,
        "event time between fits of the model once it has learnt 2,048 rows, 64 rows between two at least; by \
         rows before and where not given",
    ),
    option(
        "refit_on",
        OptionKind::Text,
        Need::Optional,
        "a column of the input, whose new values ask for the model to be fitted anew: before their row, 64 rows \
         after the last such fit at the earliest",
    ),
    option(
        "revise_within",
        OptionKind::DurationOrZero,
        Need::Default("1h"),
        "how far behind the watermark changes still change scores",
    ),
    option(
        "forget_after",
        OptionKind::Duration,
        Need::Optional,
        "a key that rests for longer is forgotten: its model, or what is usual of it, begins anew with its next \
         row; by event time",
    ),
    option(
        "explain_from",
        OptionKind::Text,
        Need::Default("0.99"),
        "the score from which on a row says why",
    ),
];

/// The largest whole number of a config.
const SEED_MAX: u64 = i64::MAX.unsigned_abs();

impl Operator for Anomaly {
    fn name(&self) -> &'static str {
        "anomaly"
    }

    fn help(&self) -> &'static str {
        "how unusual each row is among those before it, and why"
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn outputs(&self, settings: &Settings, plan: &PlanBuilder) -> Option<Vec<Output>> {
        let mut problems = Vec::new();
        let (_, layout) = prepare::settle(settings, plan, &mut problems)?;
        problems.is_empty().then(|| prepare::outputs(&layout))
    }

    fn prepare(
        &self,
        settings: &Settings,
        plan: &mut PlanBuilder,
    ) -> Result<Prepared, Vec<Problem>> {
        prepare::prepare(settings, plan)
    }
}
