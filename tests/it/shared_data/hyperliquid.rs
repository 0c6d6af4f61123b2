//! Realised P&L against the exchange's own. The exchange states the position before each fill and the
//! P&L of what the fill closed; at four places the file lacks fills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use num_traits::{Signed, Zero};

use super::data;
use crate::exact::{Exact, parse, rounded, text};
use crate::work::{CsvRow, Work, column, csv_rows};

const CONFIG: &str = r#"
[pipeline]
name = "hyperliquid"
data_dir = "data"
epoch = { max_events = 1 }
[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
venue = { constant = "hyperliquid" }
wallet = "Account"
asset = "Coin"
id = "Id"
seq = "Order"
kind = "Kind"
side = { column = "Side", values = { BUY = "buy", SELL = "sell" } }
price = { column = "Execution Price", optional = true }
size = "Size Tokens"
notional = { column = "Notional", optional = true }
fee = { column = "Fee", optional = true }
start_qty = "Start Position"
event_time = { column = "Timestamp IST", format = "%d-%m-%Y %H:%M", zone = "+05:30" }
[views.perps]
op = "filter"
input = "fills"
where = "not starts_with(asset, '@')"
[views.positions]
op = "avg_cost"
input = "perps"
[sinks.out]
type = "jsonl"
path = "out/"
mode = "changes"
views = ["positions", "positions.breaks"]
"#;

/// A fill as the exchange tells it.
struct Told {
    account: String,
    coin: String,
    seq: String,
    time: String,
    price: Exact,
    /// With the sign of its side.
    moved: Exact,
    start: Exact,
    closed_pnl: Exact,
    fee: String,
}

impl Told {
    fn new(row: &CsvRow) -> Self {
        let size = parse(&row["Size Tokens"]);
        Self {
            account: row["Account"].clone(),
            coin: row["Coin"].clone(),
            seq: row["Seq"].clone(),
            time: row["Timestamp IST"].clone(),
            price: parse(&row["Execution Price"]),
            moved: if row["Side"] == "BUY" { size } else { -size },
            start: parse(&row["Start Position"]),
            closed_pnl: parse(&row["Closed PnL"]),
            fee: row["Fee"].clone(),
        }
    }

    fn is_perp(&self) -> bool {
        !self.coin.starts_with('@')
    }

    /// How much of the position it closes.
    fn closed(&self) -> Exact {
        if !(&self.start * &self.moved).is_negative() {
            return Exact::zero();
        }
        self.moved.abs().min(self.start.abs())
    }

    fn end(&self) -> Exact {
        &self.start + &self.moved
    }
}

/// What is put in, by the index of the fill before which it is.
type Transfers = BTreeMap<usize, Vec<Transfer>>;

/// Something put in before a fill: quantity with its sign, and what it costs.
struct Transfer {
    moved: Exact,
    notional: Option<Exact>,
}

#[test]
fn closings_agree_where_the_basis_is_known() {
    let Some(data) = data("hyperliquid-fills") else { return };
    let fills = fills(&data);
    let ran = run(&fills, &BTreeMap::new());
    let n = n_agreeing(&fills, &ran, &BTreeMap::new(), &BTreeSet::new());
    assert_eq!((n.agree, n.known, n.unknown), (4189, 4189, 509));
    let missing: BTreeSet<&str> = gaps(&fills).into_iter().map(|i| fills[i].seq.as_str()).collect();
    assert_eq!(ran.breaks.iter().map(String::as_str).collect::<BTreeSet<_>>(), missing);
    assert_eq!(missing.len(), 4);
}

#[test]
fn with_a_transfer_at_each_break_all_closings_agree() {
    let Some(data) = data("hyperliquid-fills") else { return };
    let fills = fills(&data);
    let (transfers, solved) = transfers(&fills);
    let ran = run(&fills, &transfers);
    // The four that the costs were solved from agree too, but prove nothing.
    assert_eq!(solved.len(), 4);
    assert_eq!(n_agreeing(&fills, &ran, &transfers, &BTreeSet::new()).agree, 4698);
    let n = n_agreeing(&fills, &ran, &transfers, &solved);
    assert_eq!((n.agree, n.known, n.unknown), (4694, 4694, 0));
    assert_eq!((transfers.len(), ran.breaks.len()), (4, 0));
}

fn fills(data: &std::path::Path) -> Vec<Told> {
    csv_rows(&data.join("fills.csv.gz")).iter().map(Told::new).collect()
}

/// The indices of perp fills that don't start where the one before ended.
fn gaps(fills: &[Told]) -> Vec<usize> {
    let mut held: BTreeMap<(&str, &str), Exact> = BTreeMap::new();
    let mut gaps = Vec::new();
    for (index, fill) in fills.iter().enumerate().filter(|(_, fill)| fill.is_perp()) {
        let before = held.insert((&fill.account, &fill.coin), fill.end());
        if before.unwrap_or_else(Exact::zero) != fill.start {
            gaps.push(index);
        }
    }
    gaps
}

/// What is put in before the fill at each gap, so that the next P&L that the exchange states comes
/// out: gap by gap, since each changes what the ledger holds at the next.
fn transfers(fills: &[Told]) -> (Transfers, BTreeSet<usize>) {
    let (mut transfers, mut solved) = (Transfers::new(), BTreeSet::new());
    for gap in gaps(fills) {
        let (qty, cost) = held_before(fills, gap, &run(&fills[..gap], &transfers), &transfers);
        let start = &fills[gap].start;
        let (wanted, from) = cost_at(fills, gap);
        solved.insert(from);
        let put_in = if (&qty * start).is_negative() {
            // A transfer that crosses zero leaves the basis unknown, so it stops there first.
            vec![transfer(-qty, None), transfer(start.clone(), Some(wanted))]
        } else {
            vec![transfer(start - qty, Some(wanted - cost))]
        };
        transfers.insert(gap, put_in);
    }
    (transfers, solved)
}

/// Moves quantity and cost by this much.
fn transfer(moved: Exact, cost: Option<Exact>) -> Transfer {
    // The notional is added for a buy and taken off for a sale.
    let notional = cost.map(|cost| rounded(&(cost * moved.signum()), 9));
    Transfer { moved, notional }
}

/// What the position of the fill at `gap` must have cost before it: the next closing tells its
/// average price, and what was added on the way is known. Gives that closing's index as well.
fn cost_at(fills: &[Told], gap: usize) -> (Exact, usize) {
    let first = &fills[gap];
    let same = |fill: &Told| fill.account == first.account && fill.coin == first.coin;
    let mut added = Exact::zero();
    for (index, fill) in fills.iter().enumerate().skip(gap).filter(|(_, fill)| same(fill)) {
        let closed = fill.closed();
        if closed.is_zero() {
            added += &fill.price * &fill.moved;
            continue;
        }
        let entry = &fill.price - &fill.closed_pnl / closed * fill.start.signum();
        return (entry * &fill.start - added, index);
    }
    panic!("nothing is closed after fill {}", first.seq);
}

/// The quantity and cost that the ledger holds before the fill at `gap`.
fn held_before(fills: &[Told], gap: usize, ran: &Ran, transfers: &Transfers) -> (Exact, Exact) {
    let key = (fills[gap].account.clone(), fills[gap].coin.clone());
    let same = |i: &usize| fills[*i].account == key.0 && fills[*i].coin == key.1;
    let n_fills = (0..gap).filter(same).count();
    let n_put_in: usize = transfers.range(..gap).filter(|t| same(t.0)).map(|t| t.1.len()).sum();
    match (n_fills + n_put_in).checked_sub(1) {
        Some(last) => {
            let step = &ran.steps[&key][last];
            (step.qty.clone(), step.cost.clone().expect("the gap before it is mended"))
        }
        None => (Exact::zero(), Exact::zero()),
    }
}

/// A position after a fill.
struct Step {
    qty: Exact,
    cost: Option<Exact>,
    realized: Exact,
}

struct Ran {
    /// By account and coin, in the order of the fills.
    steps: BTreeMap<(String, String), Vec<Step>>,
    /// The ids of the fills at which fills are missing.
    breaks: Vec<String>,
}

/// Runs the engine over the fills and what is put in before them, one row an epoch.
fn run(fills: &[Told], transfers: &Transfers) -> Ran {
    let mut csv = "Account,Coin,Id,Order,Kind,Side,Execution Price,Size Tokens,Notional,Fee,\
                   Start Position,Timestamp IST\n"
        .to_owned();
    let mut put = |fill: &Told, id: &str, order: usize, rest: &str| {
        let Told { account, coin, time, .. } = fill;
        writeln!(csv, "{account},{coin},{id},{order},{rest},{time}").unwrap();
    };
    let moves = |moved: &Exact| {
        let side = if moved.is_positive() { "BUY" } else { "SELL" };
        (side, text(&moved.abs()))
    };
    for (index, fill) in fills.iter().enumerate() {
        let put_in = transfers.get(&index).map_or(&[][..], Vec::as_slice);
        let mut held = fill.start.clone() - put_in.iter().map(|t| &t.moved).sum::<Exact>();
        for (n, transfer) in put_in.iter().enumerate() {
            let (side, size) = moves(&transfer.moved);
            let notional = transfer.notional.as_ref().map(text).unwrap_or_default();
            let rest = format!("transfer,{side},,{size},{notional},,{}", text(&held));
            put(fill, &format!("{}/{n}", fill.seq), index * 4 + n, &rest);
            held += &transfer.moved;
        }
        let ((side, size), price) = (moves(&fill.moved), text(&fill.price));
        let rest = format!("trade,{side},{price},{size},,{},{}", fill.fee, text(&fill.start));
        put(fill, &fill.seq, index * 4 + 3, &rest);
    }
    let work = Work::new();
    std::fs::write(work.path().join("fills.csv"), csv).unwrap();
    let summary = work.run(CONFIG);
    assert_eq!(summary.counts.applied, summary.counts.received, "{:?}", summary.reasons);
    let mut ran = Ran { steps: BTreeMap::new(), breaks: Vec::new() };
    for change in work.lines("out/positions.jsonl") {
        assert_eq!(change["op"], "put");
        let row = &change["row"];
        let key = (column(row, "wallet").to_owned(), column(row, "asset").to_owned());
        ran.steps.entry(key).or_default().push(Step {
            qty: parse(column(row, "qty")),
            cost: row["cost"].as_str().map(parse),
            realized: parse(column(row, "realized_pnl")),
        });
    }
    for change in work.lines("out/positions.breaks.jsonl") {
        ran.breaks.push(column(&change["row"], "id").to_owned());
    }
    ran
}

/// Closings by what became of them.
#[derive(Default)]
struct Closings {
    known: u64,
    agree: u64,
    unknown: u64,
}

/// Compares what each closing realised with what the exchange says, but for some.
fn n_agreeing(
    fills: &[Told],
    ran: &Ran,
    transfers: &Transfers,
    left_out: &BTreeSet<usize>,
) -> Closings {
    let ticks = ticks(fills);
    let mut closings = Closings::default();
    let mut next: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (index, fill) in fills.iter().enumerate().filter(|(_, fill)| fill.is_perp()) {
        let place = next.entry((&fill.account, &fill.coin)).or_default();
        *place += transfers.get(&index).map_or(0, Vec::len);
        let steps = &ran.steps[&(fill.account.clone(), fill.coin.clone())];
        let before = place.checked_sub(1).map(|before| &steps[before]);
        let after = &steps[*place];
        *place += 1;
        assert_eq!(after.qty, fill.end(), "fill {}", fill.seq);
        let closed = fill.closed();
        if closed.is_zero() || left_out.contains(&index) {
            continue;
        }
        let before_realized = before.map_or_else(Exact::zero, |before| before.realized.clone());
        let realized = &after.realized - before_realized;
        // At a break the quantity before is the exchange's, and its cost isn't known.
        let is_known = before.is_some_and(|b| b.qty == fill.start && b.cost.is_some());
        if !is_known {
            closings.unknown += 1;
            assert!(realized.is_zero(), "fill {}", fill.seq);
            continue;
        }
        closings.known += 1;
        // The exchange rounds its entry price to a tick.
        let allowed = &ticks[fill.coin.as_str()] * closed + parse("0.000001");
        closings.agree += u64::from((realized - &fill.closed_pnl).abs() <= allowed);
    }
    closings
}

/// The price tick of each coin: ten to the minus (6 less the decimals of its sizes).
fn ticks(fills: &[Told]) -> BTreeMap<&str, Exact> {
    let known = [("BTC", 5), ("ETH", 4), ("SOL", 2), ("HYPE", 2)];
    let mut decimals: BTreeMap<&str, usize> = BTreeMap::from(known);
    for fill in fills {
        let seen = text(&fill.moved).split_once('.').map_or(0, |(_, fraction)| fraction.len());
        if !known.iter().any(|(coin, _)| *coin == fill.coin) {
            let most = decimals.entry(&fill.coin).or_default();
            *most = seen.max(*most);
        }
    }
    let tick = |n: usize| parse(&format!("0.{:0>width$}", 1, width = 6usize.saturating_sub(n)));
    let tick = |n: usize| if n >= 6 { parse("1") } else { tick(n) };
    decimals.into_iter().map(|(coin, n)| (coin, tick(n))).collect()
}
