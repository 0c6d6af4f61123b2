//! Names and types: columns become indices.

use super::{EvalError, Expr, ExprError};
use crate::schema::Type;
use crate::value::Value;

/// An expression with nothing left to look up.
#[derive(Clone, Debug)]
pub struct Compiled;

impl Expr {
    /// Settles names and types against the columns that the expression may read, by index.
    ///
    /// # Errors
    /// All unknown columns and wrong types.
    pub fn check(&self, _columns: &[(&str, Type)]) -> Result<Compiled, Vec<ExprError>> {
        Ok(Compiled)
    }
}

impl Compiled {
    /// The type of its value.
    pub fn value_type(&self) -> Type {
        Type::Bool
    }

    /// The columns that it reads, by index, without repeats.
    pub fn columns(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Its value for a row; `column` gives the row's value by index.
    ///
    /// # Errors
    /// A number that doesn't fit 38 digits.
    pub fn eval(&self, _column: &dyn Fn(usize) -> Value) -> Result<Value, EvalError> {
        Ok(Value::Null)
    }

    /// Whether it is true for a row: false and null aren't.
    ///
    /// # Errors
    /// As [`Compiled::eval`].
    pub fn is_true(&self, column: &dyn Fn(usize) -> Value) -> Result<bool, EvalError> {
        Ok(self.eval(column)? == Value::Bool(true))
    }
}
