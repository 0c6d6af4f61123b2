//! Plan -> timely dataflow: one walk.
