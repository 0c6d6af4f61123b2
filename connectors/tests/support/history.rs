//! Random histories of views, and the plain state that they lead to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::dice::Dice;
use types::relations::{Bar, Basis, Position, RareSums, Relation, RelationKind};
use types::value::Float;
use types::{
    AssetId, Changes, Column, Decimal, Epoch, Interner, Kind, Money, Names, Price, Row, Schema,
    ShortText, Size, Sym, Text, Value, VenueTime, json,
};

/// What happened to three views, and what they hold in the end.
pub(crate) struct History {
    /// The dictionary of the rows.
    pub(crate) names: Arc<Names>,
    /// The changes of each epoch, in the order of [`views`].
    pub(crate) epochs: Vec<(Epoch, Vec<Arc<Changes>>)>,
    /// For each view its rows' JSON text by their key's text.
    pub(crate) state: Vec<BTreeMap<String, String>>,
}

/// The views of a history: built-in ones, one of them cut into months, and one with all kinds.
pub(crate) fn views() -> Vec<(&'static str, RelationKind, Arc<Schema>)> {
    vec![
        ("positions", RelationKind::Positions, Position::schema().shared()),
        ("bars.all", RelationKind::Bars, Bar::schema().shared()),
        ("declared", RelationKind::Rows, declared().shared()),
    ]
}

const WORDS: &[&str] = &["low", "it's high"];

fn declared() -> Schema {
    let column = |name, kind, nullable| Column { name: Cow::Borrowed(name), kind, nullable };
    let columns = vec![
        column("name", Kind::Text, false),
        column("at", Kind::Time, false),
        column("score", Kind::Float, true),
        column("flag", Kind::Bool, true),
        column("word", Kind::Word(WORDS), true),
        column("number", Kind::Number, true),
        column("n", Kind::Count, true),
        column("group", Kind::Name, true),
        column("note", Kind::Text, true),
        column("since", Kind::Time, true),
    ];
    Schema { columns, n_key: 2, time: Some(1) }
}

impl Dice {
    fn signed(&mut self, below: u64) -> i128 {
        i128::from(self.below(2 * below)) - i128::from(below)
    }
}

/// Makes a history of this many epochs over this many keys a view.
pub(crate) fn history(seed: u64, n_epochs: u64, n_keys: u64) -> History {
    let mut dice = Dice(seed);
    let mut interner = Interner::new(false);
    // Interned in an order that isn't the texts' own.
    let syms: Vec<Sym> = (0..n_keys).map(|i| interner.sym(&format!("w{}", i * 7 % 1000))).collect();
    let assets: Vec<AssetId> = (0..5)
        .map(|i| interner.asset(["venue", "v\"2\u{e9}"][i % 2], &format!("asset {}", 9 - i)))
        .collect();
    let names = Arc::clone(interner.names());
    let mut positions = View::new(Position::schema());
    let mut bars = View::new(Bar::schema());
    let mut rows = View::new(declared());
    let mut epochs = Vec::new();
    for epoch in 0..n_epochs {
        let n_touched = dice.below(n_keys + 1);
        for _ in 0..n_touched {
            let key = dice.below(n_keys);
            let index = usize::try_from(key).expect("histories are small");
            let (sym, asset) = (syms[index], assets[index % assets.len()]);
            match dice.below(9) {
                0..3 => positions.put(position(&mut dice, sym, asset)),
                3..5 => bars.put(bar(&mut dice, key, asset)),
                5..7 => rows.put(row(&mut dice, key)),
                7 => positions.delete(&mut dice),
                _ => {
                    bars.delete(&mut dice);
                    rows.delete(&mut dice);
                }
            }
        }
        let changes = vec![
            Arc::new(Changes::Positions(positions.epoch())),
            Arc::new(Changes::Bars(bars.epoch())),
            Arc::new(Changes::Rows(rows.epoch())),
        ];
        epochs.push((Epoch(epoch * 2 + 1), changes));
    }
    let state = vec![positions.texts(&names), bars.texts(&names), rows.texts(&names)];
    History { names, epochs, state }
}

struct View<R: Relation> {
    schema: Schema,
    rows: BTreeMap<R::Key, R>,
    changes: Vec<(R, isize)>,
}

impl<R: Relation> View<R> {
    const fn new(schema: Schema) -> Self {
        Self { schema, rows: BTreeMap::new(), changes: Vec::new() }
    }

    fn put(&mut self, row: R) {
        self.changes.push((row.clone(), 1));
        if let Some(old) = self.rows.insert(row.key(&self.schema), row) {
            self.changes.push((old, -1));
        }
    }

    fn delete(&mut self, dice: &mut Dice) {
        let n_rows = u64::try_from(self.rows.len()).expect("histories are small");
        if n_rows == 0 {
            return;
        }
        let index = usize::try_from(dice.below(n_rows)).expect("histories are small");
        let key = self.rows.keys().nth(index).expect("histories are small").clone();
        self.changes.push((self.rows.remove(&key).expect("histories are small"), -1));
    }

    fn epoch(&mut self) -> Vec<(R, isize)> {
        let mut changes = std::mem::take(&mut self.changes);
        types::changes::adjoin(&mut changes, &self.schema);
        changes
    }

    fn texts(&self, names: &Names) -> BTreeMap<String, String> {
        let text = |row: &R| {
            let (mut key, mut text) = (Vec::new(), Vec::new());
            json::write_key(&mut key, row, &self.schema, names);
            json::write_row(&mut text, row, &self.schema, names);
            (
                String::from_utf8(key).expect("histories are small"),
                String::from_utf8(text).expect("histories are small"),
            )
        };
        self.rows.values().map(text).collect()
    }
}

fn position(dice: &mut Dice, wallet: Sym, asset: AssetId) -> Position {
    let knows = dice.below(4) > 0;
    let rare = RareSums {
        funding: Money::ZERO,
        unmatched_size: Size::from_nano(Size::MAX_RAW - i128::from(dice.below(3)))
            .expect("histories are small"),
        unknown_closed: Money::from_nano(dice.signed(9)).expect("histories are small"),
    };
    Position {
        wallet,
        asset,
        market: (dice.below(2) == 0).then_some(wallet),
        qty: Size::from_nano(dice.signed(1 << 60)).expect("histories are small"),
        cost: Money::from_nano(dice.signed(1 << 30)).expect("histories are small"),
        realized_pnl: Money::from_raw(dice.signed(1 << 60)),
        fees: Money::from_nano(dice.signed(1 << 40)).expect("histories are small"),
        n_fills: dice.below(u64::MAX),
        basis: if knows { Basis::Known } else { Basis::Unknown },
        updated_at: time(dice),
        rare: rare.kept(),
    }
}

fn bar(dice: &mut Dice, key: u64, asset: AssetId) -> Bar {
    let minute = i64::try_from(key % 3 * 40_000 + key / 3).expect("histories are small");
    let mut price = || Price::from_nano(dice.signed(1 << 50)).expect("histories are small");
    let (open, high, low, close) = (price(), price(), price(), price());
    Bar {
        asset,
        size: ShortText::new("1m").expect("it is short"),
        // From one key to the next nearly a month: some partitions.
        bucket: VenueTime::from_nanos((28_000_000 + minute) * 60_000_000_000),
        open,
        high,
        low,
        close,
        volume: Size::from_nano(i128::from(dice.below(3)) * 1_000_000_000)
            .expect("histories are small"),
        notional: Money::from_nano(dice.signed(1 << 40)).expect("histories are small"),
        n_trades: dice.below(1000),
        is_final: dice.below(2) == 0,
    }
}

fn row(dice: &mut Dice, key: u64) -> Row {
    fn maybe(dice: &mut Dice, value: Value) -> Value {
        if dice.below(3) == 0 { Value::Null } else { value }
    }
    let at = VenueTime::from_nanos(
        1_700_000_000_000_000_000
            + i64::try_from(key % 3 * 20).expect("histories are small") * 86_400_000_000_000,
    );
    // Never whole: there ClickHouse leaves `.0` out.
    let sevenths = u32::try_from(dice.below(1 << 27) * 7 + 1).expect("histories are small");
    let float = Float::new(f64::from(sevenths) / 7.0).expect("histories are small");
    let values = [
        Value::Float(float),
        Value::Bool(dice.below(2) == 0),
        Value::word(WORDS[usize::try_from(dice.below(2)).expect("histories are small")]),
        Value::Number(Decimal::new(dice.signed(1 << 62), 9)),
        Value::from(dice.below(u64::MAX)),
        Value::Text(Text::from("gr\u{fc}n")),
        Value::Text(Text::from("tab\t quote\" back\\ line\n".repeat(9))),
        Value::Time(time(dice)),
    ];
    let key = [Value::Text(Text::from(format!("name {key}"))), Value::Time(at)];
    let values: Vec<Value> = values.into_iter().map(|value| maybe(dice, value)).collect();
    Row(key.into_iter().chain(values).collect())
}

fn time(dice: &mut Dice) -> VenueTime {
    VenueTime::from_nanos(
        1_600_000_000_000_000_000
            + i64::try_from(dice.below(1 << 60)).expect("histories are small"),
    )
}
