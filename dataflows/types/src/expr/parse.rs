//! Text to tree.

use super::ExprError;

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Expr;

impl Expr {
    /// Parses a text.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(_text: &str) -> Result<Self, ExprError> {
        Ok(Self)
    }
}
