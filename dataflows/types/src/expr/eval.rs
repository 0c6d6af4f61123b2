//! Values of expressions.

/// Why an expression has no value for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A number that doesn't fit 38 digits or 36 decimals.
    #[error("overflow")]
    Overflow,
}
