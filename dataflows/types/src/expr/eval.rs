//! Values of expressions.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::check::Compiled;
use super::parse::{Calculation, Comparison};
use crate::number::Decimal;
use crate::value::{Float, Text, Value};

/// Why an expression has no value for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A number that doesn't fit 38 digits or 36 decimals.
    #[error("overflow")]
    Overflow,
}

/// Gives a row's value by the column's index.
pub type Columns<'c> = &'c dyn Fn(usize) -> Cow<'c, Value>;

impl Compiled {
    /// Whether there may be rows for which it has no value.
    pub fn may_fail(&self) -> bool {
        self.op.may_fail()
    }
}

/// A checked part of an expression: types fit, names are indices.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Constant(Value),
    Column(usize),
    Not(Box<Op>),
    And(Box<[Op]>),
    Or(Box<[Op]>),
    Compare(Comparison, Box<(Op, Op)>),
    In(Box<In>),
    IsNull(Box<Op>),
    StartsWith(Box<(Op, Op)>),
    Negate(Box<Op>),
    Abs(Box<Op>),
    Calculate(Calculation, Box<(Op, Op)>),
    Least(Box<[Op]>),
    Greatest(Box<[Op]>),
    Coalesce(Box<[Op]>),
    Concat(Box<[Op]>),
    Lower(Box<Op>),
    ToFloat(Box<Op>),
    ToNumber(Box<Op>),
}

/// Whether a value is one of a list.
#[derive(Clone, Debug)]
pub(super) struct In {
    of: Op,
    /// The constants of the list, sorted, without null.
    constants: Box<[Value]>,
    /// The rest.
    others: Box<[Op]>,
}

impl Op {
    /// Whether the value of `of` is one of a list.
    pub(super) fn is_in(of: Self, list: Vec<Self>) -> Self {
        let (mut constants, mut others) = (Vec::new(), Vec::new());
        for op in list {
            match op {
                Self::Constant(value) if !value.is_null() => constants.push(value),
                op => others.push(op),
            }
        }
        constants.sort();
        constants.dedup();
        Self::In(Box::new(In { of, constants: constants.into(), others: others.into() }))
    }

    /// Calls `see` with each part that it is directly made of.
    fn for_parts(&self, see: &mut dyn FnMut(&Self)) {
        match self {
            Self::Constant(_) | Self::Column(_) => {}
            Self::Not(of)
            | Self::IsNull(of)
            | Self::Negate(of)
            | Self::Abs(of)
            | Self::Lower(of)
            | Self::ToFloat(of)
            | Self::ToNumber(of) => see(of),
            Self::Compare(_, pair) | Self::Calculate(_, pair) | Self::StartsWith(pair) => {
                see(&pair.0);
                see(&pair.1);
            }
            Self::And(parts)
            | Self::Or(parts)
            | Self::Least(parts)
            | Self::Greatest(parts)
            | Self::Coalesce(parts)
            | Self::Concat(parts) => parts.iter().for_each(see),
            Self::In(is_in) => {
                see(&is_in.of);
                is_in.others.iter().for_each(see);
            }
        }
    }

    /// Adds the columns that it reads.
    pub(super) fn columns(&self, columns: &mut Vec<usize>) {
        if let Self::Column(index) = self {
            columns.push(*index);
        }
        self.for_parts(&mut |part| part.columns(columns));
    }

    /// Whether some part of it has no value for some rows.
    pub(super) fn may_fail(&self) -> bool {
        let mut may_fail = matches!(
            self,
            Self::Negate(_) | Self::Abs(_) | Self::Calculate(..) | Self::ToNumber(_)
        );
        self.for_parts(&mut |part| may_fail |= part.may_fail());
        may_fail
    }

    /// Whether it is made of constants alone.
    pub(super) fn is_constant(&self) -> bool {
        let mut is_constant = !matches!(self, Self::Column(_));
        self.for_parts(&mut |part| is_constant &= matches!(part, Self::Constant(_)));
        is_constant
    }

    /// Its value as true, false or null.
    pub(super) fn truth<'a>(&'a self, column: Columns<'a>) -> Result<Option<bool>, EvalError> {
        match self {
            Self::Not(of) => Ok(of.truth(column)?.map(|truth| !truth)),
            Self::And(parts) => all(parts, column, true),
            Self::Or(parts) => all(parts, column, false),
            Self::Compare(comparison, pair) => {
                let (left, right) = (pair.0.value(column)?, pair.1.value(column)?);
                if left.is_null() || right.is_null() {
                    return Ok(None);
                }
                Ok(Some(comparison.holds(&left, &right)))
            }
            Self::In(is_in) => is_in.truth(column),
            Self::IsNull(of) => Ok(Some(of.value(column)?.is_null())),
            Self::StartsWith(pair) => {
                let (of, prefix) = (pair.0.value(column)?, pair.1.value(column)?);
                Ok(match (of.as_ref(), prefix.as_ref()) {
                    (Value::Text(of), Value::Text(prefix)) => {
                        Some(of.as_str().starts_with(prefix.as_str()))
                    }
                    _ => None,
                })
            }
            Self::Constant(Value::Bool(truth)) => Ok(Some(*truth)),
            Self::Constant(_) => Ok(None),
            Self::Column(_)
            | Self::Negate(_)
            | Self::Abs(_)
            | Self::Calculate(..)
            | Self::Least(_)
            | Self::Greatest(_)
            | Self::Coalesce(_)
            | Self::Concat(_)
            | Self::Lower(_)
            | Self::ToFloat(_)
            | Self::ToNumber(_) => match self.value(column)?.as_ref() {
                Value::Bool(truth) => Ok(Some(*truth)),
                _ => Ok(None),
            },
        }
    }

    /// Its value.
    pub(super) fn value<'a>(&'a self, column: Columns<'a>) -> Result<Cow<'a, Value>, EvalError> {
        Ok(Cow::Owned(match self {
            Self::Constant(value) => return Ok(Cow::Borrowed(value)),
            Self::Column(index) => return Ok(column(*index)),
            Self::Not(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Compare(..)
            | Self::In(_)
            | Self::IsNull(_)
            | Self::StartsWith(_) => Value::from(self.truth(column)?),
            Self::Negate(of) => of.number(column, Decimal::checked_neg)?,
            Self::Abs(of) => of.number(column, Decimal::checked_abs)?,
            Self::Calculate(calculation, pair) => {
                let (left, right) = (pair.0.value(column)?, pair.1.value(column)?);
                match (left.as_ref(), right.as_ref()) {
                    (Value::Number(left), Value::Number(right)) => calculation.of(*left, *right)?,
                    _ => Value::Null,
                }
            }
            Self::Least(parts) => return extreme(parts, column, Ordering::Less),
            Self::Greatest(parts) => return extreme(parts, column, Ordering::Greater),
            Self::Coalesce(parts) => {
                for part in parts {
                    let value = part.value(column)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Self::Concat(parts) => concat(parts, column)?,
            Self::Lower(of) => match of.value(column)?.as_ref() {
                Value::Text(text) => Value::Text(Text::from(text.as_str().to_lowercase())),
                _ => Value::Null,
            },
            Self::ToFloat(of) => match of.value(column)?.as_ref() {
                Value::Number(number) => Value::from(Float::new(number.nearest_float())),
                _ => Value::Null,
            },
            Self::ToNumber(of) => match of.value(column)?.as_ref() {
                Value::Float(float) => {
                    float.decimal().map(Value::Number).ok_or(EvalError::Overflow)?
                }
                value => value.clone(),
            },
        }))
    }

    /// The value of a function of its number.
    fn number<'a>(
        &'a self,
        column: Columns<'a>,
        function: fn(Decimal) -> Option<Decimal>,
    ) -> Result<Value, EvalError> {
        match self.value(column)?.as_ref() {
            Value::Number(number) => {
                function(*number).map(Value::Number).ok_or(EvalError::Overflow)
            }
            _ => Ok(Value::Null),
        }
    }
}

impl Comparison {
    /// Whether it holds between two values of one type.
    fn holds(self, left: &Value, right: &Value) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Calculation {
    /// Its value: null for a division by zero.
    fn of(self, left: Decimal, right: Decimal) -> Result<Value, EvalError> {
        let result = match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide if right == Decimal::ZERO => return Ok(Value::Null),
            Self::Divide => left.checked_div(right),
        };
        result.map(Value::Number).ok_or(EvalError::Overflow)
    }
}

impl In {
    fn truth<'a>(&'a self, column: Columns<'a>) -> Result<Option<bool>, EvalError> {
        let of = self.of.value(column)?;
        if of.is_null() {
            return Ok(None);
        }
        if self.constants.binary_search(&of).is_ok() {
            return Ok(Some(true));
        }
        let mut truth = Some(false);
        for other in &self.others {
            let other = other.value(column)?;
            if other.is_null() {
                truth = None;
            } else if other == of {
                return Ok(Some(true));
            }
        }
        Ok(truth)
    }
}

/// Whether all parts are `wanted`: `and` for true, `or` (told from the other side) for false. The
/// first part that settles it ends it, so that a condition can guard what stands behind it.
fn all<'a>(parts: &'a [Op], column: Columns<'a>, wanted: bool) -> Result<Option<bool>, EvalError> {
    let mut truth = Some(wanted);
    for part in parts {
        match part.truth(column)? {
            Some(found) if found == wanted => {}
            Some(found) => return Ok(Some(found)),
            None => truth = None,
        }
    }
    Ok(truth)
}

/// The least or greatest value; null if one of them is.
fn extreme<'a>(
    parts: &'a [Op],
    column: Columns<'a>,
    wanted: Ordering,
) -> Result<Cow<'a, Value>, EvalError> {
    let mut best: Option<Cow<'a, Value>> = None;
    for part in parts {
        let value = part.value(column)?;
        if value.is_null() {
            return Ok(value);
        }
        if best.as_ref().is_none_or(|best| value.cmp(best) == wanted) {
            best = Some(value);
        }
    }
    Ok(best.unwrap_or(Cow::Owned(Value::Null)))
}

/// The texts of all parts behind one another; null if one of them is.
fn concat<'a>(parts: &'a [Op], column: Columns<'a>) -> Result<Value, EvalError> {
    let mut text = String::new();
    for part in parts {
        match part.value(column)?.as_ref() {
            Value::Null => return Ok(Value::Null),
            Value::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
            Value::Number(number) => text.push_str(&number.to_string()),
            // As outputs write it.
            Value::Float(float) => {
                text.push_str(&serde_json::to_string(float).unwrap_or_default());
            }
            Value::Time(time) => text.push_str(&time.to_string()),
            Value::Text(part) => text.push_str(part.as_str()),
        }
    }
    Ok(Value::Text(Text::from(text)))
}
