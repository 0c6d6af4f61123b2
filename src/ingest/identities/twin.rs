//! The plain way to judge identities, which the compact one must equal: a map with all of them.

use rustc_hash::FxHashMap;
use types::Op;
use types::relations::Identity;

use super::Standing;

/// What came of one identity so far.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The greatest insert or correct: revision, operation, content.
    best: Option<(u64, Op, u32)>,
    /// The greatest busted revision.
    busted: Option<u64>,
}

/// All identities of one relation.
#[derive(Debug, Default)]
pub(super) struct Twin {
    known: FxHashMap<Identity, Known>,
    n_pending: u64,
}

impl Twin {
    /// Judges an event and remembers it.
    pub(super) fn judge(
        &mut self,
        identity: Identity,
        op: Op,
        revision: u64,
        content: u32,
    ) -> Standing {
        let known = self.known.entry(identity).or_default();
        if op == Op::Bust {
            if known.busted.is_some_and(|busted| revision <= busted) {
                return Standing::Duplicate;
            }
            let is_first = known.best.is_none() && known.busted.is_none();
            self.n_pending += u64::from(is_first);
            known.busted = Some(revision);
            return if is_first { Standing::First } else { Standing::Applied };
        }
        match known.best {
            Some((r, o, c)) if (r, o) == (revision, op) => {
                if c == content {
                    Standing::Duplicate
                } else {
                    Standing::Conflict
                }
            }
            Some((r, o, _)) if (r, o) > (revision, op) => Standing::Duplicate,
            before => {
                let is_first = before.is_none() && known.busted.is_none();
                if before.is_none() && known.busted.is_some() {
                    self.n_pending -= 1;
                }
                known.best = Some((revision, op, content));
                if is_first { Standing::First } else { Standing::Applied }
            }
        }
    }

    /// Busts that wait for what they remove.
    pub(super) fn n_pending(&self) -> u64 {
        self.n_pending
    }
}
