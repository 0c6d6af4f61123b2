//! Random histories, as plain rows: what a venue might send, in any order, late, twice, taken back.

use proptest::prelude::*;
use types::Op;

/// A row of `fills` as a source gives it. Numbers are in units of 1e-9, times in seconds of the day.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fill {
    pub(super) wallet: &'static str,
    pub(super) asset: Asset,
    pub(super) id: &'static str,
    pub(super) market: Option<&'static str>,
    pub(super) buys: bool,
    pub(super) price: Option<i128>,
    pub(super) size: i128,
    pub(super) notional: Option<i128>,
    pub(super) fee: Option<i128>,
    pub(super) fee_asset: Option<&'static str>,
    /// What the source says fees are paid in by default.
    pub(super) quote_asset: Option<&'static str>,
    pub(super) kind: &'static str,
    pub(super) start_qty: Option<i128>,
    pub(super) second: i64,
    pub(super) seq: u64,
}

/// Venue and name.
pub(super) type Asset = (&'static str, &'static str);

/// A row of `settlements`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settlement {
    pub(super) asset: Asset,
    pub(super) payout: i128,
    pub(super) second: i64,
}

/// A row of `trades`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Trade {
    pub(super) asset: Asset,
    pub(super) id: &'static str,
    pub(super) price: i128,
    pub(super) size: i128,
    pub(super) second: i64,
    pub(super) seq: u64,
}

/// A row of `quotes`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quote {
    pub(super) asset: Asset,
    pub(super) bid: Option<i128>,
    pub(super) ask: Option<i128>,
    pub(super) ask_size: Option<i128>,
    pub(super) second: i64,
    pub(super) seq: u64,
}

/// What is done with a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change<R> {
    pub(super) op: Op,
    pub(super) revision: Option<u64>,
    pub(super) row: R,
}

/// One arrival.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Arrival {
    Fill(Change<Fill>),
    Settlement(Change<Settlement>),
    Trade(Change<Trade>),
    Quote(Quote),
    Declared(super::declared::Event),
}

/// An arrival and its places in two random orders.
pub(super) type Placed = (Arrival, u16, u16);

impl Arrival {
    pub(super) fn second(&self) -> i64 {
        match self {
            Self::Fill(change) => change.row.second,
            Self::Settlement(change) => change.row.second,
            Self::Trade(change) => change.row.second,
            Self::Quote(row) => row.second,
            Self::Declared(event) => event.second(),
        }
    }

    pub(super) fn is_bust(&self) -> bool {
        match self {
            Self::Fill(change) => change.op == Op::Bust,
            Self::Settlement(change) => change.op == Op::Bust,
            Self::Trade(change) => change.op == Op::Bust,
            Self::Quote(_) => false,
            Self::Declared(event) => event.op() == Op::Bust,
        }
    }

    /// What must not come twice with other content: identity, operation, revision. `None` where any
    /// two may come: of busts nothing but the identity is read, and quotes have none.
    pub(super) fn state(&self) -> Option<String> {
        match self {
            Self::Fill(change) => change.state(&change.row.identity()),
            Self::Settlement(change) => change.state(&change.row.asset),
            Self::Trade(change) => change.state(&change.row.identity()),
            Self::Quote(_) => None,
            Self::Declared(event) => event.state(),
        }
    }
}

impl<R> Change<R> {
    fn state(&self, identity: &impl std::fmt::Debug) -> Option<String> {
        let revision = self.revision.unwrap_or(0);
        (self.op != Op::Bust).then(|| format!("{identity:?} {:?} {revision}", self.op))
    }
}

/// A wallet's name as it is kept.
pub(super) fn kept_wallet(wallet: &str) -> String {
    if wallet.starts_with("0x") { wallet.to_lowercase() } else { wallet.to_owned() }
}

impl Fill {
    /// Whose position of what it moves.
    pub(super) fn key(&self) -> (String, Asset) {
        (kept_wallet(self.wallet), self.asset)
    }

    /// What tells fills apart.
    pub(super) fn identity(&self) -> (String, Asset, &'static str) {
        (kept_wallet(self.wallet), self.asset, self.id)
    }
}

impl Trade {
    /// What tells trades apart.
    pub(super) fn identity(&self) -> (Asset, &'static str) {
        (self.asset, self.id)
    }
}

/// What stands of changes: SEMANTICS section 2, from all of them at once.
pub(super) fn standing<R: Clone, K: Ord>(
    changes: &[Change<R>],
    identity: impl Fn(&R) -> K,
) -> Vec<Change<R>> {
    let mut groups = std::collections::BTreeMap::<K, Vec<&Change<R>>>::new();
    for change in changes {
        groups.entry(identity(&change.row)).or_default().push(change);
    }
    let stands = |changes: Vec<&Change<R>>| {
        let busts: Vec<_> = changes.iter().filter(|c| c.op == Op::Bust).collect();
        let states = changes.iter().filter(|c| c.op != Op::Bust);
        let best = states.max_by_key(|c| (c.revision.unwrap_or(0), c.op == Op::Correct))?;
        let removes = |bust: &&&Change<R>| {
            bust.revision.is_none_or(|revision| best.revision.unwrap_or(0) <= revision)
        };
        (!busts.iter().any(removes)).then(|| Change::clone(best))
    };
    groups.into_values().filter_map(stands).collect()
}

/// How many identities were busted and never stated.
pub(super) fn pending<R, K: Ord>(changes: &[Change<R>], identity: impl Fn(&R) -> K) -> u64 {
    let of = |is_bust: bool| {
        let these = changes.iter().filter(|c| (c.op == Op::Bust) == is_bust);
        these.map(|c| identity(&c.row)).collect::<std::collections::BTreeSet<K>>()
    };
    of(true).difference(&of(false)).count().try_into().unwrap()
}

/// One, in units of 1e-9.
pub(super) const UNIT: i128 = 1_000_000_000;

fn asset() -> impl Strategy<Value = Asset> {
    prop_oneof![4 => Just(("x", "BTC")), 1 => Just(("y", "BTC")), 1 => Just(("x", "a\"\\é"))]
}

pub(super) fn seconds() -> impl Strategy<Value = i64> {
    // Few times, so that many rows share one and `seq` and `id` decide.
    (0..60i64).prop_map(|step| step * 7)
}

pub(super) fn op() -> impl Strategy<Value = (Op, Option<u64>)> {
    prop_oneof![
        6 => Just((Op::Insert, None)),
        2 => (0..3u64).prop_map(|revision| (Op::Insert, Some(revision))),
        2 => (0..3u64).prop_map(|revision| (Op::Correct, Some(revision))),
        1 => (0..3u64).prop_map(|revision| (Op::Bust, Some(revision))),
        1 => Just((Op::Bust, None)),
    ]
}

fn size() -> impl Strategy<Value = i128> {
    let even = (1..6i128).prop_map(|n| n * UNIT);
    prop_oneof![3 => even, 1 => Just(333_333_333), 1 => Just(7), 1 => Just(12_345_678_901)]
}

fn price() -> impl Strategy<Value = i128> {
    prop::sample::select(vec![UNIT / 2, UNIT / 4, 333_333_333, 700_000_001, 61_837_630_000_000])
}

type Worth = (Option<i128>, i128, Option<i128>);

/// Price, size and notional, at least one of price and notional.
fn worth() -> impl Strategy<Value = Worth> {
    let notional = (1..5_000_000_000i128).prop_map(Some);
    prop_oneof![
        4 => (price().prop_map(Some), size(), Just(None)),
        1 => (Just(None), size().prop_map(|size| size.max(UNIT)), notional.clone()),
        1 => (price().prop_map(Some), size().prop_map(|size| size.max(UNIT)), notional),
    ]
}

/// Kind, and what it is worth.
fn kind() -> impl Strategy<Value = (&'static str, Worth)> {
    let nothing = size().prop_map(|size| (None, size, None));
    let paid = (-3 * UNIT..3 * UNIT).prop_map(|paid| (None, 0, Some(paid)));
    let traded = prop::sample::select(vec!["liquidation", "redeem", "split", "merge", "convert"]);
    prop_oneof![
        10 => (Just("trade"), worth()),
        2 => (traded, worth()),
        2 => (Just("transfer"), worth()),
        1 => (Just("transfer"), nothing),
        1 => (Just("funding"), paid),
        // So much that two of it are too much.
        1 => (Just("trade"), Just((None, 90_000_000_000_000_000_000 * UNIT * UNIT, Some(UNIT)))),
    ]
}

fn fill() -> impl Strategy<Value = Arrival> {
    let wallets = vec!["zed", "zed", "zed", "b\"ob", "0xAb", "0xaB"];
    let ids = vec!["0", "1", "2", "3", "9", "10", "11", "007", "t", "t/buy", "u"];
    let who = (prop::sample::select(wallets), asset(), prop::sample::select(ids));
    let fee = prop_oneof![2 => Just(None), 1 => (-UNIT..UNIT).prop_map(Some)];
    let fee_asset = prop::sample::select(vec![None, Some("USD"), Some("BNB")]);
    let quote_asset = prop::sample::select(vec![None, Some("USD")]);
    let market = prop::sample::select(vec![None, None, Some("m"), Some("n")]);
    let start = prop_oneof![8 => Just(None), 1 => (-3..4i128).prop_map(|n| Some(n * UNIT))];
    let rest = (fee, fee_asset, quote_asset, market, start);
    (op(), who, any::<bool>(), kind(), rest, seconds(), 0..3u64).prop_map(
        |((op, revision), who, buys, (kind, worth), rest, second, seq)| {
            let ((wallet, asset, id), (price, size, notional)) = (who, worth);
            let (fee, fee_asset, quote_asset, market, start_qty) = rest;
            // A payment says nothing of what is held.
            let start_qty = start_qty.filter(|_| kind != "funding");
            let row = Fill {
                wallet,
                asset,
                id,
                market,
                buys,
                price,
                size,
                notional,
                fee,
                fee_asset,
                quote_asset,
                kind,
                start_qty,
                second,
                seq,
            };
            Arrival::Fill(Change { op, revision, row })
        },
    )
}

fn settlement() -> impl Strategy<Value = Arrival> {
    let payout = prop::sample::select(vec![0, UNIT, UNIT / 2, 123_456_789]);
    (op(), asset(), payout, seconds()).prop_map(|((op, revision), asset, payout, second)| {
        Arrival::Settlement(Change { op, revision, row: Settlement { asset, payout, second } })
    })
}

fn trade() -> impl Strategy<Value = Arrival> {
    let ids = prop::sample::select(vec!["1", "2", "3", "10", "t"]);
    (op(), asset(), ids, price(), size(), seconds(), 0..3u64).prop_map(
        |((op, revision), asset, id, price, size, second, seq)| {
            Arrival::Trade(Change {
                op,
                revision,
                row: Trade { asset, id, price, size, second, seq },
            })
        },
    )
}

fn quote() -> impl Strategy<Value = Arrival> {
    let side = || prop_oneof![1 => Just(None), 5 => price().prop_map(Some)];
    let ask_size = prop::sample::select(vec![None, Some(0), Some(UNIT)]);
    (asset(), side(), side(), ask_size, seconds(), 0..3u64).prop_map(
        |(asset, bid, ask, ask_size, second, seq)| {
            Arrival::Quote(Quote { asset, bid, ask, ask_size, second, seq })
        },
    )
}

/// Fills and settlements.
pub(super) fn ledger_history(n: usize) -> impl Strategy<Value = Vec<Placed>> {
    history(prop_oneof![12 => fill(), 1 => settlement()].boxed(), n)
}

/// Rows of all relations, and no sizes that overflow.
pub(super) fn market_history(n: usize) -> impl Strategy<Value = Vec<Placed>> {
    let small = fill().prop_filter("too large", |arrival| match arrival {
        Arrival::Fill(change) => change.row.size < UNIT * UNIT,
        _ => true,
    });
    let any = prop_oneof![6 => small, 1 => settlement(), 2 => trade(), 3 => quote()];
    history(any.boxed(), n)
}

/// Two sources of fills and settlements: what each gives, in its order.
pub(super) fn two_sources() -> impl Strategy<Value = [Vec<Arrival>; 2]> {
    history(prop_oneof![6 => fill(), 1 => settlement()].boxed(), 8).prop_map(|rows| {
        let part = |is_first: bool| {
            let of = rows.iter().filter(|(_, place, _)| (place % 2 == 0) == is_first);
            of.map(|placed| placed.0.clone()).collect()
        };
        [part(true), part(false)]
    })
}

/// Rows of which some come again with another size: the one that comes later is a conflict.
pub(super) fn conflicting_history(n: usize) -> impl Strategy<Value = Vec<Placed>> {
    let conflicts = prop::collection::vec((any::<prop::sample::Index>(), any::<u16>()), 1..n / 5);
    (ledger_history(n), conflicts).prop_map(|(mut rows, conflicts)| {
        for (index, place) in conflicts {
            let (mut arrival, first, second) = index.get(&rows).clone();
            match &mut arrival {
                // Nobody asks for the size of a payment.
                Arrival::Fill(change) if change.op != Op::Bust && change.row.kind != "funding" => {
                    change.row.size += 1;
                }
                _ => continue,
            }
            rows.push((arrival, first.wrapping_add(place), second.wrapping_sub(place)));
        }
        rows
    })
}

/// Distinct states and some repeats of them.
pub(super) fn history(
    arrival: BoxedStrategy<Arrival>,
    n: usize,
) -> impl Strategy<Value = Vec<Placed>> {
    let placed = (arrival, any::<u16>(), any::<u16>());
    let repeats = prop::collection::vec((any::<prop::sample::Index>(), any::<u16>()), 0..n / 5);
    (prop::collection::vec(placed, 1..n), repeats).prop_map(|(mut rows, repeats)| {
        let mut seen = std::collections::BTreeSet::new();
        rows.retain(|(arrival, ..)| arrival.state().is_none_or(|state| seen.insert(state)));
        for (index, place) in repeats {
            let (arrival, first, second) = index.get(&rows).clone();
            rows.push((arrival, first.wrapping_add(place), second.wrapping_sub(place)));
        }
        rows
    })
}
