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

    /// The columns that it names, in the order of their first place, without repeats.
    pub fn column_names(&self) -> Vec<&str> {
        Vec::new()
    }
}
