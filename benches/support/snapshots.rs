//! The loop that ends with the same rows as positions, bars and marks: each five minutes of event
//! time, the P&L of every wallet with an open position, at each asset's last price.

use super::loops::{Bars, Map, Position};
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

/// Positions by wallet and asset, and mirrored by wallet for the snapshots.
pub(crate) struct Book {
    index: Map<usize>,
    positions: Vec<Slot>,
    wallets: Vec<Wallet>,
    /// Last prices; positions exist only where there is one.
    marks: Vec<i64>,
}

struct Slot {
    wallet: u32,
    asset: u32,
    /// Where the wallet mirrors it.
    place: usize,
    position: Position,
}

/// Sums over a wallet's positions, and their quantities.
#[derive(Clone, Default)]
struct Wallet {
    held: Vec<Held>,
    cost: i128,
    realized: i128,
    fees: i128,
    n_open: u64,
}

#[derive(Clone)]
struct Held {
    qty: i128,
    asset: usize,
}

impl Book {
    fn new() -> Self {
        Self {
            index: Map::default(),
            positions: Vec::new(),
            wallets: vec![Wallet::default(); index(N_WALLETS)],
            marks: vec![0; index(N_ASSETS)],
        }
    }

    /// Rows by (wallet, asset).
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, u32, &Position)> {
        self.positions.iter().map(|slot| (slot.wallet, slot.asset, &slot.position))
    }

    fn take(&mut self, fill: &Fill) {
        let key = (u64::from(fill.wallet) << 32) | u64::from(fill.asset);
        let wallet = &mut self.wallets[index(fill.wallet)];
        let slot = *self.index.entry(key).or_insert_with(|| {
            let place = wallet.held.len();
            wallet.held.push(Held { qty: 0, asset: index(fill.asset) });
            let position = Position::default();
            self.positions.push(Slot { wallet: fill.wallet, asset: fill.asset, place, position });
            self.positions.len() - 1
        });
        let slot = &mut self.positions[slot];
        let before = slot.position;
        slot.position.take(fill);
        let after = &slot.position;
        wallet.cost += after.cost - before.cost;
        wallet.realized += after.realized - before.realized;
        wallet.fees += after.fees - before.fees;
        wallet.n_open += u64::from(after.qty != 0);
        wallet.n_open -= u64::from(before.qty != 0);
        wallet.held[slot.place].qty = after.qty;
    }

    fn snapshot(&self, snapshot: i64, emit: &mut impl FnMut(Pnl)) {
        for (wallet, sums) in (0..).zip(&self.wallets) {
            if sums.n_open == 0 {
                continue;
            }
            let (mut value, mut exposure) = (0_i128, 0_i128);
            for held in &sums.held {
                let worth = held.qty * i128::from(self.marks[held.asset]);
                value += worth;
                exposure += worth.abs();
            }
            let unrealized = value - sums.cost;
            emit(Pnl {
                wallet,
                snapshot,
                realized: nano(sums.realized),
                unrealized: nano(unrealized),
                fees: nano(sums.fees),
                total: nano(sums.realized + unrealized - sums.fees),
                exposure: nano(exposure),
                n_positions: sums.n_open,
            });
        }
    }
}

/// Positions, bars and snapshots of the wallets and assets of one part of `n`; marks come from all
/// fills. Snapshots go to `emit` as they come.
pub(crate) fn everything(
    fills: &[Fill],
    (part, n): (u32, u32),
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
        if fill.asset % n == part {
            bars.take(fill);
        }
        book.marks[index(fill.asset)] = fill.price;
    }
    book.snapshot(next, &mut emit);
    (book, bars)
}

/// Money of 1e-18 in units of 1e-9, half-even.
fn nano(money: i128) -> i128 {
    const NANO: u64 = 1_000_000_000;
    let magnitude = money.unsigned_abs();
    // Long division in 32-bit digits: each step is a division of 64 bits by a constant.
    let (mut quotient, mut rest) = (0_u128, 0_u64);
    let first = if magnitude >> 96 == 0 { 64 } else { 96 };
    for shift in (0..=first).rev().step_by(32) {
        let digit = u64::try_from((magnitude >> shift) & u128::from(u32::MAX)).expect("32 bits");
        let here = (rest << 32) | digit;
        quotient = (quotient << 32) | u128::from(here / NANO);
        rest = here % NANO;
    }
    if rest * 2 > NANO || (rest * 2 == NANO && quotient % 2 == 1) {
        quotient += 1;
    }
    let quotient = i128::try_from(quotient).expect("a part isn't above the whole");
    if money < 0 { -quotient } else { quotient }
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("a pointer has 32 bits at least")
}
