//! The sweep against its slow twin, over random histories of positions and marks as of steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use types::relations::{Basis, Mark, Pnl, PnlNow, Position, PositionPnl, PositionStep, RareSums};
use types::{AssetId, Interner, Money, Names, Size, Span, Sym, VenueTime};

use super::series::{Snapshots, Tell};
use super::sweep::{Input, Sweep};
use super::twin;
use super::twin::snapshots::Row;

const GRID: i64 = 60_000_000_000;
const WALLETS: u32 = 3;
const ASSETS: u32 = 6;

/// What a state of a position is made of: quantity, cost, realised, a size for all, basis.
type Seed = (i64, i64, i64, u32, bool);

/// An edit of a position or a mark at a step; `None` takes it out.
#[derive(Clone, Debug)]
enum Edit {
    Position { wallet: u32, asset: u32, step: i64, seed: Option<Seed> },
    Mark { asset: u32, step: i64, mark: Option<(i64, i64)> },
}

/// One epoch: edits, by how many steps the clock goes on, and how many rows a piece has.
type Epoch = (Vec<Edit>, i64, usize);

fn edit(last: i64) -> impl Strategy<Value = Edit> {
    let shift = prop::sample::select(vec![0u32, 0, 0, 0, 0, 0, 30, 60, 83, 95, 110, 122]);
    let seed = (-3i64..4, -9i64..10, -9i64..10, shift, prop::bool::weighted(0.9));
    let seed = prop::option::weighted(0.8, seed);
    let position = (0..WALLETS, 0..ASSETS, 1..last, seed)
        .prop_map(|(wallet, asset, step, seed)| Edit::Position { wallet, asset, step, seed });
    let price = prop::sample::select(vec![3i64, 5, 1_000_000_001, 7_777_777_777, 1 << 60]);
    let spread = prop::sample::select(vec![0i64, 0, 0, 2]);
    let mark = prop::option::weighted(0.85, (price, spread));
    let mark = (0..ASSETS, 1..last, mark).prop_map(|(asset, step, mark)| Edit::Mark {
        asset,
        step,
        mark: mark.map(|(price, spread)| (price, price + spread)),
    });
    prop_oneof![3 => position, 2 => mark]
}

fn epochs() -> impl Strategy<Value = Vec<Epoch>> {
    let epoch = (prop::collection::vec(edit(14), 0..12), 0i64..4, 1usize..6);
    prop::collection::vec(epoch, 1..9)
}

fn position(wallet: Sym, asset: AssetId, (qty, cost, realized, shift, known): Seed) -> Position {
    let qty = Size::from_nano(i128::from(qty) << shift).unwrap();
    let wide = |n: i64| Money::from_raw(i128::from(n) * ((1i128 << shift) + 1));
    // Not always a whole number of 1e-9, so that the table of wide records is used too.
    let funding = Money::from_raw(i128::from(realized / 7));
    Position {
        wallet,
        asset,
        market: None,
        qty,
        cost: if qty.is_zero() { Money::ZERO } else { wide(cost) },
        realized_pnl: wide(realized),
        fees: Money::from_nano(i128::from(cost)).unwrap(),
        n_fills: 1,
        basis: if known || qty.is_zero() { Basis::Known } else { Basis::Unknown },
        updated_at: VenueTime::from_nanos(0),
        rare: RareSums { funding, ..RareSums::default() }.kept(),
    }
}

/// Keeps what is told.
#[derive(Default)]
struct Told(Vec<(Row, isize)>);

impl Tell for Told {
    fn wallet(&mut self, row: Pnl, diff: isize) {
        self.0.push((Row::Wallet(row), diff));
    }

    fn position(&mut self, row: PositionPnl, diff: isize) {
        self.0.push((Row::Position(row), diff));
    }

    fn now(&mut self, row: PnlNow, diff: isize) {
        self.0.push((Row::Now(row), diff));
    }

    fn error(&mut self, row: types::Row, diff: isize) {
        self.0.push((Row::Error(row), diff));
    }
}

/// Everything that stands, so that edits become changes.
#[derive(Default)]
struct Model {
    positions: BTreeMap<(Sym, AssetId, VenueTime), Position>,
    marks: BTreeMap<(AssetId, VenueTime), Mark>,
}

impl Model {
    /// The changes of an epoch: of each key at most the row that is gone and the one that has come.
    fn edit(
        &mut self,
        edits: &[Edit],
        names: &[Sym],
    ) -> (Vec<(PositionStep, isize)>, Vec<(Mark, isize)>) {
        let (old_positions, old_marks) = (self.positions.clone(), self.marks.clone());
        for edit in edits {
            match *edit {
                Edit::Position { wallet, asset, step, seed } => {
                    let (wallet, asset) = (names[usize::try_from(wallet).unwrap()], AssetId(asset));
                    let key = (wallet, asset, VenueTime::from_nanos(step * GRID));
                    match seed {
                        Some(seed) => {
                            self.positions.insert(key, position(wallet, asset, seed));
                        }
                        None => {
                            self.positions.remove(&key);
                        }
                    }
                }
                Edit::Mark { asset, step, mark } => {
                    let (asset, step) = (AssetId(asset), VenueTime::from_nanos(step * GRID));
                    let mark_time = step.less(7);
                    match mark {
                        Some((long_twice, short_twice)) => {
                            let mark = Mark { step, asset, long_twice, short_twice, mark_time };
                            self.marks.insert((asset, step), mark);
                        }
                        None => {
                            self.marks.remove(&(asset, step));
                        }
                    }
                }
            }
        }
        let step = |key: &(Sym, AssetId, VenueTime), position: &Position| PositionStep {
            step: key.2,
            position: position.clone(),
        };
        let positions = changes(&old_positions, &self.positions);
        let positions = positions.map(|(key, row, diff)| (step(key, row), diff)).collect();
        let marks = changes(&old_marks, &self.marks);
        (positions, marks.map(|(_, row, diff)| (row.clone(), diff)).collect())
    }

    /// Edits that take everything behind a step out.
    fn cut(&self, last: i64, names: &[Sym]) -> Vec<Edit> {
        let behind = |step: VenueTime| step > VenueTime::from_nanos(last * GRID);
        let step = |step: VenueTime| step.nanos() / GRID;
        let number = |wallet: Sym| names.iter().position(|name| *name == wallet).unwrap();
        let positions = self.positions.keys().filter(|key| behind(key.2));
        let positions = positions.map(|(wallet, asset, at)| Edit::Position {
            wallet: u32::try_from(number(*wallet)).unwrap(),
            asset: asset.0,
            step: step(*at),
            seed: None,
        });
        let marks = self.marks.keys().filter(|key| behind(key.1));
        let marks =
            marks.map(|(asset, at)| Edit::Mark { asset: asset.0, step: step(*at), mark: None });
        positions.chain(marks).collect()
    }

    fn last_step(&self) -> Option<VenueTime> {
        let positions = self.positions.keys().map(|key| key.2);
        positions.chain(self.marks.keys().map(|key| key.1)).max()
    }
}

fn changes<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V, isize)> {
    let mut keys: Vec<&K> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().filter(|key| old.get(key) != new.get(key)).flat_map(|key| {
        let gone = old.get(key).map(|row| (key, row, -1));
        gone.into_iter().chain(new.get(key).map(|row| (key, row, 1)))
    })
}

/// A row's text without the columns that aren't its key.
fn key(row: &Row) -> String {
    match row {
        Row::Wallet(row) => format!("w {:?} {:?}", row.wallet, row.snapshot),
        Row::Position(row) => format!("p {:?} {:?} {:?}", row.wallet, row.asset, row.snapshot),
        Row::Now(row) => format!("n {:?} {:?}", row.wallet, row.asset),
        Row::Error(row) => format!("e {row:?}"),
    }
}

fn sorted(rows: Vec<(Row, isize)>) -> Vec<String> {
    let mut sums: BTreeMap<String, isize> = BTreeMap::new();
    for (row, diff) in rows {
        *sums.entry(format!("{row:?}")).or_default() += diff;
    }
    sums.into_iter().filter(|row| row.1 != 0).map(|(row, diff)| format!("{diff:+} {row}")).collect()
}

/// Of a key there is a row that is gone, one that has come, or both in this order, side by side.
fn assert_contract(rows: &[(Row, isize)]) {
    let mut seen = std::collections::BTreeSet::new();
    for run in rows.chunk_by(|a, b| key(&a.0) == key(&b.0)) {
        assert!(seen.insert(key(&run[0].0)), "changes of a key stand apart: {run:?}");
        match run {
            [(_, 1 | -1)] => {}
            [(old, -1), (new, 1)] => assert_ne!(old, new, "an equal row was told"),
            run => panic!("not a change of a key: {run:?}"),
        }
    }
}

fn check(epochs: &[Epoch], cut: Option<i64>, by_position: bool, emits_all: bool) {
    let mut interner = Interner::new(false);
    let wallets: Vec<Sym> = ["a", "b", "c"].iter().map(|w| interner.sym(w)).collect();
    (0..ASSETS).for_each(|asset| {
        interner.asset("x", &asset.to_string());
    });
    let names: Arc<Names> = Arc::clone(interner.names());
    let grid = Span::new(GRID).unwrap();
    let mut twin = twin::sweep::Sweep::new(twin::snapshots::Snapshots {
        grid,
        by_position,
        emits_all,
        names: Arc::clone(&names),
    });
    let snapshots = Snapshots { grid, emits_all, names };
    let mut sweep = Sweep::new(snapshots, by_position, true);
    let (mut model, mut published) = (Model::default(), 0);
    for (index, (edits, steps, piece)) in epochs.iter().enumerate() {
        let mut edits = edits.clone();
        if index + 1 == epochs.len() {
            edits.extend(cut.map(|last| model.cut(last, &wallets)).unwrap_or_default());
        }
        let (positions, marks) = model.edit(&edits, &wallets);
        published += steps;
        let mut until = Some(VenueTime::from_nanos(published * GRID));
        if index + 1 == epochs.len() {
            // The end: the next step after the last event, before or after what is published.
            until = model.last_step();
        }
        let updates = |(row, diff): &(PositionStep, isize)| (row.clone(), 0, *diff);
        // In several containers, as they come from several workers: one may end within the changes of
        // a position.
        let mut containers: Vec<Vec<_>> = Vec::new();
        for rows in positions.chunks(piece + 1) {
            containers.push(rows.iter().map(updates).collect());
        }
        let input = Input {
            steps: containers,
            marks: marks.iter().map(|(row, diff)| (row.clone(), 0, *diff)).collect(),
            until,
        };
        let (mut told, mut expected) = (Told::default(), Vec::new());
        sweep.start(input);
        while !sweep.work(*piece, &mut told) {}
        twin.take(positions, marks);
        twin.advance(until);
        twin.tell(|row, diff| expected.push((row, diff)));
        assert_contract(&told.0);
        assert_eq!(sorted(told.0), sorted(expected), "epoch {index}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn the_sweep_equals_its_twin(
        epochs in epochs(),
        cut in prop::option::of(0..14i64),
        by_position in any::<bool>(),
        emits_all in any::<bool>(),
    ) {
        check(&epochs, cut, by_position, emits_all);
    }
}

#[cfg(feature = "sabotage")]
mod sabotage {
    use super::*;
    use crate::operators::testing::{noticed, sample};

    fn sweeps(seed: u64) {
        let cut = prop::option::of(0..14i64);
        let (epochs, cut, by_position, emits_all) =
            sample(&(epochs(), cut, any::<bool>(), any::<bool>()), seed);
        check(&epochs, cut, by_position, emits_all);
    }

    noticed! {
        published_snapshots: SnapshotsRevised by 100 of sweeps;
        the_steps_behind_a_change: RevisedToNext by 100 of sweeps;
        holders_of_a_past_mark: HoldersRevised by 100 of sweeps;
        rows_behind_the_last_step: TakesBack by 400 of sweeps;
        such_rows_as_they_were_shown: TakesBackAsShown by 1_000 of sweeps;
        the_newest_rows: NowCorrected by 200 of sweeps;
        changes_in_several_containers: RunsJoined by 200 of sweeps;
        sums_that_are_kept: SumsKept by 200 of sweeps;
        sums_past_128_bits: SumsWidened by 2_000 of sweeps;
        products_past_128_bits: ProductsWidened by 400 of sweeps;
    }
}
