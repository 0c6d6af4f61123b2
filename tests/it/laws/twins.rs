//! What must stand at the end: from the set of arrivals to the lines of each view, by plain functions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use num_traits::Zero;
use types::EventId;

use super::history::{
    Arrival, Asset, Change, Fill, Placed, Settlement, Trade, kept_wallet, standing,
};
use super::ledger::{Finding, Folded, Oversell, fold, value};
use crate::exact::{Exact, nano, rounded, text};

/// Lines by view.
pub(super) type Lines = BTreeMap<&'static str, BTreeSet<String>>;

/// The changes of fills among arrivals.
pub(super) fn fills_of(history: &[Placed]) -> Vec<Change<Fill>> {
    let pick = |placed: &Placed| match &placed.0 {
        Arrival::Fill(change) => Some(change.clone()),
        _ => None,
    };
    history.iter().filter_map(pick).collect()
}

/// The changes of settlements among arrivals.
pub(super) fn settlements_of(history: &[Placed]) -> Vec<Change<Settlement>> {
    let pick = |placed: &Placed| match &placed.0 {
        Arrival::Settlement(change) => Some(change.clone()),
        _ => None,
    };
    history.iter().filter_map(pick).collect()
}

/// The changes of trades among arrivals.
pub(super) fn trades_of(history: &[Placed]) -> Vec<Change<Trade>> {
    let pick = |placed: &Placed| match &placed.0 {
        Arrival::Trade(change) => Some(change.clone()),
        _ => None,
    };
    history.iter().filter_map(pick).collect()
}

/// The fills that stand, in the order of SEMANTICS section 3.
pub(super) fn standing_fills(history: &[Placed]) -> Vec<Change<Fill>> {
    let mut fills = standing(&fills_of(history), Fill::identity);
    fills.sort_by_key(|c| (c.row.second, c.row.seq, EventId::new(c.row.id)));
    fills
}

/// The payout that stands of each asset.
pub(super) fn standing_settlements(history: &[Placed]) -> BTreeMap<Asset, Settlement> {
    let changes = standing(&settlements_of(history), |row: &Settlement| row.asset);
    changes.into_iter().map(|change| (change.row.asset, change.row)).collect()
}

/// Whether the filter of the tests keeps a fill: `side = 'buy' or fee < 0.5`.
fn is_kept(fill: &Fill) -> bool {
    fill.buys || fill.fee.is_some_and(|fee| fee < 500_000_000)
}

/// The lines of the views of `ledger.toml`.
pub(super) fn ledger_views(history: &[Placed]) -> Lines {
    let all = standing_fills(history);
    let kept: Vec<_> = all.iter().filter(|change| is_kept(&change.row)).cloned().collect();
    let settlements = standing_settlements(history);
    let none = BTreeMap::new();
    let mut lines = Lines::new();
    lines.insert("kept", kept.iter().map(fill_line).collect());
    lines.insert("computed", all.iter().map(computed_line).collect());
    for (names, fills, settlements, oversell) in [
        (["short", "short.errors", "short.breaks"], &all, &none, Oversell::Short),
        (["clamp", "clamp.errors", "clamp.breaks"], &all, &settlements, Oversell::Clamp),
        (["error", "error.errors", "error.breaks"], &kept, &none, Oversell::Error),
        (["marked", "marked.errors", "marked.breaks"], &all, &none, Oversell::Clamp),
    ] {
        let views = ledger_lines(fills, settlements, oversell);
        lines.extend(names.into_iter().zip(views));
    }
    lines.insert("kept.errors", BTreeSet::new());
    lines.insert("computed.errors", BTreeSet::new());
    lines
}

/// Each key's fills and what they come to.
pub(super) fn positions<'a>(
    fills: &'a [Change<Fill>],
    settlements: &BTreeMap<Asset, Settlement>,
    oversell: Oversell,
) -> BTreeMap<(String, Asset), Folded<'a>> {
    let mut keys: BTreeMap<(String, Asset), Vec<&Fill>> = BTreeMap::new();
    for change in fills {
        keys.entry(change.row.key()).or_default().push(&change.row);
    }
    let folded = |(key, fills): ((String, Asset), Vec<&'a Fill>)| {
        let folded = fold(&fills, settlements.get(&key.1), oversell);
        (key, folded)
    };
    keys.into_iter().map(folded).collect()
}

fn ledger_lines(
    fills: &[Change<Fill>],
    settlements: &BTreeMap<Asset, Settlement>,
    oversell: Oversell,
) -> [BTreeSet<String>; 3] {
    let [mut rows, mut errors, mut breaks] = [const { BTreeSet::new() }; 3];
    for ((wallet, asset), folded) in positions(fills, settlements, oversell) {
        let key =
            || Line::new().text("venue", asset.0).text("wallet", &wallet).text("asset", asset.1);
        if folded.position.n_fills > 0 {
            rows.insert(position_line(key(), &folded));
        }
        for (fill, finding) in &folded.findings {
            let key = key().text("id", &EventId::new(fill.id).to_string());
            let second = fill.second;
            match finding {
                Finding::LeftOut(reason) => {
                    errors.insert(key.text("reason", reason).time("event_time", second).end());
                }
                Finding::Break { expected, stated } => {
                    let line =
                        key.number("expected", Some(expected)).number("stated", Some(stated));
                    breaks.insert(line.time("event_time", second).end());
                }
            }
        }
        if folded.is_settlement_left_out {
            let key = key().text("id", &"f".repeat(32)).text("reason", "overflow");
            errors.insert(key.time("event_time", settlements[&asset].second).end());
        }
    }
    [rows, errors, breaks]
}

fn position_line(key: Line, folded: &Folded<'_>) -> String {
    let p = &folded.position;
    let line = key.maybe_text("market", p.market).number("qty", Some(&p.qty));
    let line = line.number("cost", p.cost.as_ref());
    let line = line.number("avg_price", p.avg_price().as_ref());
    let line = line.number("realized_pnl", Some(&p.realized)).number("fees", Some(&p.fees));
    let line = line.number("funding", Some(&p.funding)).count("n_fills", p.n_fills);
    let line = line.number("unmatched_size", Some(&p.unmatched));
    let line = line.text("basis", if p.cost.is_some() { "known" } else { "unknown" });
    line.number("unknown_closed", Some(&p.unknown_closed)).time("updated_at", p.updated_at).end()
}

/// The key of a fill, as the first columns of a line.
fn fill_key(fill: &Fill) -> Line {
    let line = Line::new().text("venue", fill.asset.0).text("wallet", &kept_wallet(fill.wallet));
    line.text("asset", fill.asset.1).text("id", fill.id)
}

fn fill_line(change: &Change<Fill>) -> String {
    let fill = &change.row;
    let size = nano(fill.size);
    let read =
        fill.notional.filter(|_| !size.is_zero()).map(|paid| rounded(&(nano(paid) / &size), 9));
    let price = fill.price.map(nano).or(read);
    let line = fill_key(fill).maybe_text("market", fill.market);
    let line = line.text("side", if fill.buys { "buy" } else { "sell" });
    let line = line.number("price", price.as_ref()).number("size", Some(&size));
    let line = line.number("notional", value(fill).as_ref());
    let line = line.number("fee", fill.fee.map(nano).as_ref());
    let line = line.maybe_text("fee_asset", fill.fee_asset).text("kind", fill.kind);
    let line = line.maybe_text("liquidity", None).maybe_text("order_id", None);
    let line = line.number("start_qty", fill.start_qty.map(nano).as_ref());
    let line = line.time("event_time", fill.second).count("seq", fill.seq);
    line.count("revision", change.revision.unwrap_or(0)).end()
}

/// `net = notional - fee, third = size / 3`
fn computed_line(change: &Change<Fill>) -> String {
    let fill = &change.row;
    // An expression reads columns as they leave, so the notional at nine decimals.
    let paid = value(fill).map(|paid| rounded(&paid, 9));
    let net = paid.zip(fill.fee).map(|(paid, fee)| paid - nano(fee));
    let third = rounded(&(nano(fill.size) / Exact::from(num_bigint::BigInt::from(3))), 9);
    fill_key(fill).number("net", net.as_ref()).number("third", Some(&third)).end()
}

/// A JSON line while it is written.
struct Line(String);

impl Line {
    fn new() -> Self {
        Self(String::new())
    }

    fn raw(mut self, name: &str, value: &str) -> Self {
        let before = if self.0.is_empty() { '{' } else { ',' };
        write!(self.0, "{before}\"{name}\":{value}").unwrap();
        self
    }

    fn text(self, name: &str, value: &str) -> Self {
        let value = serde_json::to_string(value).unwrap();
        self.raw(name, &value)
    }

    fn maybe_text(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    fn number(self, name: &str, value: Option<&Exact>) -> Self {
        let text = value.map(text);
        self.maybe_text(name, text.as_deref())
    }

    fn count(self, name: &str, value: u64) -> Self {
        self.text(name, &value.to_string())
    }

    fn time(self, name: &str, second: i64) -> Self {
        let (minute, second) = (second / 60, second % 60);
        self.text(name, &format!("2026-01-05T00:{minute:02}:{second:02}.000000000Z"))
    }

    fn end(self) -> String {
        self.0 + "}"
    }
}
