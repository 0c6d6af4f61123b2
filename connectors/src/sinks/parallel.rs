//! Work on several views at once.

use std::cmp::Reverse;

use crate::error::ConnectError;

/// Rows from which on a second thread is worth its start: some tens of microseconds.
const ROWS_MIN: usize = 4_096;

/// Does something with each of some views, on two threads where there is enough to do: what it gave for
/// each, in their order. `n_rows` says how much a view is; each goes to the thread that has less.
pub(super) fn in_parallel<T: Send, U: Send>(
    views: Vec<T>,
    n_rows: impl Fn(&T) -> usize,
    work: impl Fn(T) -> Result<U, ConnectError> + Sync,
) -> Result<Vec<U>, ConnectError> {
    let mut views: Vec<_> =
        (0usize..).zip(views).map(|(index, view)| (n_rows(&view), index, view)).collect();
    views.sort_by_key(|(n_rows, index, _)| (Reverse(*n_rows), *index));
    let is_much = views.iter().map(|(n_rows, ..)| n_rows).sum::<usize>() >= ROWS_MIN;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    let (mut n_here, mut n_there) = (0, 0);
    for (n_rows, index, view) in views {
        let is_here = !is_much || n_here <= n_there;
        let (share, n_share) =
            if is_here { (&mut here, &mut n_here) } else { (&mut there, &mut n_there) };
        share.push((index, view));
        *n_share += n_rows;
    }
    let all = |share: Vec<(usize, T)>| {
        let done = share.into_iter().map(|(index, view)| Ok((index, work(view)?)));
        done.collect::<Result<Vec<_>, ConnectError>>()
    };
    let (here, there) = if there.is_empty() {
        (all(here), Ok(Vec::new()))
    } else {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| all(there));
            let here = all(here);
            (here, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    };
    let mut done = here?;
    done.append(&mut there?);
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, given)| given).collect())
}

#[cfg(test)]
mod tests {
    use std::thread::{ThreadId, current};

    use super::*;

    /// Which threads had which views, by their rows.
    fn threads(n_rows: &[usize]) -> Vec<ThreadId> {
        let views = n_rows.iter().copied().enumerate().collect();
        let given = in_parallel(views, |(_, n_rows)| *n_rows, |view| Ok((view.0, current().id())));
        let given = given.unwrap();
        assert!(given.iter().map(|(view, _)| *view).eq(0..n_rows.len()), "{given:?}");
        given.into_iter().map(|(_, thread)| thread).collect()
    }

    #[test]
    fn two_threads_share_what_is_much() {
        let here = current().id();
        assert_eq!(threads(&[]), []);
        assert_eq!(threads(&[ROWS_MIN]), [here]);
        assert_eq!(threads(&[ROWS_MIN / 2, ROWS_MIN / 2 - 1]), [here, here]);
        let [small, large, half, rest] = threads(&[10, 9_000, 5_000, 4_500])[..] else { panic!() };
        assert_eq!((large, half, rest), (here, half, half));
        assert!(half != here && small == here, "9,000 and 10 here, 9,500 there");
    }

    #[test]
    fn a_failure_on_either_thread_is_told() {
        for wrong in 0..4 {
            let work = |view: usize| match view {
                view if view == wrong => Err(ConnectError::broken(format!("view {view}"))),
                view => Ok(view),
            };
            let failed = in_parallel((0..4).collect(), |_| ROWS_MIN, work).unwrap_err();
            assert_eq!(failed.to_string(), format!("view {wrong}"));
        }
    }

    #[test]
    #[should_panic(expected = "there")]
    fn a_panic_of_the_other_thread_is_told() {
        let here = current().id();
        let work = |_| {
            assert!(current().id() == here, "there");
            Ok(())
        };
        drop(in_parallel(vec![0, 1], |_| ROWS_MIN, work));
    }
}
