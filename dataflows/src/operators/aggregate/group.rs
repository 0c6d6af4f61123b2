//! The rows of a group, added up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::{Row, Value};

use super::function::{Asked, Function};
use super::sum::Sum;
use super::{Shown, Values};
use crate::operators::expressions::leaving;

/// What a row brings to a function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Arg {
    /// The value of its expression.
    Value(Value),
    /// Its expression has none.
    Overflow,
}

/// What is kept of the values that aren't null.
enum Kept {
    Count,
    Sum(Sum),
    /// Each value and how often it stands, in order.
    Values(BTreeMap<Value, isize>),
}

/// One function's values.
struct Part {
    /// How many values aren't null.
    n: isize,
    /// How many rows have no value.
    n_overflows: isize,
    kept: Kept,
}

/// A group: counts fit where rows do.
pub(super) struct Group {
    n_rows: isize,
    parts: Box<[Part]>,
}

impl Group {
    pub(super) fn new(asked: &[Asked]) -> Self {
        Self { n_rows: 0, parts: asked.iter().map(|asked| Part::new(asked.function)).collect() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Takes a row in, or out, so many times.
    pub(super) fn take(&mut self, args: &[Arg], times: isize) {
        self.n_rows += times;
        for (part, arg) in self.parts.iter_mut().zip(args) {
            part.take(arg, times);
        }
    }

    /// The row of the view, or of its errors where a value doesn't fit; `None` without rows.
    pub(super) fn shown(&self, by: &Values, asked: &[Asked]) -> Option<Shown> {
        if self.is_empty() {
            return None;
        }
        let mut row = by.to_vec();
        for (part, asked) in self.parts.iter().zip(asked) {
            let Some(value) = part.value(asked.function) else {
                row.truncate(by.len());
                row.push(Value::Text(asked.reason.clone()));
                return Some(Err(Row(row.into())));
            };
            row.push(value);
        }
        Some(Ok(Row(row.into())))
    }
}

impl Part {
    const fn new(function: Function) -> Self {
        let kept = match function {
            Function::Count => Kept::Count,
            Function::Sum | Function::Avg => Kept::Sum(Sum::ZERO),
            Function::Min | Function::Max | Function::Distinct => Kept::Values(BTreeMap::new()),
        };
        Self { n: 0, n_overflows: 0, kept }
    }

    fn take(&mut self, arg: &Arg, times: isize) {
        let value = match arg {
            Arg::Overflow => {
                self.n_overflows += times;
                return;
            }
            Arg::Value(Value::Null) => return,
            Arg::Value(value) => value,
        };
        self.n += times;
        match &mut self.kept {
            Kept::Count => {}
            Kept::Sum(sum) => {
                if let Value::Number(number) = value {
                    sum.add(*number, times);
                }
            }
            Kept::Values(values) => {
                // Within an epoch a value may go before it comes.
                let n = values.entry(value.clone()).or_default();
                *n += times;
                if *n == 0 {
                    values.remove(value);
                }
            }
        }
    }

    /// The function's value; `None` where it doesn't fit.
    fn value(&self, function: Function) -> Option<Value> {
        if self.n_overflows != 0 {
            return None;
        }
        let n = u64::try_from(self.n).unwrap_or(0);
        match &self.kept {
            Kept::Count => Some(Value::from(n)),
            Kept::Sum(_) if n == 0 => Some(Value::Null),
            Kept::Sum(sum) => {
                sum.over(if function == Function::Avg { n } else { 1 }).map(Value::Number)
            }
            Kept::Values(values) => match function {
                Function::Min => extreme(values.first_key_value()),
                Function::Max => extreme(values.last_key_value()),
                _ => Some(Value::from(u64::try_from(values.len()).unwrap_or(u64::MAX))),
            },
        }
    }
}

/// The least or greatest value as it leaves; null where there is none.
fn extreme(found: Option<(&Value, &isize)>) -> Option<Value> {
    found.map_or(Some(Value::Null), |(value, _)| leaving(value.clone()).ok())
}
