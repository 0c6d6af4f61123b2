//! The ledger's rules, one by one, with answers worked out by hand.

use types::relations::{Basis, FillKind, Position, Side};
use types::{AssetId, EventId, Money, Price, Rounding, Size, Sym, VenueTime};

use super::entry::{Entry, LedgerEvent, Movement, Worth};
use super::ledger::{Finding, Ledger, Note, Oversell};
use super::packed::{Aside, Packed};
use crate::operators::history::Fold;

fn money(text: &str) -> Money {
    Money::parse(text.as_bytes(), Rounding::Exact).unwrap()
}

fn size(text: &str) -> Size {
    Size::parse(text.as_bytes(), Rounding::Exact).unwrap()
}

/// A fill as `buy 10 @ 0.5`, with words behind it: `fee 0.1`, `start -3`, `worth 5`, a kind.
fn entry(text: &str, n: i64) -> Entry {
    let words: Vec<&str> = text.split_whitespace().collect();
    let time = VenueTime::from_nanos(n);
    let id = EventId::new(&n.to_string());
    if let ["settle", payout] = words[..] {
        let payout = Price::parse(payout.as_bytes(), Rounding::Exact).unwrap();
        return Entry { time, seq: 0, id: EventId::default(), event: LedgerEvent::Settle(payout) };
    }
    let after = |word: &str| words.iter().position(|w| *w == word).map(|i| words[i + 1]);
    let quantity = size(words[1]);
    let price = after("@").map(|p| Price::parse(p.as_bytes(), Rounding::Exact).unwrap());
    let worth = match (after("worth").map(money), price) {
        (Some(notional), _) => Worth::Notional(notional),
        (None, Some(price)) => Worth::Price(price),
        (None, None) => Worth::Unstated,
    };
    let event = LedgerEvent::Fill(Movement {
        kind: words.iter().find_map(|w| FillKind::from_word(w)).unwrap_or(FillKind::Trade),
        side: Side::from_word(words[0]).unwrap(),
        size: quantity,
        worth,
        fee: after("fee").map(money),
        start_qty: after("start").map(size),
        market: None,
    });
    Entry { time, seq: 0, id, event }
}

fn fold(oversell: Oversell, script: &[&str]) -> (Option<Position>, Vec<Note>) {
    let ledger = Ledger { oversell };
    let mut state = ledger.start();
    let entries = script.iter().zip(1..).map(|(text, n)| entry(text, n));
    let notes: Vec<Note> =
        entries.clone().filter_map(|entry| ledger.step_by_the_rules(&mut state, &entry)).collect();
    // Packed, they come to the same.
    let (mut quick, mut market, mut aside) = (ledger.start(), None, Aside::default());
    let packed = entries.filter_map(|entry| {
        let packed = Packed::of(&entry, &mut market, &mut aside);
        ledger.step(&mut quick, &packed, market, &aside)
    });
    assert_eq!(packed.collect::<Vec<_>>(), notes);
    assert_eq!(quick, state);
    (state.position(Sym::from_index(0), AssetId(0)), notes)
}

/// `qty cost realized` of a position whose basis is known.
fn short(script: &[&str]) -> String {
    let (position, notes) = fold(Oversell::Short, script);
    assert_eq!(notes, [], "{script:?}");
    let p = position.expect("a fill was folded");
    assert_eq!(p.basis, Basis::Known);
    format!("{} {} {}", p.qty, p.cost, p.realized_pnl)
}

#[test]
fn buys_and_sells_keep_the_average_cost() {
    for (script, expected) in [
        (vec!["buy 10 @ 0.5"], "10 5 0"),
        (vec!["buy 10 @ 0.5", "buy 10 @ 0.7"], "20 12 0"),
        (vec!["buy 10 @ 0.5", "sell 4 @ 0.7"], "6 3 0.8"),
        (vec!["buy 10 @ 0.5", "sell 10 @ 0.4"], "0 0 -1"),
        (vec!["sell 10 @ 0.5", "buy 4 @ 0.3"], "-6 -3 0.8"),
        // A flip closes at the average and opens the rest at its own price.
        (vec!["buy 10 @ 0.5", "sell 15 @ 0.6"], "-5 -3 1"),
        (vec!["sell 2 @ 10", "buy 5 @ 9"], "3 27 2"),
        // The notional wins over price x size.
        (vec!["buy 3 @ 0.5 worth 2", "sell 3 @ 1 worth 2.5"], "0 0 0.5"),
        // A third of a cent stays exact: what is removed and what stays add up.
        (vec!["buy 3 worth 1", "sell 1 worth 1", "sell 1 worth 1", "sell 1 worth 1"], "0 0 2"),
        (vec!["buy 3 worth 1", "sell 1 worth 1"], "2 0.666666666666666667 0.666666666666666667"),
        (vec!["buy 10 @ 0.5", "sell 4 @ 1 redeem"], "6 3 2"),
    ] {
        assert_eq!(short(&script), expected, "{script:?}");
    }
}

#[test]
fn transfers_move_quantity_with_their_cost() {
    for (script, expected) in [
        (vec!["buy 10 @ 0.5 transfer"], "10 5 0"),
        (vec!["buy 10 @ 0.5", "sell 4 worth 3 transfer"], "6 2 0"),
        (vec!["buy 10 @ 0.5", "sell 10 transfer"], "0 0 0"),
        (vec!["sell 4 @ 2 transfer"], "-4 -8 0"),
    ] {
        assert_eq!(short(&script), expected, "{script:?}");
    }
    for script in [
        vec!["buy 10 transfer"],
        vec!["buy 10 @ 0.5", "sell 4 worth 6 transfer"],
        vec!["buy 10 @ 0.5", "sell 14 worth 6 transfer"],
    ] {
        let (position, notes) = fold(Oversell::Short, &script);
        let p = position.unwrap();
        assert_eq!((p.basis, notes), (Basis::Unknown, vec![]), "{script:?}");
        assert_eq!((p.known_cost(), p.avg_price()), (None, None));
    }
}

#[test]
fn a_stated_quantity_that_differs_is_a_break() {
    let script = ["buy 10 @ 0.5", "sell 4 @ 0.7 start 14", "sell 10 @ 0.8 start 10", "buy 1 @ 2"];
    let (position, notes) = fold(Oversell::Short, &script);
    let expected = Finding::Break { expected: size("10"), stated: size("14") };
    assert_eq!(notes.iter().map(|n| &n.finding).collect::<Vec<_>>(), [&expected]);
    let p = position.unwrap();
    // What was closed without a basis is told apart; flat again, the basis is known.
    assert_eq!((p.rare().unknown_closed, p.realized_pnl), (money("10.8"), Money::ZERO));
    assert_eq!((p.qty, p.cost, p.basis), (size("1"), money("2"), Basis::Known));

    // A flip ends the unknown basis as well, and stated zero is flat.
    let (position, _) = fold(Oversell::Short, &["sell 4 @ 1 start 3"]);
    let p = position.unwrap();
    assert_eq!((p.qty, p.cost, p.basis), (size("-1"), money("-1"), Basis::Known));
    let (position, notes) = fold(Oversell::Short, &["buy 3 @ 1", "buy 2 @ 5 start 0"]);
    let p = position.unwrap();
    assert_eq!((p.qty, p.cost, p.basis, notes.len()), (size("2"), money("10"), Basis::Known, 1));
}

#[test]
fn overselling_follows_the_option() {
    let script = ["buy 10 @ 0.5", "sell 15 @ 0.6 fee 0.1", "sell 1 @ 1"];
    let (position, notes) = fold(Oversell::Clamp, &script);
    let p = position.unwrap();
    assert_eq!((p.qty, p.cost, p.realized_pnl), (Size::ZERO, Money::ZERO, money("1")));
    assert_eq!((p.rare().unmatched_size, p.n_fills, p.fees), (size("6"), 3, money("0.1")));
    assert_eq!(notes, []);

    let (position, notes) = fold(Oversell::Error, &script);
    let p = position.unwrap();
    assert_eq!(
        (p.qty, p.n_fills, p.fees, p.realized_pnl),
        (size("9"), 2, Money::ZERO, money("0.5"))
    );
    assert_eq!(
        notes.iter().map(|n| &n.finding).collect::<Vec<_>>(),
        [&Finding::LeftOut("oversell")]
    );
}

#[test]
fn a_settlement_closes_and_later_redeems_only_count() {
    let script = ["buy 10 @ 0.4", "settle 1", "sell 10 @ 1 redeem", "buy 1 @ 0.5"];
    let (position, notes) = fold(Oversell::Clamp, &script);
    let p = position.unwrap();
    assert_eq!((p.qty, p.cost, p.realized_pnl), (size("1"), money("0.5"), money("6")));
    assert_eq!((p.n_fills, p.rare().unmatched_size, notes), (3, Size::ZERO, vec![]));
}

#[test]
fn funding_and_fees_are_summed_apart() {
    let script = ["buy 2 @ 3 fee 0.5", "buy 0 worth -0.25 funding", "sell 1 @ 4 fee -0.1"];
    let (position, _) = fold(Oversell::Short, &script);
    let p = position.unwrap();
    assert_eq!(
        (p.fees, p.rare().funding, p.realized_pnl),
        (money("0.4"), money("-0.25"), money("1"))
    );
}

#[test]
fn overflow_leaves_the_fill_out_and_never_wraps() {
    let most = "99999999999999999999999999999";
    let most_buy = format!("buy {most} worth 1");
    let (position, notes) = fold(Oversell::Short, &[&most_buy, &most_buy, "buy 1 worth 1"]);
    assert_eq!(position.unwrap().n_fills, 1, "the second and third pass 38 digits");
    let all = notes.iter().all(|note| note.finding == Finding::LeftOut("overflow"));
    assert!(all && notes.len() == 2, "{notes:?}");

    // An average price that doesn't fit its column.
    let script = ["buy 10 @ 999999999", "sell 9.999999999 worth 1 transfer"];
    let (_, notes) = fold(Oversell::Short, &script);
    assert_eq!(notes.len(), 1);
}

#[test]
fn a_position_is_two_lines_of_memory() {
    assert_eq!(size_of::<super::ledger::State>(), 96);
    assert_eq!(crate::operators::history::size_of_key::<Ledger>(), 128);
}
