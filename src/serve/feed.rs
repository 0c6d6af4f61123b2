//! The subscriptions of one connection: which frame comes next. Knows no socket.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::publish::{Chunks, Frontier, Hub, Place, Standing, Taken};

use super::frames::{self, At, Object, Refusal};
use super::{MAX_FRAME_BYTES, MAX_SUBS, Server, http};

/// What a frame has besides its rows, at most: names, numbers, brackets.
const ENVELOPE_BYTES: usize = 1 << 10;

/// A subscription.
struct Sub {
    /// The client's name for it.
    name: String,
    place: Place,
    /// Whether its rows are those as of the current epoch.
    is_live: bool,
    /// Grows with each reset.
    generation: u64,
    /// The number of the last frame in this generation.
    seq: u64,
    /// Whether it has begun, so that all rows anew mean a reset.
    is_begun: bool,
    /// Whether this generation was told that the sources have ended.
    knows_end: bool,
    /// When the last frame was made.
    fed_at: Instant,
}

/// What a client wants to follow.
pub(super) struct Wanted<'a> {
    /// Its name for the subscription.
    pub(super) name: String,
    /// The view's name.
    pub(super) view: &'a str,
    /// Whether the rows come first.
    pub(super) snapshot: bool,
    /// Whether the rows are those as of the current epoch.
    pub(super) live: bool,
}

/// Frames that a subscription has yet to get. All jobs of one cut bear one epoch.
struct Job {
    place: Place,
    standing: Standing,
    what: Work,
}

enum Work {
    Reset,
    Snap(Box<dyn Chunks>),
    Delta {
        chunks: Box<dyn Chunks>,
        /// Whether a piece was made, so that the last must be, though it be empty.
        is_begun: bool,
    },
    Progress,
}

/// The subscriptions of one connection. Leaves the hub when it is dropped.
pub(super) struct Feed {
    server: Arc<Server>,
    subs: Vec<Sub>,
    /// What is left of the last cut; nothing is taken from the hub until it is done, so a client
    /// that doesn't read holds one cut and its places in the hub.
    jobs: VecDeque<Job>,
    /// Whether a subscription is new, so that it needn't wait for an epoch.
    has_new: bool,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.subs.iter().for_each(|sub| self.hub().detach(sub.place));
    }
}

impl Feed {
    /// Starts without subscriptions.
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server, subs: Vec::new(), jobs: VecDeque::new(), has_new: false }
    }

    /// Whether there are no subscriptions.
    pub(super) fn is_empty(&self) -> bool {
        self.subs.is_empty()
    }

    /// Whether nothing is left of the last cut.
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// When a subscription will have been silent for too long.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let heartbeat = self.server.options.heartbeat;
        self.subs.iter().map(|sub| sub.fed_at + heartbeat).min()
    }

    /// Adds a subscription; completes its `ok`.
    pub(super) fn subscribe(
        &mut self,
        ok: Object,
        wanted: Wanted<'_>,
        now: Instant,
    ) -> Result<Object, Refusal> {
        let Wanted { name, view, snapshot, live } = wanted;
        if self.subs.iter().any(|sub| sub.name == name) {
            let message = format!("the connection has a subscription `{name}` already");
            return Err(Refusal::of("dup_sub", "sub", message));
        }
        if self.subs.len() >= MAX_SUBS {
            let message = format!("a connection may have {MAX_SUBS} subscriptions");
            return Err(Refusal::new("too_many_subs", message));
        }
        let Some(index) = self.hub().view(view) else {
            let message = http::no_such_view(self.hub(), view);
            return Err(Refusal::of("unknown_view", "view", message));
        };
        let (place, schema) = if live {
            let place = self
                .hub()
                .attach_live(index, snapshot)
                .ok_or_else(|| Refusal::of("not_live", "live", http::not_live(self.hub(), view)))?;
            (place, self.hub().live_schema(index))
        } else {
            let schema = self.hub().views().get(index).map(|spec| Arc::clone(&spec.schema));
            (self.hub().attach(index, snapshot), schema)
        };
        let ok = ok
            .with("sub", name.as_str())
            .with("gen", 1)
            .maybe("schema", schema.as_deref().map(frames::columns))
            .maybe("key", schema.as_deref().map(frames::key))
            .with("resumed", false);
        let sub = Sub {
            name,
            place,
            is_live: live,
            generation: 1,
            seq: 0,
            // Without a snapshot, rows can only come after a reset.
            is_begun: !snapshot,
            knows_end: false,
            fed_at: now,
        };
        self.subs.push(sub);
        self.has_new = true;
        Ok(ok)
    }

    /// Removes a subscription; no frame of it follows.
    pub(super) fn unsubscribe(&mut self, name: &str) -> Result<(), Refusal> {
        let Some(index) = self.subs.iter().position(|sub| sub.name == name) else {
            let message = format!("the connection has no subscription `{name}`");
            return Err(Refusal::of("unknown_sub", "sub", message));
        };
        let place = self.subs.remove(index).place;
        self.jobs.retain(|job| job.place != place);
        self.hub().detach(place);
        Ok(())
    }

    /// The subscriptions, for the client.
    pub(super) fn describe(&self) -> Vec<Value> {
        let views = self.hub().views();
        let describe = |sub: &Sub| {
            let view = views.get(sub.place.view).map(|spec| spec.name.as_str());
            let Sub { name, generation, seq, is_live, .. } = sub;
            json!({ "sub": name, "view": view, "live": is_live, "gen": generation, "seq": seq })
        };
        self.subs.iter().map(describe).collect()
    }

    /// Takes what there is to tell, once the last cut is done and there is a reason to: the hub
    /// has changed, or a subscription is new or was silent for too long.
    pub(super) fn plan(&mut self, hub_has_changed: bool, now: Instant) {
        let is_due = self.due_at().is_some_and(|due_at| due_at <= now);
        if self.subs.is_empty() || !self.is_idle() || !(hub_has_changed || self.has_new || is_due) {
            return;
        }
        self.has_new = false;
        let heartbeat = self.server.options.heartbeat;
        let cut = self.server.hub.take(self.subs.iter().map(|sub| sub.place));
        let standing = cut.standing;
        for (sub, taken) in self.subs.iter_mut().zip(cut.taken) {
            let place = sub.place;
            let mut add = |what| self.jobs.push_back(Job { place, standing, what });
            let mut is_due = sub.fed_at + heartbeat <= now;
            match taken {
                Taken::Nothing => {}
                Taken::Everything(chunks) => {
                    if sub.is_begun {
                        add(Work::Reset);
                        sub.knows_end = false;
                    }
                    sub.is_begun = true;
                    is_due = false;
                    add(Work::Snap(chunks));
                }
                Taken::Changes(chunks) => {
                    is_due = false;
                    add(Work::Delta { chunks, is_begun: false });
                }
            }
            if !sub.is_begun {
                // It begins with its rows, however long they take.
                if is_due {
                    sub.fed_at = now;
                }
                continue;
            }
            // Whoever waits for the end of the sources is told at once.
            let is_end = standing.frontier == Frontier::End;
            if is_due || (is_end && !sub.knows_end) {
                sub.knows_end = is_end;
                add(Work::Progress);
            }
        }
    }

    /// Makes the next frame; `None` where nothing is to be told after all.
    pub(super) fn next_frame(&mut self, now: Instant) -> Option<Object> {
        let mut job = self.jobs.pop_front()?;
        let sub = self.subs.iter_mut().find(|sub| sub.place == job.place)?;
        let enough = self.server.options.frame_bytes;
        let most = MAX_FRAME_BYTES - ENVELOPE_BYTES;
        let at = At { sub: &sub.name, generation: sub.generation, seq: sub.seq + 1 };
        let (frame, n_bytes, is_last) = match &mut job.what {
            Work::Reset => {
                (sub.generation, sub.seq, sub.fed_at) = (sub.generation + 1, 0, now);
                return Some(frames::reset(&sub.name, sub.generation));
            }
            Work::Progress => {
                let lag_ms = self.server.lag_ms(job.standing.frontier);
                (frames::progress(at, job.standing, lag_ms), 0, true)
            }
            Work::Snap(chunks) => {
                let chunk = chunks.next(enough, most);
                (frames::snap(at, job.standing, &chunk), chunk.len(), chunk.last)
            }
            Work::Delta { chunks, is_begun } => {
                let chunk = chunks.next(enough, most);
                if chunk.last && chunk.len() == 0 && !*is_begun {
                    return None;
                }
                *is_begun = true;
                (frames::delta(at, job.standing, &chunk), chunk.len(), chunk.last)
            }
        };
        if n_bytes > most {
            let name = sub.name.clone();
            return Some(self.give_up(&name));
        }
        (sub.seq, sub.fed_at) = (sub.seq + 1, now);
        if !is_last {
            self.jobs.push_front(job);
        }
        Some(frame)
    }

    /// Ends a subscription with a row that no frame can hold.
    fn give_up(&mut self, name: &str) -> Object {
        let refusal = match self.unsubscribe(name) {
            Ok(()) => Refusal::new("row_too_large", "a row of the view is larger than a frame"),
            Err(refusal) => refusal,
        };
        frames::error(None, Some(name), refusal)
    }

    fn hub(&self) -> &Hub {
        &self.server.hub
    }
}
