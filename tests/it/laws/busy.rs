//! Long histories of few keys: sealed chunks that are folded anew, ones that run empty, wallets with
//! many positions, steps that are published before what they hold is corrected.
//!
//! They are made of a seed, which is all that must be kept to make them again.

use types::Op;

use super::history::{Arrival, Asset, Change, Fill, Placed, Quote, Settlement, Trade, UNIT};

/// Numbers that follow one another for ever the same from a seed (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        dataflows::route::mix(self.0)
    }

    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        let place = self.below(u64::try_from(list.len()).unwrap());
        list[usize::try_from(place).unwrap()]
    }

    fn signed(&mut self, n: u64) -> i64 {
        i64::try_from(self.below(n)).unwrap()
    }
}

/// What a history is made of.
#[derive(Clone, Copy)]
struct Shape {
    wallets: &'static [&'static str],
    assets: &'static [Asset],
    /// Most fills are of one key, or they are spread over all.
    is_narrow: bool,
    /// Whether trades and quotes are among them, and sizes never overflow.
    is_market: bool,
    /// By how many seconds the clock goes on.
    pace: &'static [i64],
}

const LEDGER: Shape = Shape {
    wallets: &["zed", "zed", "0xAb", "0xaB"],
    assets: &[("x", "BTC"), ("x", "BTC"), ("y", "BTC")],
    is_narrow: true,
    is_market: false,
    pace: &[0, 0, 0, 1, 1, 2],
};

/// More assets than a wallet may have positions before its sums are kept.
const MARKET: Shape = Shape {
    wallets: &["zed", "zed", "zed", "b\"ob", "0xAb"],
    assets: &[
        ("x", "BTC"),
        ("y", "BTC"),
        ("x", "a\"\\é"),
        ("x", "3"),
        ("x", "4"),
        ("x", "5"),
        ("x", "6"),
        ("x", "7"),
        ("x", "8"),
        ("x", "9"),
        ("x", "10"),
        ("x", "11"),
        ("x", "12"),
        ("x", "13"),
        ("x", "14"),
        ("x", "15"),
        ("x", "16"),
        ("x", "17"),
        ("x", "18"),
    ],
    is_narrow: false,
    is_market: true,
    pace: &[0, 1, 1, 2, 5, 14],
};

/// Few assets, so that their histories grow long.
const NARROW_MARKET: Shape = Shape {
    wallets: &["zed", "zed", "0xAb"],
    assets: &[("x", "BTC"), ("x", "BTC"), ("y", "BTC")],
    is_narrow: true,
    is_market: true,
    pace: &[0, 0, 1, 1, 2, 9],
};

/// Fills and settlements, most of them of one key.
pub(super) fn ledger_history(seed: u64) -> Vec<Placed> {
    Maker::new(LEDGER, seed).history(300..1_000)
}

/// Rows of all relations: of many assets, or mostly of one.
pub(super) fn market_history(seed: u64) -> Vec<Placed> {
    match seed % 2 {
        0 => Maker::new(MARKET, seed).history(120..320),
        _ => Maker::new(NARROW_MARKET, seed).history(250..550),
    }
}

struct Maker {
    shape: Shape,
    chance: Chance,
    clock: i64,
    n_ids: u64,
    fills: Vec<Fill>,
    arrivals: Vec<Arrival>,
}

/// An id as text that lives as long as the tests: most are numbers.
fn id(n: u64) -> &'static str {
    static IDS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    let text = |n: u64| if n % 7 == 3 { format!("t{n}") } else { n.to_string() };
    let ids = IDS.get_or_init(|| (0..4_096).map(text).collect());
    &ids[usize::try_from(n).unwrap()]
}

impl Maker {
    fn new(shape: Shape, seed: u64) -> Self {
        let (fills, arrivals) = (Vec::new(), Vec::new());
        Self { shape, chance: Chance(seed), clock: 0, n_ids: 0, fills, arrivals }
    }

    fn history(mut self, n: std::ops::Range<u64>) -> Vec<Placed> {
        let n = n.start + self.chance.below(n.end - n.start);
        let clears_at = if self.chance.one_in(3) { self.chance.below(n) } else { n };
        for i in 0..n {
            self.clock += self.chance.of(self.shape.pace);
            if i == clears_at {
                self.clear();
            }
            let arrival = if self.shape.is_market && self.chance.below(5) < 2 {
                self.market()
            } else {
                self.ledger()
            };
            self.arrivals.push(arrival);
        }
        if self.shape.is_market && self.chance.one_in(2) {
            self.end_with_quotes();
        }
        let mut seen = std::collections::BTreeSet::new();
        let mut known: Vec<Arrival> = Vec::new();
        let Self { arrivals, mut chance, .. } = self;
        // The same state never comes with other content; equal ones may come again.
        for arrival in arrivals {
            let is_new = arrival.state().is_none_or(|state| seen.insert(state));
            if is_new || known.contains(&arrival) {
                known.push(arrival);
            }
        }
        let placed = (0u16..).zip(known);
        placed.map(|(i, a)| (a, i, u16::try_from(chance.below(1 << 16)).unwrap())).collect()
    }

    /// Takes back what one key has from a time on, up to 200 fills, so that whole chunks run empty.
    fn clear(&mut self) {
        let Some(first) = self.fills.first().cloned() else { return };
        let of_key = |fill: &&Fill| fill.key() == first.key();
        let mut rows: Vec<Fill> = self.fills.iter().filter(of_key).cloned().collect();
        rows.sort_by_key(|row| row.second);
        let n = u64::try_from(rows.len()).unwrap();
        let from = usize::try_from(self.chance.below(n / 2 + 1)).unwrap();
        for row in rows.into_iter().skip(from).take(200) {
            self.arrivals.push(Arrival::Fill(Change { op: Op::Bust, revision: None, row }));
        }
    }

    /// Quotes go on long after the last trade, so that steps are published that views without quotes
    /// don't have in the end.
    fn end_with_quotes(&mut self) {
        for _ in 0..12 {
            self.clock += 50;
            let quote = self.quote(self.clock);
            self.arrivals.push(quote);
        }
    }

    fn time(&mut self) -> i64 {
        let late = match self.chance.below(16) {
            0 => self.chance.signed(30),
            1 => self.chance.signed(u64::try_from(self.clock).unwrap() + 1),
            _ => 0,
        };
        (self.clock - late).max(0)
    }

    fn revision(&mut self) -> Option<u64> {
        let revision = self.chance.below(5);
        (revision < 3).then_some(revision)
    }

    fn ledger(&mut self) -> Arrival {
        let known = (!self.fills.is_empty()).then(|| {
            let place = self.chance.below(u64::try_from(self.fills.len()).unwrap());
            self.fills[usize::try_from(place).unwrap()].clone()
        });
        let (op, revision, row) = match (self.chance.below(100), known) {
            (0..=7, Some(old)) => {
                let mut row = self.fill();
                (row.wallet, row.asset, row.id) = (old.wallet, old.asset, old.id);
                if self.chance.one_in(2) {
                    row.second = old.second;
                }
                let op = if self.chance.one_in(3) { Op::Insert } else { Op::Correct };
                (op, Some(self.chance.below(4)), row)
            }
            (8..=14, Some(old)) => (Op::Bust, self.revision(), old),
            (15..=17, Some(old)) => (Op::Insert, None, old),
            (18, _) => {
                let mut row = self.fill();
                row.id = id(self.n_ids + self.chance.below(60));
                (Op::Bust, self.revision(), row)
            }
            (19, _) => return self.settlement(),
            _ => {
                let row = self.fill();
                self.fills.push(row.clone());
                let revision = if self.chance.one_in(9) { self.revision() } else { None };
                (Op::Insert, revision, row)
            }
        };
        Arrival::Fill(Change { op, revision, row })
    }

    fn settlement(&mut self) -> Arrival {
        let ops = [Op::Insert, Op::Insert, Op::Correct, Op::Bust];
        let row = Settlement {
            asset: self.chance.of(self.shape.assets),
            payout: self.chance.of(&[0, UNIT, UNIT / 2, 123_456_789]),
            second: self.time(),
        };
        let (op, revision) = (self.chance.of(&ops), Some(self.chance.below(4)));
        Arrival::Settlement(Change { op, revision, row })
    }

    fn market(&mut self) -> Arrival {
        let second = self.time();
        if self.chance.one_in(3) {
            let ops = [Op::Insert, Op::Insert, Op::Insert, Op::Correct, Op::Bust];
            let row = Trade {
                asset: self.chance.of(self.shape.assets),
                id: id(self.chance.below(12)),
                price: self.price(),
                size: self.size(),
                second,
                seq: self.chance.below(3),
            };
            let (op, revision) = (self.chance.of(&ops), Some(self.chance.below(3)));
            return Arrival::Trade(Change { op, revision, row });
        }
        self.quote(second)
    }

    fn quote(&mut self, second: i64) -> Arrival {
        let (bids, asks) = (!self.chance.one_in(6), !self.chance.one_in(6));
        Arrival::Quote(Quote {
            asset: self.chance.of(self.shape.assets),
            bid: bids.then(|| self.price()),
            ask: asks.then(|| self.price()),
            ask_size: self.chance.of(&[None, Some(0), Some(UNIT)]),
            second,
            seq: self.chance.below(3),
        })
    }

    fn price(&mut self) -> i128 {
        self.chance.of(&[UNIT / 2, UNIT / 4, 333_333_333, 700_000_001, 61_837_630_000_000])
    }

    fn size(&mut self) -> i128 {
        let even = i128::from(1 + self.chance.below(5)) * UNIT;
        self.chance.of(&[even, even, even, 333_333_333, 7, 12_345_678_901])
    }

    fn fill(&mut self) -> Fill {
        self.n_ids += 1;
        let (price, size) = (self.price(), self.size());
        let notional = i128::from(1 + self.chance.below(5_000_000_000));
        let traded = self.chance.of(&["liquidation", "redeem", "split", "merge", "convert"]);
        let paid = i128::from(self.chance.signed(6_000_000_000)) - 3 * UNIT;
        let most = 90_000_000_000_000_000_000 * UNIT * UNIT;
        let (kind, price, size, notional) = match self.chance.below(60) {
            0..=2 => (traded, Some(price), size, None),
            3..=5 => ("transfer", Some(price), size, None),
            6 => ("transfer", None, size, None),
            7..=9 => ("funding", None, 0, Some(paid)),
            10..=13 => ("trade", None, size.max(UNIT), Some(notional)),
            14..=17 => ("trade", Some(price), size.max(UNIT), Some(notional)),
            18 if !self.shape.is_market && self.chance.one_in(3) => {
                ("trade", None, most, Some(UNIT))
            }
            _ => ("trade", Some(price), size, None),
        };
        let is_first = self.shape.is_narrow && self.chance.below(10) < 7;
        let place =
            |chance: &mut Chance| (chance.of(self.shape.wallets), chance.of(self.shape.assets));
        let (wallet, asset) = if is_first {
            (self.shape.wallets[0], self.shape.assets[0])
        } else {
            place(&mut self.chance)
        };
        let start = i128::from(self.chance.signed(7)) - 3;
        let states = kind != "funding" && self.chance.one_in(40);
        Fill {
            wallet,
            asset,
            id: id(self.n_ids),
            market: self.chance.of(&[None, None, None, Some("m"), Some("m"), Some("n")]),
            buys: self.chance.one_in(2),
            price,
            size,
            notional,
            fee: self.chance.of(&[None, None, Some(-400_000_001), Some(UNIT), Some(1)]),
            fee_asset: self.chance.of(&[None, None, Some("USD"), Some("BNB")]),
            quote_asset: self.chance.of(&[None, Some("USD")]),
            kind,
            start_qty: states.then_some(start * UNIT),
            second: self.time(),
            // One takes more than 48 bits.
            seq: self.chance.of(&[0, 0, 1, 1, 2, 2, (1 << 48) + 1]),
        }
    }
}

/// The shortest part of a history, found by leaving out ever smaller pieces, that still fails.
pub(super) fn shortest(history: &[Placed], fails: impl Fn(&[Placed]) -> bool) -> Vec<Placed> {
    let (mut kept, mut piece, mut tries) = (history.to_vec(), history.len() / 2, 150u32);
    while piece > 0 && tries > 0 {
        let mut from = 0;
        while from < kept.len() && tries > 0 {
            let end = kept.len().min(from + piece);
            let shorter = [&kept[..from], &kept[end..]].concat();
            tries -= 1;
            if fails(&shorter) { kept = shorter } else { from = end }
        }
        piece /= 2;
    }
    kept
}
