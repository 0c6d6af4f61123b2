//! `Plan`: the views in dependency order, inputs by index, schemas settled. Nothing in it is looked
//! up by name once it is built.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use detectors::Options;
use types::options::{Problem, Settings, did_you_mean};
use types::relations::RelationKind;
use types::{Names, Schema, Span};

use crate::edge::Edge;
use timely::dataflow::Scope;

use crate::cold::Cold;
use crate::inputs::ClockInput;

/// A relation that is fed from outside.
#[derive(Clone, Debug)]
pub struct RelationSpec {
    /// Its name in the config.
    pub name: String,
    /// Its rows' type.
    pub kind: RelationKind,
    /// Its columns.
    pub schema: Arc<Schema>,
    /// Whether a source of it maps an operation or a revision, so that rows can be replaced and
    /// removed. Where not, events are rows.
    pub has_corrections: bool,
}

/// Where a view's rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// An input relation, by its index: its rows, of which at most one stands for an identity.
    Relation(usize),
    /// An input relation's events as they come; their reader settles which of them stand.
    Events(usize),
    /// An output of a node, by their indices.
    Node {
        /// The node.
        node: usize,
        /// Its output.
        output: usize,
    },
}

/// A relation or view as others see it.
#[derive(Clone, Debug)]
pub struct View {
    /// Its name: `positions`, `positions.errors`.
    pub name: String,
    /// Its rows' type.
    pub kind: RelationKind,
    /// Its columns.
    pub schema: Arc<Schema>,
    /// Whether at most one row of a key is held. Streams of quotes aren't keyed, so no sink or
    /// reader can hold them.
    pub is_keyed: bool,
    /// The operator that makes it; `None` for an input relation.
    pub operator: Option<&'static str>,
    /// Where its rows come from.
    pub port: Port,
    /// The input relations that it is computed from, by index.
    pub reads: BTreeSet<usize>,
}

/// One output of a prepared operator.
#[derive(Clone, Debug)]
pub struct Output {
    /// What follows the view's name: nothing, or `errors`, `breaks`, `now`.
    pub suffix: &'static str,
    /// Its rows' type.
    pub kind: RelationKind,
    /// Its columns.
    pub schema: Arc<Schema>,
    /// See [`View::is_keyed`].
    pub is_keyed: bool,
}

impl Output {
    /// An output whose rows are of a built-in, keyed type.
    ///
    /// # Panics
    /// For declared rows, which need a schema of their own.
    pub fn built_in(suffix: &'static str, kind: RelationKind) -> Self {
        let schema = kind.schema().expect("a built-in relation has a schema").shared();
        Self { suffix, kind, schema, is_keyed: kind.is_keyed() }
    }
}

/// What an operator needs while it is built into a scope.
pub struct Context<'s, 'p> {
    /// The scope.
    pub scope: Scope<'s, u64>,
    /// The clock, for those who read it.
    pub clock: &'p ClockInput<'s>,
    /// The dictionary.
    pub names: Arc<Names>,
    /// The view's name, for the names of timely operators.
    pub view: &'p str,
    /// The input relations that the view is computed from.
    pub reads: Vec<usize>,
    /// Where history goes that doesn't fit into memory.
    pub(crate) cold: Rc<Cold>,
    /// For each output with a name, whether a view reads it or it leaves the dataflow. What isn't
    /// read needn't be made.
    pub is_read: Vec<bool>,
}

/// An operator with its options settled.
///
/// What it makes of an epoch has at most one old and one new row of a key, that differ, and stand
/// together: (old, -1) directly before (new, +1), where there are both. Who reads changes relies on
/// it: nothing behind an operator sorts or adds up.
pub trait Build: Send + Sync {
    /// Adds the operator to a dataflow; gives an edge for each output, then one for each step
    /// asked of it.
    fn build<'s>(&self, context: &Context<'s, '_>, inputs: &[Edge<'s>]) -> Vec<Edge<'s>>;

    /// Asks for the rows as of each step of a grid, as one more output; its index among all.
    /// `None` where the operator has no such thing.
    fn demand_steps(&mut self, _step: Span) -> Option<usize> {
        None
    }

    /// How rows are scored; `None` where nothing is.
    fn scoring(&self) -> Option<&Scoring> {
        None
    }

    /// Whether its rows depend on when events came, not only on which of them stand: a run that goes on
    /// must be fed the epochs that there were.
    fn depends_on_arrival(&self) -> bool {
        false
    }
}

/// How a view scores rows, for who scores others as it does.
#[derive(Clone, Debug)]
pub struct Scoring {
    /// The detector's options.
    pub options: Options,
    /// The score from which on a row says why.
    pub explain_from: f64,
    /// The columns that are looked at, in order.
    pub columns: Vec<String>,
    /// Whether the view lists them.
    pub lists_columns: bool,
    /// The column whose new values ask for a fit, which who scores other rows doesn't make.
    pub refit_on: Option<String>,
    /// The columns that tell keys apart.
    pub by: Vec<String>,
    /// Whether each key has a model; else one serves all.
    pub is_by_key: bool,
    /// Whether each key has units of its own.
    pub is_normalised: bool,
    /// How long a key may rest before it is forgotten: model or units begin anew with its next row.
    pub forget_after: Option<Span>,
}

/// A prepared operator.
pub struct Prepared {
    /// What it reads.
    pub inputs: Vec<Port>,
    /// What it gives.
    pub outputs: Vec<Output>,
    /// How it is built.
    pub build: Box<dyn Build>,
}

/// A view's operator in a plan.
pub struct Node {
    /// The view's name.
    pub name: String,
    /// What it reads.
    pub inputs: Vec<Port>,
    /// How many outputs have names; those behind them are steps.
    pub n_outputs: usize,
    /// How it is built.
    pub build: Box<dyn Build>,
    /// The input relations that it is computed from.
    pub reads: BTreeSet<usize>,
}

/// What is computed.
pub struct Plan {
    /// What is fed.
    pub relations: Vec<RelationSpec>,
    /// Operators; each reads relations and earlier nodes.
    pub nodes: Vec<Node>,
    /// All relations and views by name.
    pub views: Vec<View>,
    /// The views whose changes leave the dataflow, as indices of `views`, without repeats.
    pub emitted: Vec<usize>,
}

impl Plan {
    /// The index of a view.
    pub fn view(&self, name: &str) -> Option<usize> {
        self.views.iter().position(|v| v.name == name)
    }

    /// Whether a view reads what is at a port, or it leaves the dataflow.
    pub fn is_read(&self, port: Port) -> bool {
        self.nodes.iter().any(|node| node.inputs.contains(&port))
            || self.emitted_views().any(|view| view.port == port)
    }

    /// Whether a view's rows depend on when events came; see [`Build::depends_on_arrival`].
    pub fn depends_on_arrival(&self) -> bool {
        let is_read = |(index, node): (usize, &Node)| {
            let mut ports = (0..node.n_outputs).map(|output| Port::Node { node: index, output });
            node.build.depends_on_arrival() && ports.any(|port| self.is_read(port))
        };
        self.nodes.iter().enumerate().any(is_read)
    }

    /// The views whose changes leave the dataflow.
    pub fn emitted_views(&self) -> impl Iterator<Item = &View> {
        self.emitted.iter().filter_map(|v| self.views.get(*v))
    }
}

/// What a name of the config stands for while a plan grows.
enum Entry {
    /// A relation or view, by its index.
    Known(usize),
    /// A view that has problems of its own; whoever reads it isn't to blame.
    Broken,
}

/// Stands for the node of a view that has problems; no plan with such a view is ever finished.
const BROKEN: usize = usize::MAX;

/// Grows a plan view by view, in dependency order.
#[derive(Default)]
pub struct PlanBuilder {
    relations: Vec<RelationSpec>,
    nodes: Vec<Node>,
    views: Vec<View>,
    entries: BTreeMap<String, Entry>,
}

impl PlanBuilder {
    /// Starts from the relations that are fed.
    pub fn new(relations: Vec<RelationSpec>) -> Self {
        let mut builder = Self::default();
        for (index, relation) in relations.iter().enumerate() {
            builder.add_view(View {
                name: relation.name.clone(),
                kind: relation.kind,
                schema: Arc::clone(&relation.schema),
                is_keyed: relation.kind.is_keyed(),
                operator: None,
                port: Port::Relation(index),
                reads: BTreeSet::from([index]),
            });
        }
        builder.relations = relations;
        builder
    }

    /// The relation or view that an option names. `None` where the option isn't there or what it
    /// names has problems; an unknown name is told as a problem.
    pub fn input(
        &self,
        settings: &Settings,
        option: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<&View> {
        let name = settings.text(option)?;
        match self.entry(name) {
            Some(Entry::Known(view)) => self.views.get(*view),
            Some(Entry::Broken) => None,
            None => {
                let message = format!("no relation or view is named `{name}`");
                let known = self.entries.keys().map(String::as_str);
                let mut problem = Problem::new(settings.place(option), "unknown_view", message);
                problem.hint = did_you_mean(name, known);
                problems.push(problem);
                None
            }
        }
    }

    /// As [`PlanBuilder::input`], for inputs that must hold rows of certain kinds.
    pub fn input_of(
        &self,
        settings: &Settings,
        option: &str,
        kinds: &[RelationKind],
        problems: &mut Vec<Problem>,
    ) -> Option<View> {
        let view = self.input(settings, option, problems)?;
        if kinds.contains(&view.kind) {
            return Some(view.clone());
        }
        let wanted: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let message = format!(
            "`{option}` must hold {}, but `{}` holds {}",
            wanted.join(" or "),
            view.name,
            view.kind.name()
        );
        problems.push(Problem::new(settings.place(option), "wrong_input", message));
        None
    }

    /// The events that a view's rows come from, where it is an input relation; else its rows. For
    /// readers that settle revisions by key themselves.
    pub fn events_of(view: &View) -> Port {
        match view.port {
            Port::Relation(relation) => Port::Events(relation),
            port => port,
        }
    }

    /// Whether events at a port can replace and remove one another; where not, each is a row.
    pub fn has_corrections(&self, port: Port) -> bool {
        let Port::Events(relation) = port else { return false };
        self.relations.get(relation).is_some_and(|spec| spec.has_corrections)
    }

    /// The rows of a view as of each step of a grid; `None` where its operator can't give them.
    pub fn steps_of(&mut self, view: &View, step: Span) -> Option<Port> {
        let Port::Node { node, output: 0 } = view.port else { return None };
        if node == BROKEN {
            // Its steps are as broken as itself, and whoever reads them isn't to blame.
            return Some(view.port);
        }
        let output = self.nodes.get_mut(node)?.build.demand_steps(step)?;
        Some(Port::Node { node, output })
    }

    /// Adds a prepared view.
    pub fn add(&mut self, name: &str, operator: &'static str, prepared: Prepared) {
        let node = self.nodes.len();
        let reads: BTreeSet<usize> =
            prepared.inputs.iter().flat_map(|port| self.reads(*port)).collect();
        let n_outputs = prepared.outputs.len();
        for (output, spec) in prepared.outputs.into_iter().enumerate() {
            self.add_view(View {
                name: full_name(name, spec.suffix),
                kind: spec.kind,
                schema: spec.schema,
                is_keyed: spec.is_keyed,
                operator: Some(operator),
                port: Port::Node { node, output },
                reads: reads.clone(),
            });
        }
        let Prepared { inputs, build, .. } = prepared;
        self.nodes.push(Node { name: name.to_owned(), inputs, n_outputs, build, reads });
    }

    /// Adds a view that has problems. Where its outputs are known all the same, what reads it is
    /// still checked against them.
    pub fn add_broken(&mut self, name: &str, operator: &'static str, outputs: Option<Vec<Output>>) {
        let Some(outputs) = outputs else {
            self.entries.insert(name.to_owned(), Entry::Broken);
            return;
        };
        let node = BROKEN;
        for (output, spec) in outputs.into_iter().enumerate() {
            self.add_view(View {
                name: full_name(name, spec.suffix),
                kind: spec.kind,
                schema: spec.schema,
                is_keyed: spec.is_keyed,
                operator: Some(operator),
                port: Port::Node { node, output },
                reads: BTreeSet::new(),
            });
        }
    }

    /// A relation or view by name.
    pub fn view(&self, name: &str) -> Option<&View> {
        match self.entry(name)? {
            Entry::Known(view) => self.views.get(*view),
            Entry::Broken => None,
        }
    }

    /// Whether a name stands for something, be it a broken view or what may be an output of one.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// All names, for hints.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.keys().map(String::as_str)
    }

    /// Finishes the plan; `emitted` are the views that leave the dataflow, by name.
    pub fn finish<'a>(self, emitted: impl IntoIterator<Item = &'a str>) -> Plan {
        let wanted: BTreeSet<&str> = emitted.into_iter().collect();
        let named = self.views.iter().enumerate().filter(|(_, v)| wanted.contains(v.name.as_str()));
        let emitted = named.map(|(i, _)| i).collect();
        Plan { relations: self.relations, nodes: self.nodes, views: self.views, emitted }
    }

    /// What a name stands for. Which outputs a broken view has isn't known, so any may be one.
    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name).or_else(|| {
            let dots = name.match_indices('.').filter_map(|(dot, _)| name.get(..dot));
            let mut views = dots.filter_map(|view| self.entries.get(view));
            views.find(|entry| matches!(entry, Entry::Broken))
        })
    }

    fn add_view(&mut self, view: View) {
        self.entries.insert(view.name.clone(), Entry::Known(self.views.len()));
        self.views.push(view);
    }

    fn reads(&self, port: Port) -> BTreeSet<usize> {
        match port {
            Port::Relation(relation) | Port::Events(relation) => BTreeSet::from([relation]),
            Port::Node { node, .. } => {
                self.nodes.get(node).map(|n| n.reads.clone()).unwrap_or_default()
            }
        }
    }
}

/// The name of a view's output.
fn full_name(view: &str, suffix: &str) -> String {
    if suffix.is_empty() { view.to_owned() } else { format!("{view}.{suffix}") }
}
