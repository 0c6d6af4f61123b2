//! How a sink deals with another side that is away or refuses: it tries again, waits, tells, gives up.

use std::fmt;
use std::time::Duration;

use tokio::time::sleep;
use types::Span;
use types::options::Settings;

use super::backoff;
use crate::error::ConnectError;

/// Step in which the time of an attempt is counted: nothing here reads a clock.
const TICK: Duration = Duration::from_millis(250);
/// How long an answer is waited for at least, also by an attempt that begins when the time is up: longer
/// than the other side needs to answer, and than is waited for the end of an answer.
const LAST: Duration = Duration::from_secs(3);

/// Says what an error means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before the first row: what trying again can't help is told at once.
    Opening,
    /// Rows are under way: whatever it is may be put right meanwhile.
    Running,
}

/// What helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// It passes by itself: a network that fails, a server that is overloaded or goes down.
    Retry,
    /// It stays until somebody puts it right: rights, a quota, a table that is gone or has changed.
    Fix,
    /// What was sent is refused, though all else is as it should be.
    SetAside,
}

/// What went wrong with one attempt.
pub(crate) trait Trouble:
    fmt::Debug + fmt::Display + std::error::Error + Send + Sync + 'static
{
    /// An attempt that took too long.
    fn timed_out() -> Self;

    /// What helps.
    fn remedy(&self) -> Remedy;

    /// What it is, in words that stay the same while it lasts.
    fn kind(&self) -> String;

    /// What to do about what stays.
    fn hint(&self) -> &'static str;

    /// How long the other side wants to be left alone.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }
}

/// How long another side is waited for.
pub(crate) struct Patience {
    /// Who it is: `clickhouse`.
    who: &'static str,
    /// Where, without what must not be told.
    place: String,
    /// `None`: for ever.
    give_up: Option<Duration>,
    /// Longest wait for an answer.
    answer: Duration,
    /// Whether an answer is waited for no longer than until the other side is given up.
    cuts: bool,
}

impl Patience {
    /// For ever, or for the `give_up` of a finite run.
    pub(crate) fn new(
        who: &'static str,
        place: String,
        settings: &Settings,
        is_finite: bool,
        answer: Duration,
    ) -> Self {
        let nanos = settings.duration("give_up").map_or(300_000_000_000, Span::nanos);
        let give_up = is_finite.then(|| Duration::from_nanos(nanos.unsigned_abs()));
        Self { who, place, give_up, answer, cuts: false }
    }

    /// For another side that answers at once if it is there: what is open when it is given up is ended.
    pub(crate) fn cutting(self) -> Self {
        Self { cuts: true, ..self }
    }

    /// Tries until it is done, or the other side was waited for long enough. An attempt is told whether
    /// one before it met with what stays until it is put right.
    pub(crate) async fn persist<T, E: Trouble>(
        &self,
        stage: Stage,
        doing: &str,
        mut attempt: impl AsyncFnMut(bool) -> Result<T, E>,
    ) -> Result<T, ConnectError> {
        let mut waited = Duration::ZERO;
        let (mut told, mut is_held) = (None, false);
        for n_failed in 0.. {
            let trouble = match self.timed(&mut waited, attempt(is_held)).await {
                Ok(done) => {
                    if told.is_some() {
                        let Self { who, place, .. } = self;
                        tracing::info!(%place, ?waited, "{who} takes it: this sink goes on, {doing}");
                    }
                    return Ok(done);
                }
                Err(trouble) => trouble,
            };
            let is_lasting = trouble.remedy() != Remedy::Retry;
            if is_lasting && stage == Stage::Opening {
                let failed = ConnectError::broken(format!("{doing} at {}", self.place));
                return Err(failed.because(trouble));
            }
            let left = self.left(waited);
            if left == Some(Duration::ZERO) {
                return Err(self.gave_up(doing, trouble));
            }
            let wait = backoff::wait(n_failed, doing).max(trouble.pause());
            let wait = wait.min(left.unwrap_or(Duration::MAX));
            // Once, and again where it becomes something else.
            if told.as_ref() != Some(&trouble.kind()) {
                told = Some(trouble.kind());
                self.tell(&trouble, doing);
            }
            is_held |= is_lasting;
            sleep(wait).await;
            waited += wait;
        }
        unreachable!("there are more attempts than seconds to come")
    }

    /// How long it is until the other side is given up; `None` where it never is.
    fn left(&self, waited: Duration) -> Option<Duration> {
        self.give_up.map(|give_up| give_up.saturating_sub(waited))
    }

    fn tell(&self, trouble: &impl Trouble, doing: &str) {
        let Self { who, place, .. } = self;
        if trouble.remedy() == Remedy::Retry {
            tracing::warn!(%place, error = %trouble, "{who} is away: trying again until it is back, {doing}");
        } else {
            let hint = trouble.hint();
            tracing::error!(%place, error = %trouble, hint, "{who} refuses: this sink pauses until that is put right, {doing}");
        }
    }

    fn gave_up(&self, doing: &str, trouble: impl Trouble) -> ConnectError {
        let give_up = self.give_up.unwrap_or_default();
        ConnectError::away(format!("{doing} at {}, given up after {give_up:?}", self.place))
            .because(trouble)
            .hint("`give_up` says how long a finite run waits; what isn't delivered is kept")
    }

    /// Counts the time that an attempt takes, and ends one that takes too long.
    async fn timed<T, E: Trouble>(
        &self,
        waited: &mut Duration,
        attempt: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut attempt = std::pin::pin!(attempt);
        let mut taken = Duration::ZERO;
        let left = self.left(*waited).filter(|_| self.cuts);
        let longest = left.map_or(self.answer, |left| self.answer.min(left.max(LAST)));
        while taken < longest {
            tokio::select! {
                biased;
                done = &mut attempt => return done,
                () = sleep(TICK) => taken += TICK,
            }
            *waited += TICK;
        }
        Err(E::timed_out())
    }
}
