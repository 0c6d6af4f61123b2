//! A view of declared rows, and a slow twin of the hub, for tests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use types::relations::RelationKind;
use types::{Changes, Column, Epoch, Kind, Names, Row, Schema, Value, VenueTime};

use super::{Hub, ViewSpec};
use crate::runtime::EpochOutput;

/// A view `name` with the key `k`, a number `n` and, where asked for, a time `t`.
pub(crate) fn view(name: &str, is_timed: bool) -> ViewSpec {
    let column = |name, kind| Column { name: Cow::Borrowed(name), kind, nullable: false };
    let mut columns = vec![column("k", Kind::Text), column("n", Kind::Count)];
    columns.extend(is_timed.then(|| column("t", Kind::Time)));
    let schema = Schema { columns, n_key: 1, time: is_timed.then_some(2) }.shared();
    ViewSpec {
        name: name.to_owned(),
        kind: RelationKind::Rows,
        schema,
        operator: "filter",
        live: None,
    }
}

/// A row of such a view; the time is only seen in a timed one.
pub(crate) fn row(key: u64, n: u64, time: i64) -> Row {
    let key = Value::Text(format!("k{key}").into());
    Row(Arc::from([key, n.into(), VenueTime::from_nanos(time).into()]))
}

/// Small numbers that look random, the same in every run.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A hub and what must be in it: a plain map a view, and the last epoch.
pub(crate) struct Twin {
    pub(crate) hub: Arc<Hub>,
    pub(crate) rows: Vec<BTreeMap<u64, Row>>,
    pub(crate) epoch: u64,
}

impl Twin {
    /// Starts with views without time, each reader of which may be this many keys behind.
    pub(crate) fn new(views: &[&str], max_pending_keys: usize) -> Self {
        let specs: Vec<ViewSpec> = views.iter().map(|name| view(name, false)).collect();
        let rows = vec![BTreeMap::new(); specs.len()];
        let names = Arc::new(Names::default());
        let hub = Hub::new(specs, &names, 0).with_max_pending_keys(max_pending_keys);
        Self { hub: Arc::new(hub), rows, epoch: 0 }
    }

    /// Applies what a run catches up with after as many changes as these.
    pub(crate) fn noting(mut self, max_noted: usize) -> Self {
        let hub = Arc::into_inner(self.hub).expect("nobody has it yet");
        self.hub = Arc::new(hub.with_max_noted(max_noted));
        self
    }

    /// Publishes an epoch with up to `most` changes a view, over keys below `n_keys`.
    pub(crate) fn publish_random(&mut self, chance: &mut Chance, n_keys: u64, most: u64) {
        self.epoch += 1;
        let mut changes = Vec::new();
        for rows in &mut self.rows {
            let mut changed = Vec::new();
            let touched: BTreeMap<u64, u64> = (0..chance.below(most + 1))
                .map(|_| (chance.below(n_keys), chance.below(4)))
                .collect();
            for (key, n) in touched {
                changed.extend(rows.remove(&key).map(|old| (old, -1)));
                if n > 0 {
                    let new = row(key, n + 10 * self.epoch, 0);
                    rows.insert(key, new.clone());
                    changed.push((new, 1));
                }
            }
            changes.push(Arc::new(Changes::Rows(changed)));
        }
        let (epoch, watermark) = (Epoch(self.epoch), VenueTime::MIN);
        self.hub.publish(&EpochOutput { epoch, watermark, changes });
    }

    /// What a view holds, as readers see it: key to number.
    pub(crate) fn shown(&self, view: usize) -> BTreeMap<String, String> {
        let shown = |(key, row): (&u64, &Row)| {
            let Some(Value::Number(n)) = row.0.get(1) else { panic!("a number") };
            (format!("k{key}"), n.to_string())
        };
        self.rows[view].iter().map(shown).collect()
    }
}
