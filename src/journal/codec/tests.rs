//! Events come back as they were written, whatever they are; what isn't whole is told.

use dataflows::inputs::Events;
use types::relations::{Fill, FillKind, Liquidity, Quote, Settlement, Side, Trade};
use types::{AssetId, EventId, Money, Price, Row, Size, Sym, Value, VenueTime};

use super::*;

/// Small numbers that look random, the same in every run.
struct Chance(u64);

impl Chance {
    fn number(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.number() % n
    }

    /// Often the same few, often next to each other, sometimes any, sometimes at an end.
    fn u64(&mut self) -> u64 {
        match self.below(6) {
            0 => [0, 1, u64::MAX, u64::MAX / 2, u64::MAX / 2 + 1][self.pick(5)],
            1 => self.number(),
            2 => self.number() >> self.below(64),
            _ => 1_000 + self.below(4),
        }
    }

    fn pick(&mut self, n: u64) -> usize {
        usize::try_from(self.below(n)).unwrap()
    }

    fn i64(&mut self) -> i64 {
        let n = self.u64().cast_signed();
        // Whole billionths of money are written in another way.
        if self.below(3) == 0 { (n % 9_000_000_000) * 1_000_000_000 } else { n }
    }

    fn i128(&mut self) -> i128 {
        match self.below(8) {
            0 => [i128::MIN, i128::MAX, 1 << 64, -(1 << 63), (1 << 63) - 1, -1][self.pick(6)],
            1 => i128::from(self.i64()) * i128::from(self.i64()),
            _ => self.i64().into(),
        }
    }

    fn maybe<T>(&mut self, of: impl Fn(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| of(self))
    }

    fn sym(&mut self) -> Sym {
        Sym::from_index(u32::try_from(self.u64() >> 33).unwrap())
    }

    fn asset(&mut self) -> AssetId {
        AssetId(u32::try_from(self.u64() >> 32).unwrap())
    }

    fn id(&mut self) -> EventId {
        EventId::from_raw(self.i128().cast_unsigned())
    }

    fn price(&mut self) -> Price {
        let raw = self.i64().clamp(-Price::MAX_RAW, Price::MAX_RAW);
        Price::from_nano(raw.into()).unwrap()
    }

    fn size(&mut self) -> Size {
        Size::from_nano(self.i128().clamp(-Size::MAX_RAW, Size::MAX_RAW)).unwrap()
    }

    fn money(&mut self) -> Money {
        Money::from_raw(self.i128())
    }

    fn time(&mut self) -> VenueTime {
        VenueTime::from_nanos(self.i64())
    }

    fn side(&mut self) -> Side {
        [Side::Buy, Side::Sell][self.pick(2)]
    }

    fn events<R>(&mut self, n: u64, row: impl Fn(&mut Self) -> R) -> Vec<Event<R>> {
        let event = |_| {
            let op = [Op::Insert, Op::Correct, Op::Bust][self.pick(3)];
            let (revision, is_first) = (self.maybe(Self::u64).unwrap_or(0), self.below(2) == 0);
            Event { op, revision, is_first, row: row(self) }
        };
        (0..n).map(event).collect()
    }

    fn fill(&mut self) -> Fill {
        Fill {
            wallet: self.sym(),
            asset: self.asset(),
            id: self.id(),
            market: self.maybe(Self::sym),
            side: self.side(),
            price: self.maybe(Self::price),
            size: self.size(),
            notional: self.maybe(Self::money),
            fee: self.maybe(Self::money),
            fee_asset: self.maybe(Self::sym),
            fee_counts: self.below(2) == 0,
            kind: FillKind::from_place(u8::try_from(self.below(8)).unwrap()).unwrap(),
            liquidity: self.maybe(|c| [Liquidity::Maker, Liquidity::Taker][c.pick(2)]),
            order_id: self.maybe(Self::sym),
            start_qty: self.maybe(Self::size),
            event_time: self.time(),
            seq: self.u64(),
            revision: self.u64(),
        }
    }

    fn trade(&mut self) -> Trade {
        Trade {
            asset: self.asset(),
            id: self.id(),
            market: self.maybe(Self::sym),
            price: self.price(),
            size: self.size(),
            side: self.maybe(Self::side),
            maker_wallet: self.maybe(Self::sym),
            taker_wallet: self.maybe(Self::sym),
            event_time: self.time(),
            seq: self.u64(),
            revision: self.u64(),
        }
    }

    fn quote(&mut self) -> Quote {
        Quote {
            asset: self.asset(),
            market: self.maybe(Self::sym),
            bid: self.maybe(Self::price),
            bid_size: self.maybe(Self::size),
            ask: self.maybe(Self::price),
            ask_size: self.maybe(Self::size),
            event_time: self.time(),
            seq: self.u64(),
        }
    }

    fn settlement(&mut self) -> Settlement {
        Settlement {
            asset: self.asset(),
            payout: self.price(),
            event_time: self.time(),
            revision: self.u64(),
        }
    }

    fn row(&mut self) -> Row {
        let text = "x".repeat(self.pick(300));
        Row([Value::Text(text.into()), self.u64().into(), self.time().into()].into())
    }

    /// Events of any relation, with the digests of their contents.
    fn any(&mut self) -> (Events, Vec<u128>) {
        let n = self.below(40);
        let events = match self.below(5) {
            0 => Events::Fills(self.events(n, Self::fill)),
            1 => Events::Trades(self.events(n, Self::trade)),
            2 => Events::Quotes(self.events(n, Self::quote)),
            3 => Events::Settlements(self.events(n, Self::settlement)),
            _ => Events::Rows(self.events(n, Self::row)),
        };
        let contents = (0..n).map(|_| match self.below(3) {
            0 => self.i128().cast_unsigned(),
            _ => u128::from(self.u64() >> 32),
        });
        let contents = contents.collect();
        (events, contents)
    }
}

fn part_of(events: &Events, contents: &[u128], first: usize) -> EventsPart {
    let (mut bytes, schema) = (Vec::new(), Settlement::schema());
    let encoded = encode(events, contents, (first, &schema), &mut bytes);
    let [n_events, n_revising] =
        [encoded.n_events, encoded.n_revising].map(|n| u32::try_from(n).unwrap());
    EventsPart { epoch: 1, relation: 0, n_events, n_revising, bytes }
}

#[test]
fn events_come_back_as_they_were() {
    for seed in 0..3_000 {
        let mut chance = Chance(seed);
        let (events, contents) = chance.any();
        let part = part_of(&events, &contents, 0);
        let (mut back, mut digests) = (events.clone(), contents.clone());
        // Behind others: a part depends on nothing before it.
        decode(&mut back, &mut digests, &part).unwrap_or_else(|| panic!("seed {seed}"));
        let (mut twice, twice_contents) = (events.clone(), [contents.clone(), contents].concat());
        twice.append(events);
        assert_eq!((back, digests), (twice, twice_contents), "seed {seed}");
    }
}

#[test]
fn what_is_not_whole_is_told() {
    for seed in 0..3_000 {
        let mut chance = Chance(seed);
        let (events, contents) = chance.any();
        let part = part_of(&events, &contents, 0);
        let mut damaged = part.clone();
        match chance.below(3) {
            0 if !part.bytes.is_empty() => {
                damaged.bytes.truncate(chance.pick(u64::try_from(part.bytes.len()).unwrap()));
            }
            1 => damaged.bytes.push(0),
            _ => damaged.n_events += 1,
        }
        let (mut back, mut digests) = (events.clone(), contents.clone());
        assert_eq!(decode(&mut back, &mut digests, &damaged), None, "seed {seed}");
        // Whatever its bytes are it is read or told; the log's checksums see to it that they aren't.
        for byte in &mut damaged.bytes {
            if chance.below(20) == 0 {
                *byte ^= u8::try_from(1 + chance.below(255)).unwrap();
            }
        }
        decode(&mut back, &mut digests, &damaged);
    }
}

/// What MarketMark's fills take: the log's cost goes by its bytes.
#[test]
fn a_plain_fill_is_short() {
    let mut chance = Chance(7);
    let fill = |chance: &mut Chance, n: u64| Fill {
        wallet: Sym::from_index(u32::try_from(chance.below(60_000)).unwrap()),
        asset: AssetId(u32::try_from(chance.below(2_000)).unwrap()),
        id: EventId::of_number(n),
        price: Price::from_nano(i128::from(chance.below(1_000_000)) * 1_000),
        size: Size::from_nano(i128::from(chance.below(500_000_000)) * 1_000).unwrap(),
        fee: Some(Money::from_raw(i128::from(chance.below(5_000)) * 1_000_000_000_000)),
        event_time: VenueTime::from_nanos(1_767_268_800_000_000_000)
            .less(-i64::try_from(n * 20_000_000 + chance.below(9_000_000)).unwrap()),
        seq: n,
        revision: 0,
        market: None,
        notional: None,
        fee_asset: None,
        fee_counts: true,
        kind: FillKind::Trade,
        liquidity: None,
        order_id: None,
        start_qty: None,
        side: chance.side(),
    };
    let rows: Vec<Fill> = (0..1_000).map(|n| fill(&mut chance, n)).collect();
    let event = |row| Event { op: Op::Insert, revision: 0, is_first: true, row };
    let events: Vec<Event<Fill>> = rows.into_iter().map(event).collect();
    let contents: Vec<u128> = events.iter().map(|_| chance.below(1 << 32).into()).collect();
    let n_bytes = part_of(&Events::Fills(events), &contents, 0).bytes.len();
    assert!(n_bytes <= 38 * 1_000, "{n_bytes} bytes for 1,000 fills");
}
