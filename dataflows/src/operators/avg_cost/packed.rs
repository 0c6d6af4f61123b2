//! How an entry is kept: 44 bytes a fill.
//!
//! Numbers that don't fit 64 bits, stated quantities and the like are kept whole, aside; so are ids
//! that are text.

use types::relations::{Fill, FillKind, Side};
use types::sabotage::{Safeguard, is_out};
use types::{EventId, Money, Price, Size, Sym, VenueTime};

use super::entry::{Entry, LedgerEvent, Movement, Order, Worth};

/// An entry as it is kept. `repr(packed)` so that a log's link fits into what would be padding.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(super) struct Packed {
    time: i64,
    /// The id; or its number among those aside, if `WIDE_ID`.
    id: u64,
    /// Units of 1e-9; or the entry's number among those aside, if `WIDE`.
    size: i64,
    /// Price or notional, in units of 1e-9.
    worth: i64,
    /// 48 bits of `seq` over 16 of flags.
    seq_and_flags: u64,
    /// The fee in units of 1e-9 times a power of ten, which the flags say.
    fee: i32,
}

/// A trade in ordinary numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub(super) time: VenueTime,
    pub(super) is_buy: bool,
    /// In units of 1e-9.
    pub(super) size: i64,
    /// What it is worth, in units of 1e-18.
    pub(super) value: i128,
    /// In units of 1e-18; zero where there is none.
    pub(super) fee: i128,
    pub(super) market: Option<Sym>,
}

/// What doesn't fit [`Packed`], by number.
#[derive(Default)]
pub(super) struct Aside {
    entries: Numbered<Option<Box<Entry>>>,
    ids: Numbered<EventId>,
}

/// Things by number; numbers that are free again are used first.
struct Numbered<T> {
    things: Vec<T>,
    free: Vec<u64>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { things: Vec::new(), free: Vec::new() }
    }
}

impl<T> Numbered<T> {
    fn add(&mut self, thing: T) -> u64 {
        if let Some(number) = self.free.pop() {
            self.things[index(number)] = thing;
            return number;
        }
        self.things.push(thing);
        u64::try_from(self.things.len() - 1).unwrap_or(u64::MAX)
    }

    fn get(&self, number: u64) -> &T {
        &self.things[index(number)]
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const SELL: u64 = 1;
const KIND_SHIFT: u32 = 1;
const KIND_MASK: u64 = 0b111;
const HAS_PRICE: u64 = 1 << 4;
const HAS_NOTIONAL: u64 = 1 << 5;
const HAS_MARKET: u64 = 1 << 6;
const WIDE_ID: u64 = 1 << 7;
const SETTLES: u64 = 1 << 8;
const WIDE: u64 = 1 << 9;
/// The power of ten of the fee, and one; zero where there is no fee.
const FEE_SHIFT: u32 = 10;
const FEE_MASK: u64 = 0b1111;
const FLAGS: u32 = 16;

/// The kinds by their number in the flags.
const KINDS: [FillKind; 8] = [
    FillKind::Trade,
    FillKind::Liquidation,
    FillKind::Redeem,
    FillKind::Split,
    FillKind::Merge,
    FillKind::Transfer,
    FillKind::Funding,
    FillKind::Convert,
];

const fn number_of(kind: FillKind) -> u64 {
    match kind {
        FillKind::Trade => 0,
        FillKind::Liquidation => 1,
        FillKind::Redeem => 2,
        FillKind::Split => 3,
        FillKind::Merge => 4,
        FillKind::Transfer => 5,
        FillKind::Funding => 6,
        FillKind::Convert => 7,
    }
}

/// The kinds that have rules of their own, a bit each: redeem, transfer, funding.
const ODD_KINDS: u64 = 1 << number_of(FillKind::Redeem)
    | 1 << number_of(FillKind::Transfer)
    | 1 << number_of(FillKind::Funding);

/// Units of 1e-18 in one of 1e-9.
const NANO: i64 = 1_000_000_000;

/// Powers of ten that a fee may be scaled by.
const POWERS: [i64; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

impl Packed {
    /// Packs an entry; the market that most of a key's fills name is kept with the key.
    pub(super) fn of(entry: &Entry, market: &mut Option<Sym>, aside: &mut Aside) -> Self {
        Self::narrow(entry, market, aside).unwrap_or_else(|| Self::wide_of(entry, aside))
    }

    /// Packs a fill.
    #[inline]
    pub(super) fn of_fill(fill: &Fill, market: &mut Option<Sym>, aside: &mut Aside) -> Self {
        // Nothing takes a reference to this entry, so that it never comes about.
        let packed = Self::narrow(&Entry::of_fill(fill), market, aside);
        packed.unwrap_or_else(|| Self::wide_of_fill(fill, aside))
    }

    #[cold]
    fn wide_of_fill(fill: &Fill, aside: &mut Aside) -> Self {
        Self::wide_of(&Entry::of_fill(fill), aside)
    }

    /// Keeps an entry whole, aside.
    fn wide_of(entry: &Entry, aside: &mut Aside) -> Self {
        let number = aside.entries.add(Some(Box::new(entry.clone())));
        let size = i64::try_from(number).unwrap_or(i64::MAX);
        let time = entry.time.nanos();
        Self { time, id: 0, size, worth: 0, seq_and_flags: WIDE, fee: 0 }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "what it reads is put together for it alone")]
    fn narrow(entry: &Entry, market: &mut Option<Sym>, aside: &mut Aside) -> Option<Self> {
        let seq = entry
            .seq
            .checked_shl(FLAGS)
            .filter(|seq| seq >> FLAGS == entry.seq || is_out(Safeguard::PackedSeq))?;
        let time = entry.time.nanos();
        let movement = match &entry.event {
            LedgerEvent::Fill(movement) => movement,
            LedgerEvent::Settle(payout) => {
                let seq_and_flags = seq | SETTLES;
                let worth = payout.raw();
                return Some(Self { time, id: 0, size: 0, worth, seq_and_flags, fee: 0 });
            }
        };
        let mut flags = number_of(movement.kind) << KIND_SHIFT;
        if movement.start_qty.is_some() && !is_out(Safeguard::PackedStated) {
            return None;
        }
        if movement.side == Side::Sell {
            flags |= SELL;
        }
        if movement.market.is_some() {
            *market = market.or(movement.market);
            if movement.market != *market && !is_out(Safeguard::PackedMarket) {
                return None;
            }
            flags |= HAS_MARKET;
        }
        let cut = is_out(Safeguard::PackedSize).then_some(i64::MAX);
        let size = i64::try_from(movement.size.raw()).ok().or(cut)?;
        let worth = match movement.worth {
            Worth::Unstated => 0,
            Worth::Price(price) => {
                flags |= HAS_PRICE;
                price.raw()
            }
            Worth::Notional(notional) => {
                flags |= HAS_NOTIONAL;
                nanos(notional)?
            }
        };
        let fee = match movement.fee {
            None => 0,
            Some(fee) => {
                let (fee, power) = scaled(nanos(fee)?)?;
                flags |= (power + 1) << FEE_SHIFT;
                fee
            }
        };
        let id = if let Ok(id) = u64::try_from(entry.id.raw()) {
            id
        } else {
            flags |= WIDE_ID;
            aside.ids.add(entry.id)
        };
        Some(Self { time, id, size, worth, seq_and_flags: seq | flags, fee })
    }

    /// The entry that was packed.
    pub(super) fn entry(self, market: Option<Sym>, aside: &Aside) -> Entry {
        let flags = self.seq_and_flags;
        if let Some(entry) = self.wide(aside) {
            return entry.clone();
        }
        let (time, seq) = (self.time(), flags >> FLAGS);
        if flags & SETTLES != 0 {
            let payout = Price::from_nano(self.worth.into()).unwrap_or_default();
            return Entry { time, seq, id: EventId::NONE, event: LedgerEvent::Settle(payout) };
        }
        let worth = match flags & (HAS_PRICE | HAS_NOTIONAL) {
            HAS_PRICE => Worth::Price(Price::from_nano(self.worth.into()).unwrap_or_default()),
            HAS_NOTIONAL => Worth::Notional(Money::of_nanos(self.worth)),
            _ => Worth::Unstated,
        };
        let fee = index((flags >> FEE_SHIFT) & FEE_MASK);
        let movement = Movement {
            kind: KINDS[index((flags >> KIND_SHIFT) & KIND_MASK)],
            side: if flags & SELL != 0 { Side::Sell } else { Side::Buy },
            size: Size::of_nanos(self.size),
            worth,
            fee: (fee > 0).then(|| Money::of_nanos(i64::from(self.fee) * POWERS[fee - 1])),
            start_qty: None,
            market: market.filter(|_| flags & HAS_MARKET != 0),
        };
        Entry { time, seq, id: self.id(aside), event: LedgerEvent::Fill(movement) }
    }

    /// What the short way folds; `None` for what it leaves to the rules.
    #[inline]
    pub(super) fn plain(&self, market: Option<Sym>) -> Option<Plain> {
        let flags = self.seq_and_flags;
        let is_odd = (ODD_KINDS >> ((flags >> KIND_SHIFT) & KIND_MASK)) & 1 != 0;
        if flags & (WIDE | SETTLES) != 0 || (is_odd && !is_out(Safeguard::PlainKind)) {
            return None;
        }
        // 64 x 64 bits can't overflow.
        let value = match flags & (HAS_PRICE | HAS_NOTIONAL) {
            HAS_PRICE => i128::from(self.worth).wrapping_mul(self.size.into()),
            HAS_NOTIONAL => i128::from(self.worth).wrapping_mul(NANO.into()),
            _ => return None,
        };
        // Neither can a fee: it was a number of 64 bits before it was scaled.
        let power = POWERS[index((flags >> FEE_SHIFT) & FEE_MASK).saturating_sub(1)];
        let fee = i64::from(self.fee).wrapping_mul(power);
        Some(Plain {
            time: self.time(),
            is_buy: flags & SELL == 0,
            size: self.size,
            value,
            fee: i128::from(fee).wrapping_mul(NANO.into()),
            market: market.filter(|_| flags & HAS_MARKET != 0),
        })
    }

    /// Bytes outside memory.
    pub(super) const BYTES: usize = 44;

    /// Appends its bytes, the least first.
    pub(super) fn write(self, bytes: &mut Vec<u8>) {
        let Self { time, id, size, worth, seq_and_flags, fee } = self;
        bytes.extend_from_slice(&time.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&worth.to_le_bytes());
        bytes.extend_from_slice(&seq_and_flags.to_le_bytes());
        bytes.extend_from_slice(&fee.to_le_bytes());
    }

    /// The entry that was written.
    ///
    /// # Panics
    /// If these are fewer bytes.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let (words, fee) = bytes.split_at(Self::BYTES - 4);
        let mut words = words.as_chunks::<8>().0.iter().copied();
        let mut word = || words.next().map_or(0, u64::from_le_bytes);
        Self {
            time: word().cast_signed(),
            id: word(),
            size: word().cast_signed(),
            worth: word().cast_signed(),
            seq_and_flags: word(),
            fee: fee.first_chunk().copied().map_or(0, i32::from_le_bytes),
        }
    }

    /// Frees what is kept aside.
    pub(super) fn release(self, aside: &mut Aside) {
        if self.seq_and_flags & WIDE != 0 {
            let number = self.size.unsigned_abs();
            aside.entries.things[index(number)] = None;
            aside.entries.free.push(number);
        } else if self.seq_and_flags & WIDE_ID != 0 {
            aside.ids.free.push(self.id);
        }
    }

    pub(super) fn order(self, aside: &Aside) -> Order {
        let flags = self.seq_and_flags;
        if let Some(entry) = self.wide(aside) {
            return entry.order();
        }
        (self.time(), flags & SETTLES != 0, flags >> FLAGS, self.id(aside))
    }

    pub(super) fn time(self) -> VenueTime {
        VenueTime::from_nanos(self.time)
    }

    /// The id of the fill; `None` for a settlement.
    pub(super) fn identity(self, aside: &Aside) -> Option<u128> {
        let id = match self.wide(aside) {
            Some(entry) => entry.identity()?,
            None if self.seq_and_flags & SETTLES != 0 => return None,
            None => self.id(aside).raw(),
        };
        Some(id)
    }

    fn id(self, aside: &Aside) -> EventId {
        match self.seq_and_flags & (WIDE_ID | SETTLES) {
            0 => EventId::of_number(self.id),
            WIDE_ID => *aside.ids.get(self.id),
            _ => EventId::NONE,
        }
    }

    fn wide(self, aside: &Aside) -> Option<&Entry> {
        if self.seq_and_flags & WIDE == 0 {
            return None;
        }
        aside.entries.get(self.size.unsigned_abs()).as_deref()
    }
}

/// An amount in units of 1e-9, where that is exact and fits.
#[inline]
fn nanos(amount: Money) -> Option<i64> {
    if let Ok(raw) = i64::try_from(amount.raw()) {
        return (raw % NANO == 0).then_some(raw / NANO);
    }
    let raw = amount.raw();
    (raw % i128::from(NANO) == 0).then(|| i64::try_from(raw / i128::from(NANO)).ok())?
}

/// An integer of 32 bits and the power of ten that make a number.
fn scaled(mut nanos: i64) -> Option<(i32, u64)> {
    for power in 0..10 {
        if let Ok(small) = i32::try_from(nanos) {
            return Some((small, power));
        }
        if nanos % 10 != 0 {
            return None;
        }
        nanos /= 10;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn int() -> impl Strategy<Value = i128> {
        let edges = [0, 1, -1, i64::MAX, i64::MIN, i32::MAX.into(), 1 << 31].map(i128::from);
        let edge = prop::sample::select(edges.to_vec());
        prop_oneof![edge, -1000i128..1000, any::<i64>().prop_map(i128::from), any::<i128>()]
    }

    prop_compose! {
        fn entry()(
            n in prop::array::uniform5(int()),
            seq in prop_oneof![any::<u64>(), 0..5u64, Just(1 << 48), Just((1 << 48) - 1)],
            flags in prop::array::uniform7(0..8usize),
            id in prop_oneof![any::<u128>(), 0..9u128],
        ) -> Entry {
            let money = |raw: i128| {
                if flags[5] == 0 { Money::from_raw(raw) } else {
                    Money::from_nano(raw).unwrap_or(Money::ZERO)
                }
            };
            let size = |raw: i128| Size::from_nano(raw).unwrap_or(Size::ZERO);
            let price = Price::from_nano(n[0]).unwrap_or(Price::ZERO);
            let market = |n| Sym::from_index(n);
            let movement = Movement {
                kind: KINDS[flags[0]],
                side: if flags[1] % 2 == 0 { Side::Buy } else { Side::Sell },
                size: size(n[1]),
                worth: match flags[2] % 3 {
                    0 => Worth::Unstated,
                    1 => Worth::Price(price),
                    _ => Worth::Notional(money(n[2])),
                },
                fee: (flags[3] % 2 == 0).then(|| money(n[3])),
                start_qty: (flags[4] == 0).then(|| size(n[4])),
                market: [None, Some(market(1)), Some(market(2))][flags[6] % 3],
            };
            let event = LedgerEvent::Fill(movement);
            let id = EventId::new(&id.to_string());
            let time = VenueTime::from_nanos(i64::try_from(n[4]).unwrap_or(7));
            if flags[0] == 7 && flags[1] == 7 {
                let event = LedgerEvent::Settle(price);
                return Entry { time, seq: 0, id: EventId::NONE, event };
            }
            Entry { time, seq, id, event }
        }
    }

    /// Packs entries and unpacks them; what is freed is used again.
    fn check(entries: &[Entry]) {
        let (mut market, mut aside) = (None, Aside::default());
        let packed: Vec<Packed> =
            entries.iter().map(|entry| Packed::of(entry, &mut market, &mut aside)).collect();
        for (entry, packed) in entries.iter().zip(&packed) {
            let mut bytes = Vec::new();
            packed.write(&mut bytes);
            assert_eq!(bytes.len(), Packed::BYTES);
            let packed = Packed::read(&bytes);
            assert_eq!(&packed.entry(market, &aside), entry);
            assert_eq!(packed.order(&aside), entry.order());
            assert_eq!(packed.identity(&aside), entry.identity());
        }
        for packed in &packed {
            packed.release(&mut aside);
        }
        let (n_entries, n_ids) = (aside.entries.things.len(), aside.ids.things.len());
        for entry in entries {
            Packed::of(entry, &mut market, &mut aside);
        }
        assert!(aside.entries.things.len() == n_entries && aside.ids.things.len() == n_ids);
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(entries in prop::collection::vec(entry(), 1..20)) {
            check(&entries);
        }
    }

    #[cfg(feature = "sabotage")]
    mod sabotage {
        use super::*;
        use crate::operators::testing::{noticed, sample};

        fn packs(seed: u64) {
            check(&sample(&prop::collection::vec(entry(), 1..20), seed));
        }

        noticed! {
            stated_quantities: PackedStated by 100 of packs;
            other_markets: PackedMarket by 100 of packs;
            large_sizes: PackedSize by 100 of packs;
            large_seqs: PackedSeq by 100 of packs;
        }
    }

    #[test]
    fn a_fill_of_ordinary_numbers_is_kept_in_44_bytes() {
        assert_eq!(size_of::<Packed>(), 44);
    }
}
