//! Plan -> timely dataflow: one walk over relations and nodes, in their order.

use std::rc::Rc;
use std::sync::Arc;

use timely::worker::Worker;
use types::{Changes, Names};

use crate::cold::{Cold, Spilling};
use crate::edge::Edge;
use crate::inputs::{self, ClockInput, Inputs, RelationEvents};
use crate::outputs::Outputs;
use crate::plan::{Context, Plan, Port, RelationSpec};

/// A worker's end of a rendered plan.
pub struct Rendered {
    /// Where epochs go in.
    pub inputs: Inputs,
    /// Where changes come out.
    pub outputs: Outputs,
}

/// Renders a plan on a worker. All workers render the same plan. `spilling` says how much history this
/// one may hold in memory; all of it where it isn't given.
pub fn render(
    worker: &mut Worker,
    plan: &Plan,
    names: &Arc<Names>,
    spilling: Option<Spilling>,
) -> Rendered {
    let cold = Cold::new(spilling);
    let empty = plan.emitted_views().map(|view| Changes::empty(view.kind)).collect();
    let outputs = Outputs::new(empty);
    let inputs = worker.dataflow::<u64, _, _>(|scope| {
        let fed = inputs::build(scope, &plan.relations);
        let clock = ClockInput::new(scope);
        let mut edges = Edges::new(&plan.relations, &fed.relations);
        for (index, node) in plan.nodes.iter().enumerate() {
            let inputs: Vec<Edge<'_>> = node.inputs.iter().map(|port| edges.at(*port)).collect();
            let context = Context {
                scope,
                clock: &clock,
                names: Arc::clone(names),
                cold: Rc::clone(&cold),
                view: &node.name,
                reads: node.reads.iter().copied().collect(),
                is_read: (0..node.n_outputs)
                    .map(|output| plan.is_read(Port::Node { node: index, output }))
                    .collect(),
            };
            edges.nodes.push(node.build.build(&context, &inputs));
        }
        for (index, view) in plan.emitted_views().enumerate() {
            outputs.add(edges.at(view.port), index);
        }
        if plan.emitted_views().next().is_none() {
            outputs.watch(clock.stream());
        }
        fed.inputs.with_clock(clock)
    });
    Rendered { inputs, outputs }
}

/// The edges that are there so far.
struct Edges<'e, 's> {
    specs: &'e [RelationSpec],
    relations: &'e [RelationEvents<'s>],
    /// The rows of relations, made when first read: what reads events alone needn't pay for them.
    rows: Vec<Option<Edge<'s>>>,
    nodes: Vec<Vec<Edge<'s>>>,
}

impl<'e, 's> Edges<'e, 's> {
    fn new(specs: &'e [RelationSpec], relations: &'e [RelationEvents<'s>]) -> Self {
        Self { specs, relations, rows: relations.iter().map(|_| None).collect(), nodes: Vec::new() }
    }

    /// The edge at a port. The plan's order guarantees that it is there.
    fn at(&mut self, port: Port) -> Edge<'s> {
        match port {
            Port::Relation(index) => {
                let rows = || self.relations[index].rows(&self.specs[index]);
                self.rows[index].get_or_insert_with(rows).clone()
            }
            Port::Events(index) => self.relations[index].events(),
            Port::Node { node, output } => self.nodes[node][output].clone(),
        }
    }
}
