//! The loop that ends with the same rows as positions, bars and marks: each five minutes of event
//! time, the P&L of every wallet with an open position, at each asset's last price.

use super::loops::{Bars, Map, Position, low};
use super::stream::{Fill, N_ASSETS, N_WALLETS};

/// The step of the snapshots: five minutes, in nanoseconds.
pub(crate) const GRID: i64 = 300_000_000_000;

/// The P&L of a wallet at a snapshot. Money in units of 1e-9, rounded half-even from exact sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pnl {
    pub(crate) wallet: u32,
    /// In nanoseconds since 1970.
    pub(crate) snapshot: i64,
    pub(crate) realized: i128,
    pub(crate) unrealized: i128,
    pub(crate) fees: i128,
    pub(crate) total: i128,
    pub(crate) exposure: i128,
    pub(crate) n_positions: u64,
}

/// Positions by wallet and asset, and what a snapshot reads of them, one after the other.
pub(crate) struct Book {
    positions: Map<Slot>,
    mirror: Vec<Held>,
    wallets: Vec<Wallet>,
    /// Last prices; positions exist only where there is one.
    marks: Vec<i64>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    position: Position,
    /// Where it is mirrored.
    place: usize,
}

/// These events hold fewer than 9e9 units, so the mirror can be small.
struct Held {
    wallet: u32,
    asset: u32,
    qty: i64,
}

/// Sums over a wallet's positions.
#[derive(Clone, Default)]
struct Wallet {
    cost: i128,
    realized: i128,
    fees: i128,
    n_open: u64,
}

/// What a wallet's positions are worth at a snapshot.
#[derive(Clone, Copy, Default)]
struct Worth {
    value: i128,
    exposure: i128,
}

impl Book {
    fn new() -> Self {
        Self {
            positions: Map::default(),
            mirror: Vec::new(),
            wallets: vec![Wallet::default(); index(N_WALLETS)],
            marks: vec![0; index(N_ASSETS)],
        }
    }

    /// Positions.
    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    fn take(&mut self, fill: &Fill) {
        let key = (u64::from(fill.wallet) << 32) | u64::from(fill.asset);
        let slot = self.positions.entry(key).or_insert_with(|| {
            self.mirror.push(Held { wallet: fill.wallet, asset: fill.asset, qty: 0 });
            Slot { position: Position::default(), place: self.mirror.len() - 1 }
        });
        let before = slot.position;
        slot.position.take(fill);
        let after = &slot.position;
        let wallet = &mut self.wallets[index(fill.wallet)];
        wallet.cost += after.cost - before.cost;
        wallet.realized += after.realized - before.realized;
        wallet.fees += after.fees - before.fees;
        wallet.n_open += u64::from(after.qty != 0);
        wallet.n_open -= u64::from(before.qty != 0);
        self.mirror[slot.place].qty = i64::try_from(after.qty).expect("fewer than 9e9 units");
    }

    fn snapshot(&self, snapshot: i64, emit: &mut impl FnMut(Pnl)) {
        let mut worths = vec![Worth::default(); self.wallets.len()];
        for held in &self.mirror {
            let value = i128::from(held.qty) * i128::from(self.marks[index(held.asset)]);
            let worth = &mut worths[index(held.wallet)];
            worth.value += value;
            worth.exposure += value.abs();
        }
        for ((wallet, sums), worth) in (0..).zip(&self.wallets).zip(worths) {
            if sums.n_open == 0 {
                continue;
            }
            let unrealized = worth.value - sums.cost;
            emit(Pnl {
                wallet,
                snapshot,
                realized: nano(sums.realized),
                unrealized: nano(unrealized),
                fees: nano(sums.fees),
                total: nano(sums.realized + unrealized - sums.fees),
                exposure: nano(worth.exposure),
                n_positions: sums.n_open,
            });
        }
    }
}

/// Positions, snapshots and, if asked for, bars of the wallets and assets of one part of `n`; marks
/// come from all fills. Snapshots go to `emit` as they come.
pub(crate) fn everything(
    fills: &[Fill],
    (part, n): (u32, u32),
    with_bars: bool,
    mut emit: impl FnMut(Pnl),
) -> (Book, Bars) {
    let (mut book, mut bars) = (Book::new(), Bars::default());
    let mut next = fills.first().map_or(0, |fill| fill.time / GRID * GRID + GRID);
    for fill in fills.iter().filter(|fill| !fill.is_bust) {
        while fill.time >= next {
            book.snapshot(next, &mut emit);
            next += GRID;
        }
        if fill.wallet % n == part {
            book.take(fill);
        }
        if with_bars && fill.asset % n == part {
            bars.take(fill);
        }
        book.marks[index(fill.asset)] = fill.price;
    }
    book.snapshot(next, &mut emit);
    (book, bars)
}

/// Money of 1e-18 in units of 1e-9, half-even.
#[inline]
fn nano(money: i128) -> i128 {
    const NANO: u64 = 1_000_000_000;
    let magnitude = money.unsigned_abs();
    // Long division in digits of 32 bits: divisions of 64 bits by a constant are multiplications.
    let Ok(upper) = u64::try_from(magnitude >> 32) else {
        panic!("more than 7.9e10 of the quote currency: {money}");
    };
    let lower = low(magnitude) & u64::from(u32::MAX);
    let rest = ((upper % NANO) << 32) | lower;
    let mut quotient = (u128::from(upper / NANO) << 32) + u128::from(rest / NANO);
    let rest = rest % NANO;
    if rest * 2 > NANO || (rest * 2 == NANO && quotient % 2 == 1) {
        quotient += 1;
    }
    let quotient = i128::try_from(quotient).expect("a part isn't above the whole");
    if money < 0 { -quotient } else { quotient }
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("a pointer has 32 bits at least")
}
