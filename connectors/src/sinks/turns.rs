//! Two threads that spell rows, so that a final file takes half the time.

use std::collections::VecDeque;
use std::sync::mpsc::sync_channel;

use crate::error::ConnectError;

/// Pieces that the other thread has before it or has done.
const AHEAD: usize = 2;
/// Pieces that wait to be handed over.
const WAITING: usize = 4;

/// A piece of rows and its text.
struct Job<T> {
    piece: T,
    text: Vec<u8>,
}

/// Spells pieces of rows on two threads; their texts are handed over in order. `next` fills a piece
/// with the rows that follow, and says whether there are any. This thread, which also reads and writes,
/// spells where the other can't keep up.
pub(super) fn in_turns<T: Default + Send>(
    mut next: impl FnMut(&mut T) -> Result<bool, ConnectError>,
    spell: impl Fn(&T, &mut Vec<u8>) -> Result<(), ConnectError> + Sync,
    mut hand_over: impl FnMut(&[u8]) -> Result<(), ConnectError>,
) -> Result<(), ConnectError> {
    let mut spare: Vec<Job<T>> = Vec::new();
    let mut next = |spare: &mut Vec<Job<T>>| -> Result<Option<Job<T>>, ConnectError> {
        let empty = || Job { piece: T::default(), text: Vec::new() };
        let mut job = spare.pop().unwrap_or_else(empty);
        Ok(next(&mut job.piece)?.then_some(job))
    };
    let spell = |mut job: Job<T>| {
        job.text.clear();
        spell(&job.piece, &mut job.text).map(|()| job)
    };
    let Some(first) = next(&mut spare)? else { return Ok(()) };
    let Some(second) = next(&mut spare)? else { return hand_over(&spell(first)?.text) };
    std::thread::scope(|scope| {
        // Made in here: dropped when this fails, so that the other thread ends.
        let (to_other, jobs) = sync_channel::<Job<T>>(AHEAD);
        let (done, from_other) = sync_channel(AHEAD);
        let spell = &spell;
        // Nobody listens any more once reading or writing has failed.
        scope.spawn(move || jobs.into_iter().map(spell).try_for_each(|job| done.send(job).ok()));
        // Where the other thread is gone it has panicked, which the scope tells.
        let send = |job| drop(to_other.send(job));
        [first, second].into_iter().for_each(send);
        let mut n_sent = 2;
        // In their order; nothing for what the other thread spells.
        let mut pieces: VecDeque<Option<Job<T>>> = VecDeque::from([None, None]);
        while let Some(piece) = pieces.pop_front() {
            let job = if let Some(job) = piece {
                job
            } else {
                let received = from_other.try_recv();
                if received.is_err()
                    && pieces.len() < WAITING
                    && let Some(job) = next(&mut spare)?
                {
                    pieces.push_front(None);
                    pieces.push_back(Some(spell(job)?));
                    continue;
                }
                let Ok(job) = received.or_else(|_| from_other.recv()) else { return Ok(()) };
                n_sent -= 1;
                job?
            };
            hand_over(&job.text)?;
            spare.push(job);
            while n_sent < AHEAD
                && let Some(job) = next(&mut spare)?
            {
                send(job);
                n_sent += 1;
                pieces.push_back(None);
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives numbers, five a piece.
    fn numbers(n: usize) -> impl FnMut(&mut Vec<usize>) -> Result<bool, ConnectError> {
        let mut numbers = 0..n;
        move |piece: &mut Vec<usize>| {
            piece.clear();
            piece.extend(numbers.by_ref().take(5));
            Ok(!piece.is_empty())
        }
    }

    fn spell(piece: &[usize], text: &mut Vec<u8>) {
        for number in piece {
            text.extend_from_slice(format!("{number}\n").as_bytes());
        }
    }

    fn broken(what: &str) -> ConnectError {
        ConnectError::broken(what.to_owned())
    }

    #[test]
    fn pieces_come_in_order_whichever_thread_is_slow() {
        let nap = |is_slow: bool| {
            if is_slow {
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        };
        for n in [0, 1, 5, 6, 10, 11, 15, 499, 500, 2_000] {
            for (slow_spelling, slow_writing) in [(false, false), (true, false), (false, true)] {
                let (mut whole, mut together) = (Vec::new(), Vec::new());
                spell(&(0..n).collect::<Vec<_>>(), &mut whole);
                let spell = |piece: &Vec<usize>, text: &mut Vec<u8>| {
                    nap(slow_spelling);
                    spell(piece, text);
                    Ok(())
                };
                in_turns(numbers(n), spell, |text| {
                    nap(slow_writing);
                    together.extend_from_slice(text);
                    Ok(())
                })
                .unwrap();
                assert!(whole == together, "{n} numbers");
            }
        }
    }

    #[test]
    fn a_failure_ends_both_threads() {
        let fine = |piece: &Vec<usize>, text: &mut Vec<u8>| {
            spell(piece, text);
            Ok(())
        };
        // Of writing.
        let mut n_pieces = 0;
        let failed = in_turns(numbers(5_000), fine, |_| {
            n_pieces += 1;
            if n_pieces < 4 { Ok(()) } else { Err(broken("writing")) }
        });
        assert_eq!((failed.unwrap_err().to_string().as_str(), n_pieces), ("writing", 4));
        // Of reading, and of spelling on either thread.
        let mut numbers_read = numbers(5_000);
        let next = |piece: &mut Vec<usize>| {
            let is_more = numbers_read(piece)?;
            if piece.contains(&77) { Err(broken("reading")) } else { Ok(is_more) }
        };
        assert_eq!(in_turns(next, fine, |_| Ok(())).unwrap_err().to_string(), "reading");
        for wrong in [1, 6, 77, 4_999] {
            let spell = |piece: &Vec<usize>, text: &mut Vec<u8>| {
                spell(piece, text);
                if piece.contains(&wrong) { Err(broken("spelling")) } else { Ok(()) }
            };
            let failed = in_turns(numbers(5_000), spell, |_| Ok(()));
            assert_eq!(failed.unwrap_err().to_string(), "spelling", "{wrong}");
        }
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_the_other_thread_is_told() {
        let here = std::thread::current().id();
        let spell = |_: &Vec<usize>, _: &mut Vec<u8>| {
            assert_eq!(std::thread::current().id(), here);
            Ok(())
        };
        drop(in_turns(numbers(5_000), spell, |_| Ok(())));
    }
}
