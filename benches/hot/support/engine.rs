//! The engine's dataflow under the harness, fed as the sequencer would feed it.

use std::sync::Arc;

use dataflows::inputs::{Events, Inputs, Share};
use dataflows::outputs::Outputs;
use dataflows::render::{Rendered, render};
use dataflows::{Clock, Plan};
use tapeline::cold::Spill;
use tapeline::config;
use timely::worker::Worker;
use types::event::FOR_GOOD;
use types::relations::{self, FillKind, Side};
use types::{AssetId, Changes, Event, EventId, Interner, Names, Op, Price, Size, Sym, VenueTime};

use super::digest::Digest;
use super::harness::{Epoch, Flow, Setup};
use super::stream::{Fill, LATENESS, N_ASSETS, N_WALLETS};

/// Positions at average cost.
pub(crate) const POSITIONS: &str = r#"
[views.positions]
op = "avg_cost"
input = "fills"
"#;

/// Bars of a minute, an hour, a day.
pub(crate) const BARS: &str = r#"
[views.bars]
op = "rollup"
input = "fills"
sizes = ["1m", "1h", "1d"]
"#;

/// P&L of each wallet with an open position, each five minutes.
pub(crate) const MARKS: &str = r#"
[views.pnl]
op = "mark_to_market"
positions = "positions"
trades = "fills"
mark = "last"
snapshot = "5m"
emit = "all"
"#;

const SOURCE: &str = r#"
[pipeline]
name = "bench"

[sources.fills]
type = "csv"
path = "fills.csv"
relation = "fills"
[sources.fills.columns]
op = { column = "op", values = { "1" = "insert", "-1" = "bust" } }
venue = { constant = "bench" }
id = "id"
seq = "seq"
event_time = { column = "event_time", unit = "ns" }
"#;

/// The config of some views, of which those named leave the dataflow.
pub(crate) fn config_text(views: &[&str], emitted: &[&str]) -> String {
    let sink = "[sinks.files]\ntype = \"jsonl\"\npath = \"out/\"\nmode = \"final\"";
    format!("{SOURCE}{}{sink}\nviews = {emitted:?}\n", views.concat())
}

/// A plan and its dictionary.
pub(crate) struct Engine {
    plan: Arc<Plan>,
    names: Arc<Names>,
    wallets: Vec<Sym>,
    spill: Option<Spill>,
}

impl Engine {
    /// Lets history leave memory.
    pub(crate) fn spilling(self, spill: Option<Spill>) -> Self {
        Self { spill, ..self }
    }

    /// Makes the plan of some views, of which those named leave the dataflow.
    pub(crate) fn new(views: &[&str], emitted: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the config");
        let path = folder.path().join("bench.toml");
        std::fs::write(&path, config_text(views, emitted)).expect("writing the config");
        let config = config::load(&path, &|_| None).expect("the bench's config is good");
        let mut interner = Interner::new(false);
        // The venue comes first, so that wallets are counted from one and assets from zero.
        let wallets = |interner: &mut Interner| -> Vec<Sym> {
            (0..N_WALLETS).map(|wallet| interner.sym(&format!("wallet-{wallet:05}"))).collect()
        };
        interner.sym("bench");
        let wallets = wallets(&mut interner);
        for asset in 0..N_ASSETS {
            interner.asset("bench", &format!("asset-{asset:04}"));
        }
        Self { plan: config.plan, names: Arc::clone(interner.names()), wallets, spill: None }
    }

    /// The event of a fill, as the sequencer makes it: a cancellation has identity and key alone.
    fn event(&self, fill: &Fill) -> Event<relations::Fill> {
        let (bust, time) = (fill.is_bust, VenueTime::from_nanos(fill.time));
        let size = Size::from_nano(fill.size.into()).expect("sizes fit");
        let row = relations::Fill {
            wallet: self.wallets[usize::try_from(fill.wallet).expect("a wallet")],
            asset: AssetId(fill.asset),
            id: EventId::new(&fill.id.to_string()),
            market: None,
            side: if fill.is_buy || bust { Side::Buy } else { Side::Sell },
            price: Price::from_nano(fill.price.into()).filter(|_| !bust),
            size: if bust { Size::ZERO } else { size },
            notional: None,
            fee: types::Money::from_nano(fill.fee.into()).filter(|_| !bust),
            fee_asset: None,
            fee_counts: !bust,
            kind: FillKind::Trade,
            liquidity: None,
            order_id: None,
            start_qty: None,
            event_time: if bust { VenueTime::MIN } else { time },
            seq: if bust { 0 } else { fill.id.into() },
            revision: 0,
        };
        let (op, revision) = if bust { (Op::Bust, FOR_GOOD) } else { (Op::Insert, 0) };
        Event { op, revision, is_first: !bust, row }
    }
}

impl Setup for Engine {
    type Share = Share;
    type Flow = Running;

    fn build(&self, worker: &mut Worker) -> Running {
        let spilling =
            self.spill.as_ref().map(|spill| spill.of_worker(worker.index(), worker.peers()));
        let Rendered { inputs, outputs } = render(worker, &self.plan, &self.names, spilling);
        Running { inputs, outputs }
    }

    fn cut(&self, epoch: Epoch<'_>, n_workers: usize) -> Vec<Share> {
        let events = Events::Fills(epoch.fills.iter().map(|fill| self.event(fill)).collect());
        let spec = self.plan.relations.first().expect("fills are fed");
        let greatest = VenueTime::from_nanos(epoch.greatest);
        let clock = Arc::new(Clock {
            watermark: if epoch.is_last { VenueTime::END } else { greatest.less(LATENESS) },
            greatest: Arc::from([greatest]),
        });
        let share =
            |events| Share { epoch: epoch.number, events: vec![events], clock: Arc::clone(&clock) };
        events.cut(spec, n_workers).into_iter().map(share).collect()
    }
}

/// A worker's end of the engine's dataflow.
pub(crate) struct Running {
    inputs: Inputs,
    outputs: Outputs,
}

impl Flow for Running {
    type Share = Share;
    type Output = Vec<Changes>;

    fn feed(&mut self, mut share: Share) {
        self.inputs.feed(&mut share);
    }

    fn is_complete(&self, epoch: u64) -> bool {
        self.outputs.is_complete(epoch)
    }

    fn take(&mut self, epoch: u64) -> Vec<Changes> {
        self.outputs.take(epoch)
    }

    fn digest(output: &Vec<Changes>, digest: &mut Digest) {
        for changes in output {
            digest.take(changes);
        }
    }
}
