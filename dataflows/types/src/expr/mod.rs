//! The expressions of a config: text, types, values. Exact, total, without side effects.
//!
//! They stand in this package, and not among the operators, because sources map columns with them
//! as well.

mod check;
mod eval;
mod parse;

use std::ops::Range;

pub use check::Compiled;
pub use eval::EvalError;
pub use parse::Expr;

/// What is wrong with an expression, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}
