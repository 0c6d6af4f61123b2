//! Rows as JSON against the slow writer that goes through values and `fmt`, for each built-in relation.

use proptest::prelude::*;

use super::*;
use crate::cell::Cell;
use crate::fixed::{Money, Price, Size};
use crate::id::{AssetId, EventId, Sym};
use crate::names::Interner;
use crate::number::Decimal;
use crate::relations::{
    Alert, AlertState, Bar, Basis, Break, Fill, FillKind, FoldError, Liquidity, Pnl, PnlNow,
    Position, PositionPnl, Quote, RareSums, Settlement, Severity, Side, Trade,
};
use crate::time::VenueTime;
use crate::value::Text;

fn slow_value(out: &mut Vec<u8>, value: &Value) {
    let text = match value {
        Value::Null => return out.extend_from_slice(b"null"),
        Value::Bool(bool) => return out.extend_from_slice(bool.to_string().as_bytes()),
        Value::Float(float) => return serde_json::to_writer(out, &float.get()).unwrap(),
        Value::Number(number) => slow_number(*number),
        Value::Time(time) => {
            format!("{:.9}", jiff::Timestamp::from_nanosecond(time.nanos().into()).unwrap())
        }
        Value::Text(text) => text.to_string(),
    };
    serde_json::to_writer(out, &text).unwrap();
}

/// The digits with a point put between them.
fn slow_number(number: Decimal) -> String {
    let scale = usize::from(number.scale());
    let mut text = format!("{:01$}", number.mantissa().unsigned_abs(), scale + 1);
    if scale > 0 {
        text.insert(text.len() - scale, '.');
    }
    format!("{}{text}", if number.is_negative() { "-" } else { "" })
}

fn slow_columns<R: Relation>(row: &R, schema: &Schema, n_columns: usize, names: &Names) -> String {
    let mut out = b"{".to_vec();
    for (index, column) in schema.columns.iter().take(n_columns).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, column.name.as_ref()).unwrap();
        out.push(b':');
        slow_value(&mut out, &row.column(index, names));
    }
    out.push(b'}');
    String::from_utf8(out).unwrap()
}

fn check<R: Relation>(row: &R, schema: &Schema, names: &Names) {
    let (mut line, mut key) = (Vec::new(), Vec::new());
    write_row(&mut line, row, schema, names);
    write_key(&mut key, row, schema, names);
    assert_eq!(
        String::from_utf8_lossy(&line),
        slow_columns(row, schema, schema.columns.len(), names)
    );
    assert_eq!(String::from_utf8_lossy(&key), slow_columns(row, schema, schema.n_key, names));
    assert!(line.starts_with(&key[..key.len() - 1]), "the key's text starts the row's");
    for index in 0..=schema.columns.len() {
        let value = row.column(index, names);
        assert_eq!(Value::from(row.cell(index, names)), value);
        assert_eq!(Value::from(Cell::from(&value)), value);
    }
}

/// What rows are made of.
#[derive(Clone, Debug)]
struct Parts {
    /// Of any size, with zeros at the end now and then.
    raws: Vec<i128>,
    times: Vec<i64>,
    counts: Vec<u64>,
    texts: Vec<String>,
    picks: Vec<bool>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let raw = (any::<i128>(), 0u32..127, 0u32..20)
        .prop_map(|(raw, shift, zeros)| (raw >> shift) / 10i128.pow(zeros) * 10i128.pow(zeros));
    let raw = prop_oneof![4 => raw, 1 => Just(0), 1 => Just(i128::MAX), 1 => Just(i128::MIN)];
    (
        prop::collection::vec(raw, 12),
        prop::collection::vec(any::<i64>(), 3),
        prop::collection::vec(any::<u64>(), 3),
        prop::collection::vec("[a-c0\"\\\\\n\u{e9} ]{0,12}", 5),
        prop::collection::vec(any::<bool>(), 6),
    )
        .prop_map(|(raws, times, counts, texts, picks)| Parts {
            raws,
            times,
            counts,
            texts,
            picks,
        })
}

impl Parts {
    fn money(&self, index: usize) -> Money {
        Money::from_raw(self.raws[index])
    }

    fn size(&self, index: usize) -> Size {
        Size::from_nano(self.raws[index]).unwrap_or_default()
    }

    fn price(&self, index: usize) -> Price {
        Price::from_nano(self.raws[index]).unwrap_or_default()
    }

    fn time(&self, index: usize) -> VenueTime {
        VenueTime::from_nanos(self.times[index])
    }

    fn maybe<T>(&self, index: usize, value: T) -> Option<T> {
        self.picks[index].then_some(value)
    }

    fn check_ledger(&self, (wallet, asset, id): (Sym, AssetId, EventId), names: &Names) {
        let rare = RareSums {
            funding: self.money(4),
            unmatched_size: self.size(5),
            unknown_closed: self.money(6),
        };
        let position = Position {
            wallet,
            asset,
            market: self.maybe(0, wallet),
            qty: self.size(0),
            cost: self.money(1),
            realized_pnl: self.money(2),
            fees: self.money(3),
            n_fills: self.counts[0],
            basis: if self.picks[1] { Basis::Known } else { Basis::Unknown },
            updated_at: self.time(0),
            rare: rare.kept(),
        };
        check(&position, &Position::schema(), names);
        let (reason, event_time) = (Text::from(self.texts[3].as_str()), self.time(1));
        check(&FoldError { wallet, asset, id, reason, event_time }, &FoldError::schema(), names);
        let (expected, stated) = (self.size(7), self.size(8));
        check(&Break { wallet, asset, id, expected, stated, event_time }, &Break::schema(), names);
        let pnl = Pnl {
            wallet,
            snapshot: self.time(2),
            realized_pnl: self.money(0),
            unrealized_pnl: self.money(1),
            fees: self.money(2),
            funding: self.money(3),
            total_pnl: self.money(4),
            exposure: self.money(5),
            n_positions: self.counts[1],
            n_unmarked: self.counts[2],
        };
        check(&pnl, &Pnl::schema(), names);
        let at = PositionPnl {
            wallet,
            asset,
            snapshot: self.time(0),
            qty: self.size(1),
            avg_price: self.maybe(0, self.price(2)),
            mark: self.maybe(1, self.money(3)),
            mark_time: self.maybe(2, self.time(1)),
            unrealized_pnl: self.maybe(3, self.money(4)),
            realized_pnl: self.money(5),
            fees: self.money(6),
            funding: self.money(7),
            total_pnl: self.maybe(4, self.money(8)),
        };
        check(&at, &PositionPnl::schema(), names);
        check(&PnlNow { wallet, asset, at }, &PnlNow::schema(), names);
    }

    fn check_market(&self, (wallet, asset, id): (Sym, AssetId, EventId), names: &Names) {
        let (seq, revision) = (self.counts[0], self.counts[1]);
        let (event_time, market) = (self.time(0), self.maybe(0, wallet));
        let side = if self.picks[1] { Side::Buy } else { Side::Sell };
        let fill = Fill {
            wallet,
            asset,
            id,
            market,
            side,
            price: self.maybe(2, self.price(0)),
            size: self.size(1),
            notional: self.maybe(3, self.money(2)),
            fee: self.maybe(4, self.money(3)),
            fee_asset: self.maybe(5, wallet),
            fee_counts: self.picks[0],
            kind: FillKind::Liquidation,
            liquidity: self.maybe(1, Liquidity::Taker),
            order_id: self.maybe(0, wallet),
            start_qty: self.maybe(2, self.size(4)),
            event_time,
            seq,
            revision,
        };
        check(&fill, &Fill::schema(), names);
        let trade = Trade {
            asset,
            id,
            market,
            price: self.price(0),
            size: self.size(1),
            side: self.maybe(3, side),
            maker_wallet: self.maybe(4, wallet),
            taker_wallet: None,
            event_time,
            seq,
            revision,
        };
        check(&trade, &Trade::schema(), names);
    }

    fn check_others(&self, (wallet, asset): (Sym, AssetId), names: &Names) {
        let (seq, revision) = (self.counts[0], self.counts[1]);
        let (event_time, market) = (self.time(0), self.maybe(0, wallet));
        let quote = Quote {
            asset,
            market,
            bid: self.maybe(1, self.price(2)),
            bid_size: self.maybe(2, self.size(3)),
            ask: self.maybe(3, self.price(4)),
            ask_size: self.maybe(4, self.size(5)),
            event_time,
            seq,
        };
        check(&quote, &Quote::schema(), names);
        let payout = self.price(6);
        check(&Settlement { asset, payout, event_time, revision }, &Settlement::schema(), names);
        let bar = Bar {
            asset,
            size: crate::ShortText::new("15m").unwrap(),
            bucket: self.time(1),
            open: self.price(0),
            high: self.price(1),
            low: self.price(2),
            close: self.price(3),
            volume: self.size(4),
            notional: self.money(5),
            n_trades: self.counts[2],
            is_final: self.picks[2],
        };
        check(&bar, &Bar::schema(), names);
        let alert = Alert {
            rule: Text::Word("rule"),
            entity: Text::from(self.texts[4].as_str()),
            time: self.time(0),
            id: Text::from(self.texts[3].as_str()),
            severity: Severity::High,
            state: AlertState::Firing,
            resolved_at: self.maybe(3, self.time(1)),
            message: Text::from(self.texts[2].as_str()),
        };
        check(&alert, &Alert::schema(), names);
        let (mut row, mut retracted) = (Vec::new(), Vec::new());
        write_row(&mut row, &alert, &Alert::schema(), names);
        write_retracted(&mut retracted, &alert, &Alert::schema(), names);
        let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        let mut expected = read(&row);
        expected["state"] = "retracted".into();
        assert_eq!(read(&retracted), expected);
        assert_eq!(retracted.len(), row.len() + "retracted".len() - "firing".len());
        assert_eq!((Alert::of(&alert), Alert::of(&bar)), (Some(&alert), None));
    }
}

proptest! {
    #[test]
    fn rows_are_those_of_the_slow_writer(parts in parts()) {
        let mut interner = Interner::new(parts.picks[5]);
        let wallet = interner.sym(&parts.texts[0]);
        let asset = interner.asset(&parts.texts[1], &parts.texts[2]);
        let id = interner.event_id(&parts.texts[4]);
        parts.check_ledger((wallet, asset, id), interner.names());
        parts.check_market((wallet, asset, id), interner.names());
        parts.check_others((wallet, asset), interner.names());
    }
}
