//! Two threads that spell rows in turn, so that a final file takes half the time.

use std::sync::mpsc::sync_channel;

use crate::error::ConnectError;

/// Rows that a thread spells before it is the other's turn.
const TURN: usize = 1024;

/// Spells pieces of rows on two threads in turn; their texts are handed over in order.
pub(super) fn in_turns(
    places: &[usize],
    spell: impl Fn(&[usize], &mut Vec<u8>) + Sync,
    mut hand_over: impl FnMut(&[u8]) -> Result<(), ConnectError>,
) -> Result<(), ConnectError> {
    let mut text = Vec::new();
    if places.len() <= 2 * TURN {
        spell(places, &mut text);
        return hand_over(&text);
    }
    // What is spelled goes one way, emptied texts the other: a few of them are all there are.
    let (to_here, spelled) = sync_channel::<Vec<u8>>(2);
    let (give_back, emptied) = sync_channel::<Vec<u8>>(3);
    std::thread::scope(|scope| {
        let spell = &spell;
        scope.spawn(move || {
            for places in places.chunks(TURN).skip(1).step_by(2) {
                let mut text = emptied.try_recv().unwrap_or_default();
                text.clear();
                spell(places, &mut text);
                // Nobody listens any more once writing has failed.
                if to_here.send(text).is_err() {
                    return;
                }
            }
        });
        // Taken in here: dropped when this fails, so that the other thread ends.
        let (spelled, give_back) = (spelled, give_back);
        for (turn, places) in places.chunks(TURN).enumerate() {
            if turn % 2 == 0 {
                text.clear();
                spell(places, &mut text);
                hand_over(&text)?;
            } else if let Ok(other) = spelled.recv() {
                hand_over(&other)?;
                drop(give_back.try_send(other));
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(places: &[usize], text: &mut Vec<u8>) {
        for place in places {
            text.extend_from_slice(format!("{place}\n").as_bytes());
        }
    }

    #[test]
    fn pieces_come_in_order() {
        for n in [0, 1, TURN, 2 * TURN, 2 * TURN + 1, 3 * TURN, 7 * TURN + 5] {
            let places: Vec<usize> = (0..n).rev().collect();
            let (mut whole, mut together) = (Vec::new(), Vec::new());
            spell(&places, &mut whole);
            in_turns(&places, spell, |text| {
                together.extend_from_slice(text);
                Ok(())
            })
            .unwrap();
            assert!(whole == together, "{n} places");
        }
    }

    #[test]
    fn a_failure_ends_both_threads() {
        let places: Vec<usize> = (0..50 * TURN).collect();
        let mut n_pieces = 0;
        let failed = in_turns(&places, spell, |_| {
            n_pieces += 1;
            if n_pieces < 4 { Ok(()) } else { Err(ConnectError::broken("writing".to_owned())) }
        });
        assert!(failed.is_err());
        assert_eq!(n_pieces, 4);
    }
}
