//! What must stand in the views of `market.toml`: marks, bars, last rows and rules by the operators'
//! own twins, over rows that stand by this suite's rules and positions of its own ledger.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::oracle;
use dataflows::oracle::alert::{Rule, alerts};
use dataflows::oracle::features::{self, Asked};
use dataflows::oracle::marks::{self, Market};
use num_traits::ToPrimitive;
use types::relations::{
    Alert, Bar, Basis, Fill, FillKind, Input, Mark, MarkNow, Pnl, PnlNow, Position, PositionPnl,
    Quote, RareSums, Relation, Settlement, Severity, Trade, WalletNow,
};
use types::{AssetId, Interner, Money, Names, Price, Row, Schema, Size, Span, Sym, VenueTime};

use super::history::{self, Arrival, Change, Placed, standing};
use super::ledger::{Folded, Oversell};
use super::runs::{Loaded, START, record};
use super::twins::{self, Lines};
use crate::exact::Exact;

/// The rows that stand, typed.
pub(super) struct Standing {
    pub(super) names: Interner,
    pub(super) fills: Vec<Fill>,
    trades: Vec<Trade>,
    quotes: Vec<Quote>,
    settlements: Vec<Settlement>,
    /// The same fills for the ledger.
    plain_fills: Vec<Change<history::Fill>>,
    keys: BTreeMap<(String, history::Asset), (Sym, AssetId)>,
}

/// Lines of all views.
pub(super) fn market_views(loaded: &Loaded, history: &[Placed]) -> Lines {
    let standing = Standing::new(loaded, history);
    let mut lines = Lines::new();
    let at_end = standing.positions_before(VenueTime::END);
    lines.insert("positions", standing.lines(&at_end, &Position::schema()));
    for empty in ["bars.errors", "pnl.errors"] {
        lines.insert(empty, BTreeSet::new());
    }
    let bars = standing.bars(&standing.fills, of_fill, &["1m", "5m", "15m"], &Fill::schema());
    let tape =
        standing.bars(&standing.trades, |trade| Some(of_trade(trade)), &["90s"], &Trade::schema());
    lines.insert("bars", standing.lines(&bars, &Bar::schema()));
    lines.insert("tape", standing.lines(&tape, &Bar::schema()));
    let (by, names) = (["venue", "asset"], standing.names.names());
    let newest = oracle::latest(&standing.quotes, &by, &Quote::schema(), names);
    let last = oracle::latest(&standing.trades, &by, &Trade::schema(), names);
    lines.insert("newest", standing.lines(&newest, &Quote::schema()));
    lines.insert("last", standing.lines(&last, &Trade::schema()));

    for (view, rows) in standing.features(history) {
        let schema = &loaded.plan.views[loaded.plan.view(view).unwrap()].schema;
        lines.insert(view, standing.lines(&rows, schema));
    }

    standing.add_live(&mut lines, &at_end);
    let (pnl, now) = standing.pnl(history);
    lines.insert("pnl", standing.lines(&pnl, &Pnl::schema()));
    lines.insert("pnl.now", standing.lines(&now, &PnlNow::schema()));
    let (held, now) = standing.held(history);
    lines.insert("held", standing.lines(&held, &PositionPnl::schema()));
    lines.insert("held.now", standing.lines(&now, &PnlNow::schema()));
    let found = standing.alerts(bars, pnl);
    lines.insert("alerts", standing.lines(&found, &Alert::schema()));
    lines
}

/// Lines of the newest marks, and of the live rows of the views that have such.
pub(super) fn live_views(loaded: &Loaded, history: &[Placed]) -> Lines {
    let standing = Standing::new(loaded, history);
    let mut lines = Lines::new();
    standing.add_live(&mut lines, &standing.positions_before(VenueTime::END));
    lines
}

/// Rows as the engine types them.
fn typed<R: Input>(
    loaded: &Loaded,
    arrivals: impl Iterator<Item = Arrival>,
    names: &mut Interner,
) -> Vec<R> {
    let mut row = |arrival: Arrival| {
        let (relation, record) = record(loaded, &arrival);
        let spec = &loaded.plan.relations[relation];
        R::assemble(&record.draft.view(), &spec.schema, names).unwrap()
    };
    arrivals.map(&mut row).collect()
}

impl Standing {
    pub(super) fn new(loaded: &Loaded, history: &[Placed]) -> Self {
        let mut names = Interner::new(true);
        let plain_fills = twins::standing_fills(history);
        let fills: Vec<Fill> =
            typed(loaded, plain_fills.iter().cloned().map(Arrival::Fill), &mut names);
        let trades = standing(&twins::trades_of(history), history::Trade::identity);
        let trades = typed(loaded, trades.into_iter().map(Arrival::Trade), &mut names);
        let payouts = standing(&twins::settlements_of(history), |row| row.asset);
        let settlements = typed(loaded, payouts.into_iter().map(Arrival::Settlement), &mut names);
        let quotes = history.iter().map(|placed| placed.0.clone());
        let quotes = quotes.filter(|arrival| matches!(arrival, Arrival::Quote(_)));
        let mut quotes: Vec<Quote> = typed(loaded, quotes, &mut names);
        // Equal ones are one.
        quotes.sort();
        quotes.dedup();
        let key = |(plain, fill): (&Change<history::Fill>, &Fill)| {
            (plain.row.key(), (fill.wallet, fill.asset))
        };
        let keys = plain_fills.iter().zip(&fills).map(key).collect();
        Self { names, fills, trades, quotes, settlements, plain_fills, keys }
    }

    pub(super) fn lines<'r, R: Relation>(
        &self,
        rows: impl IntoIterator<Item = &'r R>,
        schema: &Schema,
    ) -> BTreeSet<String> {
        let line = |row: &R| {
            let mut line = Vec::new();
            types::json::write_row(&mut line, row, schema, self.names.names());
            String::from_utf8(line).unwrap()
        };
        rows.into_iter().map(line).collect()
    }

    /// The positions of the fills before a time, by this suite's ledger.
    fn positions_before(&self, time: VenueTime) -> Vec<Position> {
        let before = |change: &&Change<history::Fill>| at(change.row.second) < time;
        let fills: Vec<_> = self.plain_fills.iter().filter(before).cloned().collect();
        let folded = twins::positions(&fills, &BTreeMap::new(), Oversell::Short);
        let folded = folded.iter().filter(|(_, folded)| folded.position.n_fills > 0);
        folded.map(|(key, folded)| self.position(self.keys[key], folded)).collect()
    }

    fn position(&self, (wallet, asset): (Sym, AssetId), folded: &Folded<'_>) -> Position {
        let p = &folded.position;
        let market = p.market.map(|market| {
            let of_market = |fill: &&Fill| {
                fill.market.is_some_and(|m| self.names.names().text(m).as_str() == market)
            };
            self.fills.iter().find(of_market).and_then(|fill| fill.market).unwrap()
        });
        let rare = RareSums {
            funding: money(&p.funding),
            unmatched_size: size(&p.unmatched),
            unknown_closed: money(&p.unknown_closed),
        };
        Position {
            wallet,
            asset,
            market,
            qty: size(&p.qty),
            cost: p.cost.as_ref().map_or(Money::ZERO, money),
            realized_pnl: money(&p.realized),
            fees: money(&p.fees),
            n_fills: p.n_fills,
            basis: if p.cost.is_some() { Basis::Known } else { Basis::Unknown },
            updated_at: at(p.updated_at),
            rare: rare.kept(),
        }
    }

    fn bars<R: Relation>(
        &self,
        rows: &[R],
        read: fn(&R) -> Option<(AssetId, Price, Size, Option<Money>)>,
        sizes: &[&str],
        schema: &Schema,
    ) -> BTreeSet<Bar> {
        oracle::rollup(rows, read, sizes, VenueTime::END, (schema, self.names.names()))
    }

    /// The twin of `flow`.
    pub(super) fn flow(&self) -> BTreeSet<Row> {
        let of_fills = (&Fill::schema(), &**self.names.names());
        oracle::features(&self.fills, features::of_fill, &FLOW, of_fills)
    }

    /// Twins of `flow`, `pace` and `book`.
    fn features(&self, history: &[Placed]) -> [(&'static str, BTreeSet<Row>); 3] {
        let names = self.names.names();
        let flow = FLOW;
        let last_step = |step, reads| steps(history, step, reads).last().copied();
        let traded = last_step("30s", |arrival| matches!(arrival, Arrival::Trade(_)));
        let features =
            &["count", "vwap", "return_z", "range", "covered", "last_return", "since_last"][..];
        let steps = Some(("30s", traded.unwrap_or(VenueTime::MIN)));
        let pace = Asked { windows: &["2m"], features, steps, ..flow };
        let quoted = last_step("20s", |arrival| matches!(arrival, Arrival::Quote(_)));
        let steps = Some(("20s", quoted.unwrap_or(VenueTime::MIN)));
        let book =
            Asked { windows: &["1m"], is_tumbling: true, features: &OF_QUOTES, steps, ..flow };
        let of_trades = (&Trade::schema(), &**names);
        let of_quotes = (&Quote::schema(), &**names);
        [
            ("flow", self.flow()),
            ("pace", oracle::features(&self.trades, features::of_trade, &pace, of_trades)),
            ("book", oracle::features(&self.quotes, features::of_quote, &book, of_quotes)),
        ]
    }

    /// Adds the newest marks, and what all positions are worth at them.
    fn add_live(&self, lines: &mut Lines, positions: &[Position]) {
        let (quotes, trades, settlements) = (&self.quotes, &self.trades, &self.settlements);
        let names = self.names.names();
        let none = Market { quotes: &[], fills: &[], trades: &[], settlements: &[], names };
        let of_quotes = Market { quotes, ..none };
        let of_trades = Market { trades, settlements, ..none };
        let [quoted, traded] = [(of_quotes, "mid"), (of_trades, "last")]
            .map(|(market, mark)| market.marks(mark, VenueTime::END));
        let newest = |marks: &BTreeMap<AssetId, Mark>| {
            let now = |mark: &Mark| {
                let Mark { asset, long_twice, short_twice, mark_time, .. } = *mark;
                MarkNow { asset, long_twice, short_twice, mark_time }
            };
            self.lines(&marks.values().map(now).collect::<Vec<_>>(), &MarkNow::schema())
        };
        lines.insert("pnl.marks", newest(&quoted));
        lines.insert("held.marks", newest(&traded));
        let by_wallet = marks::wallets(positions, &quoted).into_iter();
        let by_wallet: Vec<_> =
            by_wallet.map(|(wallet, (at, _))| WalletNow { wallet, at }).collect();
        lines.insert("pnl (live)", self.lines(&by_wallet, &WalletNow::schema()));
        let by_position = |marks: &BTreeMap<AssetId, Mark>, needs_open: bool| {
            let shown = marks::positions(positions, marks).into_iter();
            let shown = shown.filter(|(_, (_, is_open))| *is_open || !needs_open);
            let row = |((wallet, asset), (at, _))| PnlNow { wallet, asset, at };
            self.lines(&shown.map(row).collect::<Vec<_>>(), &PnlNow::schema())
        };
        lines.insert("pnl.now (live)", by_position(&quoted, true));
        lines.insert("held (live)", by_position(&traded, false));
        lines.insert("held.now (live)", by_position(&traded, true));
    }

    /// Twin of `pnl`: by wallet, where it changed, at the middle of the quotes.
    fn pnl(&self, history: &[Placed]) -> (Vec<Pnl>, Vec<PnlNow>) {
        let market = Market {
            quotes: &self.quotes,
            fills: &[],
            trades: &[],
            settlements: &[],
            names: self.names.names(),
        };
        let reads = |arrival: &Arrival| matches!(arrival, Arrival::Fill(_) | Arrival::Quote(_));
        let steps = steps(history, "1m", reads);
        let at_step = |step: &VenueTime| {
            marks::wallets(&self.positions_before(*step), &market.marks("mid", *step))
        };
        let shown: Vec<_> = steps.iter().map(at_step).collect();
        let rows = marks::snapshots(&shown, false).into_iter();
        let rows = rows.map(|(step, row)| Pnl { snapshot: steps[step], ..row }).collect();
        (rows, self.now(steps.last(), &market, "mid"))
    }

    /// Twin of `held`: by position, at every step, at the last trade or the payout.
    fn held(&self, history: &[Placed]) -> (Vec<PositionPnl>, Vec<PnlNow>) {
        let market = Market {
            quotes: &[],
            fills: &[],
            trades: &self.trades,
            settlements: &self.settlements,
            names: self.names.names(),
        };
        let steps = steps(history, "2m", |arrival| !matches!(arrival, Arrival::Quote(_)));
        let at_step = |step: &VenueTime| {
            marks::positions(&self.positions_before(*step), &market.marks("last", *step))
        };
        let shown: Vec<_> = steps.iter().map(at_step).collect();
        let rows = marks::snapshots(&shown, true).into_iter();
        let rows = rows.map(|(step, row)| PositionPnl { snapshot: steps[step], ..row }).collect();
        (rows, self.now(steps.last(), &market, "last"))
    }

    /// The open positions as of the last step.
    fn now(&self, last: Option<&VenueTime>, market: &Market<'_>, mark: &str) -> Vec<PnlNow> {
        let Some(last) = last else { return Vec::new() };
        let shown = marks::positions(&self.positions_before(*last), &market.marks(mark, *last));
        let open = shown.into_iter().filter(|(_, (_, is_open))| *is_open);
        open.map(|((wallet, asset), (at, _))| PnlNow { wallet, asset, at }).collect()
    }

    fn alerts(&self, bars: BTreeSet<Bar>, pnl: Vec<Pnl>) -> Vec<Alert> {
        let names = self.names.names();
        let half = Price::from_nano(500_000_000).unwrap();
        let shown = |f: &Fill| f.shown_price().map_or("null".to_owned(), |p| p.to_string());
        let is_dear = |f: &Fill| f.shown_price().is_some_and(|price| price > half);
        let message = |f: &Fill| format!("dear: price > 0.5 (price = {})", shown(f));
        let dear = Rule::new("dear", &["venue", "wallet", "asset"], &is_dear, &message);
        let dear = Rule { severity: &|_| Severity::High, cooldown: 60_000_000_000, ..dear };
        let rows: Vec<_> = self.fills.iter().map(|f| (f.event_time, f.clone())).collect();
        let mut found = alerts(&rows, &dear, &Fill::schema(), names);
        found.extend(held(&rows, names));
        let is_up = |b: &Bar| b.close > b.open;
        let message =
            |b: &Bar| format!("up: close > open (open = {}, close = {})", b.open, b.close);
        let up = Rule::new("up", &["venue", "asset", "size"], &is_up, &message);
        let rows: Vec<_> = bars.into_iter().map(|b| (b.bucket, b)).collect();
        found.extend(alerts(&rows, &up, &Bar::schema(), names));
        let is_loss = |p: &Pnl| p.total_pnl.raw() < 0;
        let message = |p: &Pnl| format!("loss: total_pnl < 0 (total_pnl = {})", p.total_pnl);
        let loss = Rule::new("loss", &["wallet"], &is_loss, &message);
        let rows: Vec<_> = pnl.into_iter().map(|p| (p.snapshot, p)).collect();
        found.extend(alerts(&rows, &loss, &Pnl::schema(), names));
        let is_short = |p: &Position| p.qty < Size::ZERO;
        let message = |p: &Position| format!("short: qty < 0 (qty = {})", p.qty);
        let short = Rule::new("short", &["venue", "wallet", "asset"], &is_short, &message);
        found.extend(alerts(&self.looked_at("2m"), &short, &Position::schema(), names));
        found
    }

    /// The positions as of each step of a grid before which they have a fill.
    fn looked_at(&self, every: &str) -> Vec<(VenueTime, Position)> {
        let span = Span::parse(every).unwrap();
        let steps: BTreeSet<VenueTime> =
            self.fills.iter().map(|fill| fill.event_time.next_step(span)).collect();
        let mut rows = Vec::new();
        for step in steps {
            let has_fill = |p: &Position| {
                let of_key = |f: &&Fill| (f.wallet, f.asset) == (p.wallet, p.asset);
                self.fills.iter().filter(of_key).any(|f| f.event_time.next_step(span) == step)
            };
            let positions = self.positions_before(step).into_iter().filter(has_fill);
            rows.extend(positions.map(|position| (step, position)));
        }
        rows
    }
}

/// What `flow` asks.
const FLOW: Asked<'static> = Asked {
    by: &["venue", "asset"],
    windows: &["1m", "5m"],
    is_tumbling: false,
    features: &OF_FILLS,
    exact_up_to: 10_000,
    steps: None,
};

/// The features of fills by asset, in the order of their columns.
const OF_FILLS: [&str; 20] = [
    "count",
    "volume",
    "signed_volume",
    "notional",
    "vwap",
    "imbalance",
    "return_mean",
    "return_std",
    "volatility",
    "return_z",
    "momentum",
    "range",
    "rate_ratio",
    "covered",
    "wallets",
    "wallets_exact",
    "largest_share",
    "last_return",
    "since_last",
    "age",
];

/// Those of quotes, with one window.
const OF_QUOTES: [&str; 12] = [
    "count",
    "return_mean",
    "return_std",
    "volatility",
    "return_z",
    "momentum",
    "spread",
    "size_imbalance",
    "covered",
    "last_return",
    "since_last",
    "age",
];

fn of_fill(fill: &Fill) -> Option<(AssetId, Price, Size, Option<Money>)> {
    let is_trade = !matches!(fill.kind, FillKind::Transfer | FillKind::Funding);
    let price = fill.shown_price().filter(|_| is_trade)?;
    Some((fill.asset, price, fill.size, fill.value()))
}

fn of_trade(trade: &Trade) -> (AssetId, Price, Size, Option<Money>) {
    (trade.asset, trade.price, trade.size, trade.value())
}

/// All steps of a grid, up to the next behind the last insert or correct of what is read, whether
/// that stands or not.
fn steps(history: &[Placed], every: &str, reads: fn(&Arrival) -> bool) -> Vec<VenueTime> {
    let span = Span::parse(every).unwrap();
    let read = history.iter().filter(|placed| reads(&placed.0) && !placed.0.is_bust());
    let Some(greatest) = read.map(|placed| placed.0.second()).max() else { return Vec::new() };
    let mut steps = vec![at(0)];
    while steps.last().is_some_and(|last| *last <= at(greatest)) {
        steps.extend(steps.last().map(|last| last.plus(span)));
    }
    steps
}

fn at(second: i64) -> VenueTime {
    VenueTime::from_nanos((START + second) * 1_000_000_000)
}

/// A number in units of ten to the minus this.
fn units(number: &Exact, places: u32) -> i128 {
    let scaled = number * Exact::from(num_bigint::BigInt::from(10).pow(places));
    assert!(scaled.is_integer(), "{number}");
    scaled.to_integer().to_i128().unwrap()
}

fn size(number: &Exact) -> Size {
    Size::from_nano(units(number, 9)).unwrap()
}

fn money(number: &Exact) -> Money {
    Money::from_raw(units(number, 18))
}

/// What the rule `held` finds.
fn held(fills: &[(VenueTime, Fill)], names: &Names) -> Vec<Alert> {
    let exceeds = |f: &Fill, tenths: i128| {
        let limit = Price::from_nano(tenths * 100_000_000);
        f.shown_price().is_some_and(|price| Some(price) > limit)
    };
    let is_low =
        |f: &Fill| f.shown_price().is_some_and(|price| Some(price) < Price::from_nano(200_000_000));
    let severity = |f: &Fill| match (exceeds(f, 9), exceeds(f, 6)) {
        (true, _) => Severity::Info,
        (_, true) => Severity::Critical,
        _ => Severity::Low,
    };
    let message = |f: &Fill| {
        let price = f.shown_price().map_or("null".to_owned(), |price| price.to_string());
        format!("{} at {price}", names.text(names.asset(f.asset)))
    };
    let is_held = |f: &Fill| exceeds(f, 3);
    let held = Rule::new("held", &["asset"], &is_held, &message);
    let held = Rule { severity: &severity, hold: 120_000_000_000, resolves: Some(&is_low), ..held };
    alerts(fills, &held, &Fill::schema(), names)
}
