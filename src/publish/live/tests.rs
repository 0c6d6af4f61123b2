//! Live rows against those made anew at each epoch, over random positions, marks and readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::operators::mark_to_market::live::LiveRows;
use dataflows::oracle::marks::{positions, wallets};
use serde_json::Value as Json;
use types::relations::{Basis, Mark, MarkNow, PnlNow, Position, Relation, RelationKind, WalletNow};
use types::{AssetId, Changes, Epoch, Interner, Money, Names, Schema, Size, Sym, VenueTime, json};

use super::LiveSpec;
use crate::publish::testing::Chance;
use crate::publish::{Chunks, Hub, Place, Taken, ViewSpec};
use crate::runtime::EpochOutput;

const N_WALLETS: u64 = 5;
const N_ASSETS: u64 = 6;

/// A hub with positions, marks and a view of each kind of live rows, and what was published.
struct Market {
    hub: Hub,
    names: Arc<Names>,
    wallets: Vec<Sym>,
    assets: Vec<AssetId>,
    positions: BTreeMap<(Sym, AssetId), Position>,
    marks: BTreeMap<AssetId, MarkNow>,
    epoch: u64,
}

/// Rows by the text of their key.
type Shown = BTreeMap<String, Json>;

/// The views with live rows, behind positions and marks.
const LIVE: [LiveRows; 3] = [LiveRows::Wallets, LiveRows::Positions, LiveRows::Open];
const FIRST: usize = 2;

impl Market {
    fn new() -> Self {
        let mut interner = Interner::new(false);
        let asset = |n| interner.asset("x", &format!("a{n}"));
        let assets = (0..N_ASSETS).map(asset).collect();
        let wallets = (0..N_WALLETS).map(|n| interner.sym(&format!("w{n}"))).collect();
        let names = Arc::clone(interner.names());
        let view = |name: &str, kind: RelationKind, live| ViewSpec {
            name: name.to_owned(),
            kind,
            schema: kind.schema().unwrap().shared(),
            operator: "mark_to_market",
            live,
        };
        let of = |rows| Some(LiveSpec { positions: 0, marks: 1, rows });
        let specs = vec![
            view("positions", RelationKind::Positions, None),
            view("pnl.marks", RelationKind::Marks, None),
            view("pnl", RelationKind::Pnl, of(LIVE[0])),
            view("held", RelationKind::PositionPnl, of(LIVE[1])),
            view("held.now", RelationKind::PnlNow, of(LIVE[2])),
        ];
        let hub = Hub::new(specs, &names, 0);
        let (positions, marks) = (BTreeMap::new(), BTreeMap::new());
        Self { hub, names, wallets, assets, positions, marks, epoch: 0 }
    }

    /// Publishes an epoch of some positions and marks; now and then of none.
    fn publish(&mut self, chance: &mut Chance) {
        self.epoch += 1;
        let mut held = Vec::new();
        for key in self.some(chance, 4) {
            held.extend(self.positions.remove(&key).map(|old| (old, -1)));
            if chance.below(5) > 0 {
                let new = position(key, chance);
                self.positions.insert(key, new.clone());
                held.push((new, 1));
            }
        }
        let mut marked = Vec::new();
        for (_, asset) in self.some(chance, 3) {
            marked.extend(self.marks.remove(&asset).map(|old| (old, -1)));
            if chance.below(6) > 0 {
                let price = i64::try_from(chance.below(9)).unwrap() * 100_000_001;
                let mark_time = VenueTime::from_nanos(price);
                let (long_twice, short_twice) = (price, price + 3);
                let new = MarkNow { asset, long_twice, short_twice, mark_time };
                self.marks.insert(asset, new);
                marked.push((new, 1));
            }
        }
        let (pnl, held_pnl) = (Changes::Pnl(vec![]), Changes::PositionPnl(vec![]));
        let all = [Changes::Positions(held), Changes::Marks(marked), pnl, held_pnl];
        let changes = all.into_iter().chain([Changes::PnlNow(vec![])]).map(Arc::new).collect();
        let (epoch, watermark) = (Epoch(self.epoch), VenueTime::MIN);
        self.hub.publish(&EpochOutput { epoch, watermark, changes });
    }

    /// Some keys, each of another wallet and asset.
    fn some(&self, chance: &mut Chance, most: u64) -> Vec<(Sym, AssetId)> {
        let pick = |n: u64| usize::try_from(n).unwrap();
        let keys = (0..chance.below(most + 1)).map(|_| {
            let wallet = self.wallets[pick(chance.below(N_WALLETS))];
            (wallet, self.assets[pick(chance.below(N_ASSETS))])
        });
        let by_asset: BTreeMap<AssetId, Sym> =
            keys.map(|(wallet, asset)| (asset, wallet)).collect();
        by_asset.into_iter().map(|(asset, wallet)| (wallet, asset)).collect()
    }

    /// What a view's live rows must be.
    fn shown(&self, rows: LiveRows) -> Shown {
        let held: Vec<Position> = self.positions.values().cloned().collect();
        let mark = |mark: &MarkNow| {
            let MarkNow { asset, long_twice, short_twice, mark_time } = *mark;
            (asset, Mark { step: VenueTime::MIN, asset, long_twice, short_twice, mark_time })
        };
        let marks = self.marks.values().map(mark).collect();
        if rows == LiveRows::Wallets {
            let all = wallets(&held, &marks).into_iter();
            let all = all.map(|(wallet, (at, _))| WalletNow { wallet, at });
            return self.lines(all, &WalletNow::schema());
        }
        let all = positions(&held, &marks).into_iter();
        let all = all.filter(|(_, (_, is_open))| *is_open || rows == LiveRows::Positions);
        let all = all.map(|((wallet, asset), (at, _))| PnlNow { wallet, asset, at });
        self.lines(all, &PnlNow::schema())
    }

    fn lines<R: Relation>(&self, rows: impl Iterator<Item = R>, schema: &Schema) -> Shown {
        let line = |row: R| {
            let mut line = Vec::new();
            json::write_row(&mut line, &row, schema, &self.names);
            keyed(&serde_json::from_slice(&line).unwrap())
        };
        rows.map(line).collect()
    }

    fn attach(&self, live: usize, needs_everything: bool) -> Place {
        self.hub.attach_live(FIRST + live, needs_everything).unwrap()
    }

    /// What a reader is told.
    fn take(&self, place: Place) -> Taken {
        let cut = self.hub.take(std::iter::once(place));
        assert_eq!(cut.standing.epoch, Epoch(self.epoch));
        cut.taken.into_iter().next().unwrap()
    }
}

fn position((wallet, asset): (Sym, AssetId), chance: &mut Chance) -> Position {
    let number = i128::from(chance.below(7)) - 3;
    let is_known = number == 0 || chance.below(5) > 0;
    Position {
        wallet,
        asset,
        market: None,
        qty: Size::from_nano(number * 1_500_000_000).unwrap(),
        cost: if is_known { Money::from_raw(number * 333_333_333_333) } else { Money::ZERO },
        realized_pnl: Money::from_raw(i128::from(chance.below(3)) * 77_777_777_777),
        fees: Money::ZERO,
        n_fills: 1 + chance.below(3),
        basis: if is_known { Basis::Known } else { Basis::Unknown },
        updated_at: VenueTime::MIN,
        rare: None,
    }
}

/// A row with the text of its key before it.
fn keyed(row: &Json) -> (String, Json) {
    let key = format!("{} {} {}", row["venue"], row["wallet"], row["asset"]);
    (key, row.clone())
}

fn items(json: &[u8]) -> Vec<Json> {
    let text = format!("[{}]", std::str::from_utf8(json).unwrap());
    serde_json::from_str(&text).unwrap()
}

/// Applies all pieces: each must change something.
fn apply(rows: &mut Shown, mut chunks: Box<dyn Chunks>, enough: usize) {
    loop {
        let chunk = chunks.next(enough, enough + 200);
        for row in items(&chunk.put) {
            let (key, row) = keyed(&row);
            let old = rows.insert(key, row.clone());
            assert_ne!(old, Some(row));
        }
        for key in items(&chunk.del) {
            assert!(rows.remove(&keyed(&key).0).is_some(), "{key} isn't there");
        }
        if chunk.last {
            return;
        }
    }
}

#[test]
fn readers_at_any_pace_have_the_rows_of_their_epoch() {
    for seed in 0..100 {
        let (mut chance, mut market) = (Chance(seed), Market::new());
        let mut readers: Vec<(usize, Place, Shown)> = Vec::new();
        for _ in 0..60 {
            market.publish(&mut chance);
            if chance.below(8) == 0 {
                let live = usize::try_from(chance.below(3)).unwrap();
                let needs_everything = chance.below(2) == 0;
                let rows = if needs_everything { Shown::new() } else { market.shown(LIVE[live]) };
                readers.push((live, market.attach(live, needs_everything), rows));
            }
            if readers.len() > 5 {
                market.hub.detach(readers.remove(0).1);
            }
            for (live, place, rows) in &mut readers {
                if chance.below(3) > 0 {
                    continue;
                }
                match market.take(*place) {
                    Taken::Nothing => {}
                    Taken::Everything(chunks) => {
                        assert!(rows.is_empty(), "all rows come once");
                        apply(rows, chunks, 300);
                    }
                    Taken::Changes(chunks) => apply(rows, chunks, 300),
                }
                assert_eq!(*rows, market.shown(LIVE[*live]), "seed {seed}");
            }
        }
    }
}

#[test]
fn pieces_may_be_written_after_later_epochs() {
    for seed in 0..50 {
        let (mut chance, mut market) = (Chance(seed), Market::new());
        let places: Vec<Place> = (0..3).map(|live| market.attach(live, true)).collect();
        let mut rows = vec![Shown::new(); 3];
        for _ in 0..20 {
            market.publish(&mut chance);
            let taken: Vec<Taken> = places.iter().map(|place| market.take(*place)).collect();
            let expected = LIVE.map(|live| market.shown(live));
            market.publish(&mut chance);
            // In another order than they were taken: the holders go back in time.
            for (index, taken) in taken.into_iter().enumerate().rev() {
                if let Taken::Everything(chunks) | Taken::Changes(chunks) = taken {
                    apply(&mut rows[index], chunks, 100);
                }
                assert_eq!(rows[index], expected[index], "seed {seed}");
            }
        }
    }
}

#[test]
fn pages_make_the_whole() {
    let (mut chance, mut market) = (Chance(7), Market::new());
    for _ in 0..40 {
        market.publish(&mut chance);
        for (index, live) in LIVE.into_iter().enumerate() {
            for limit in [1, 3, 1_000] {
                let (standing, rows) = market.hub.live_rows(FIRST + index).unwrap();
                assert_eq!(standing.epoch, Epoch(market.epoch));
                let (mut all, mut place) = (Vec::new(), None);
                loop {
                    let page = rows.page(place.as_deref(), limit).unwrap();
                    let page_rows = items(&page.rows);
                    assert!(page_rows.len() <= limit);
                    assert!(page.next.is_none() || page_rows.len() == limit);
                    all.extend(page_rows.iter().map(keyed));
                    place = page.next;
                    if place.is_none() {
                        break;
                    }
                }
                let n_rows = all.len();
                let all: Shown = all.into_iter().collect();
                assert_eq!((all.len(), &all), (n_rows, &market.shown(live)));
            }
        }
    }
}

#[test]
fn other_views_have_no_live_rows() {
    let market = Market::new();
    assert!(market.hub.live_rows(0).is_none());
    assert!(market.hub.attach_live(1, true).is_none());
    assert!(market.hub.live_schema(0).is_none());
}
