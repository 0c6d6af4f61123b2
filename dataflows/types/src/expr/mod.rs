//! The expressions of a config: text, types, values. Exact, total, without side effects.
//!
//! They stand in this package, and not among the operators, because sources map columns with them
//! as well.
//!
//! From loosest to tightest: `or`, `and`, `not`, comparisons (with `in` and `is null`, which don't
//! chain), `||`, `+ -`, `* /`, unary minus.

mod check;
mod eval;
mod lex;
mod parse;
mod vain;

use std::ops::Range;

pub use check::Compiled;
pub use eval::{Columns, EvalError};
pub use parse::Expr;

/// How deep an expression may nest: it is walked by recursion, and stacks end.
pub const DEPTH_MAX: usize = 64;

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

impl ExprError {
    fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests;
