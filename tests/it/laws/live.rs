//! P&L as of the current epoch, as a server makes it of what the engine emitted.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::Plan;
use dataflows::operators::mark_to_market::live::{self, Live, LiveRows};
use tapeline::runtime::EpochOutput;
use tapeline::simulate::Simulated;
use types::json::write_row;
use types::relations::{MarkNow, PnlNow, Position, Relation, WalletNow};
use types::{AssetId, Changes, Names, Sym};

use super::cases::check_cases;
use super::history::{Placed, market_history};
use super::market::live_views;
use super::runs::run;
use super::{MARKET_PLAN, way};

/// Lines by view.
type Rows = BTreeMap<String, BTreeSet<String>>;

/// The newest rows that live ones are made of.
#[derive(Default)]
struct Newest {
    positions: BTreeMap<(Sym, AssetId), Position>,
    marks: BTreeMap<AssetId, MarkNow>,
}

/// The live rows of all views that have such after some epochs, as lines; those of `pnl` stand under
/// `pnl (live)`.
pub(super) fn live_rows(plan: &Plan, simulated: &Simulated, n_epochs: usize) -> Rows {
    let views = plan.emitted_views().filter_map(|view| Some((view, live::live(plan, view)?)));
    let lines = views.map(|(view, of)| {
        let newest = Newest::of(plan, &simulated.outputs[..n_epochs], of);
        (format!("{} (live)", view.name), newest.lines(of.rows, &simulated.names))
    });
    lines.collect()
}

impl Newest {
    fn of(plan: &Plan, outputs: &[EpochOutput], live: Live) -> Self {
        let place = |view: usize| {
            let name = &plan.views[view].name;
            plan.emitted_views().position(|view| view.name == *name).unwrap()
        };
        let (positions, marks) = (place(live.positions), place(live.marks));
        let mut newest = Self::default();
        for output in outputs {
            let (Changes::Positions(positions), Changes::Marks(marks)) =
                (output.changes[positions].as_ref(), output.changes[marks].as_ref())
            else {
                panic!("positions and marks");
            };
            fold(positions, &mut newest.positions, |row| (row.wallet, row.asset));
            fold(marks, &mut newest.marks, |row| row.asset);
        }
        newest
    }

    fn at_mark<'a>(&'a self, position: &'a Position) -> (&'a Position, Option<&'a MarkNow>) {
        (position, self.marks.get(&position.asset))
    }

    fn lines(&self, rows: LiveRows, names: &Names) -> BTreeSet<String> {
        let is_shown =
            |position: &&Position| rows == LiveRows::Positions || !position.qty.is_zero();
        if rows == LiveRows::Wallets {
            let wallets: BTreeSet<Sym> = self.positions.keys().map(|(wallet, _)| *wallet).collect();
            let of_wallet = |wallet: Sym| {
                let of = self.positions.values().filter(move |position| position.wallet == wallet);
                live::wallet(of.map(|position| self.at_mark(position))).unwrap()
            };
            return lines(wallets.into_iter().map(of_wallet), &WalletNow::schema(), names);
        }
        let shown = self.positions.values().filter(is_shown).map(|position| self.at_mark(position));
        let rows = shown.map(|(position, mark)| live::position(position, mark).unwrap());
        lines(rows, &PnlNow::schema(), names)
    }
}

fn fold<K: Ord, R: Clone>(rows: &[(R, isize)], held: &mut BTreeMap<K, R>, key: fn(&R) -> K) {
    for (row, _) in rows.iter().filter(|(_, diff)| *diff < 0) {
        held.remove(&key(row));
    }
    for (row, _) in rows.iter().filter(|(_, diff)| *diff > 0) {
        held.insert(key(row), row.clone());
    }
}

fn lines<R: Relation>(
    rows: impl Iterator<Item = R>,
    schema: &types::Schema,
    names: &Names,
) -> BTreeSet<String> {
    let line = |row: R| {
        let mut line = Vec::new();
        write_row(&mut line, &row, schema, names);
        String::from_utf8(line).unwrap()
    };
    rows.map(line).collect()
}

/// At each epoch, whatever the watermark, live rows are those of all that arrived until then.
#[test]
fn live_rows_follow_the_arrivals_so_far() {
    check_cases("live rows", 150, (market_history(40), way()), |(history, way)| {
        MARKET_PLAN.with(|loaded| {
            let ran = run(loaded, &history, way);
            let arrivals: Vec<Placed> = way.order.of(&history).into_iter().cloned().collect();
            for n_epochs in 1..=ran.simulated.outputs.len() {
                let n = n_epochs.saturating_mul(way.max_events).min(arrivals.len());
                let given = live_rows(&loaded.plan, &ran.simulated, n_epochs);
                let expected = live_views(loaded, &arrivals[..n]);
                for (view, lines) in &given {
                    assert_eq!(
                        lines,
                        &expected[view.as_str()],
                        "{view}, epoch {n_epochs}, {way:?}"
                    );
                }
                assert_eq!(given.len(), 4);
            }
        });
    });
}
