//! Plan -> timely dataflow: one walk over relations and nodes, in their order.

use std::sync::Arc;

use timely::worker::Worker;
use types::{Changes, Names};

use crate::edge::Edge;
use crate::inputs::{self, Inputs};
use crate::outputs::Outputs;
use crate::plan::{Context, Plan, Port};

/// A worker's end of a rendered plan.
pub struct Rendered {
    /// Where epochs go in.
    pub inputs: Inputs,
    /// Where changes come out.
    pub outputs: Outputs,
}

/// Renders a plan on a worker. All workers render the same plan.
pub fn render(worker: &mut Worker, plan: &Plan, names: &Arc<Names>) -> Rendered {
    let empty = plan.emitted_views().map(|view| Changes::empty(view.kind)).collect();
    let outputs = Outputs::new(empty);
    let inputs = worker.dataflow::<u64, _, _>(|scope| {
        let fed = inputs::build(scope, &plan.relations);
        let mut nodes: Vec<Vec<Edge<'_>>> = Vec::with_capacity(plan.nodes.len());
        for (index, node) in plan.nodes.iter().enumerate() {
            let inputs: Vec<Edge<'_>> =
                node.inputs.iter().map(|port| edge(&fed.edges, &nodes, *port).clone()).collect();
            let context = Context {
                scope,
                clock: fed.clock.clone(),
                names: Arc::clone(names),
                view: &node.name,
                reads: node.reads.iter().copied().collect(),
                is_read: (0..node.n_outputs)
                    .map(|output| plan.is_read(Port::Node { node: index, output }))
                    .collect(),
            };
            nodes.push(node.build.build(&context, &inputs));
        }
        for (index, view) in plan.emitted_views().enumerate() {
            outputs.add(edge(&fed.edges, &nodes, view.port).clone(), index);
        }
        outputs.watch(fed.clock);
        fed.inputs
    });
    Rendered { inputs, outputs }
}

/// The edge at a port. The plan's order guarantees that it is there.
fn edge<'e, 's>(fed: &'e [Edge<'s>], nodes: &'e [Vec<Edge<'s>>], port: Port) -> &'e Edge<'s> {
    match port {
        Port::Relation(relation) => &fed[relation],
        Port::Node { node, output } => &nodes[node][output],
    }
}
