//! Names and types: columns become indices, constants become values.

use std::borrow::Cow;
use std::ops::Range;

use super::eval::{Columns, Op};
use super::parse::{Comparison, Node, Tree};
use super::{EvalError, Expr, ExprError};
use crate::options::{closest, did_you_mean};
use crate::schema::{Kind, Type, holds_wallets};
use crate::time::VenueTime;
use crate::value::{Text, Value};

/// An expression with nothing left to look up.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub(super) op: Op,
    value_type: Type,
    columns: Vec<usize>,
}

impl Expr {
    /// Settles names and types against the columns that the expression may read, by index.
    ///
    /// # Errors
    /// All unknown columns, wrong types, words that a column never holds and columns that share none, from
    /// left to right.
    pub fn check(&self, columns: &[(&str, Kind)]) -> Result<Compiled, Vec<ExprError>> {
        let mut checker = Checker { text: &self.text, columns, errors: Vec::new() };
        let checked = checker.check(&self.tree);
        let value_type = match checked.of {
            Of::Type(of) => Some(of),
            Of::Null => {
                checker.error(&self.tree.at, "this is always null".to_owned());
                None
            }
            Of::Broken => None,
        };
        checker.errors.sort_by_key(|error| (error.at.start, error.at.end));
        match value_type {
            Some(value_type) if checker.errors.is_empty() => {
                let mut columns = Vec::new();
                checked.op.columns(&mut columns);
                columns.sort_unstable();
                columns.dedup();
                Ok(Compiled { op: checked.op, value_type, columns })
            }
            _ => Err(checker.errors),
        }
    }
}

impl Compiled {
    /// The type of its value.
    pub fn value_type(&self) -> Type {
        self.value_type
    }

    /// The columns that it reads, by index, in order, without repeats.
    pub fn columns(&self) -> Vec<usize> {
        self.columns.clone()
    }

    /// The column, where the expression is nothing but one.
    pub fn as_column(&self) -> Option<usize> {
        match &self.op {
            Op::Column(index) => Some(*index),
            _ => None,
        }
    }

    /// Its value for a row; `column` gives the row's value by index.
    ///
    /// # Errors
    /// A number that doesn't fit 38 digits.
    pub fn eval<'a>(&'a self, column: Columns<'a>) -> Result<Value, EvalError> {
        Ok(self.op.value(column)?.into_owned())
    }

    /// Whether it is true for a row: false and null aren't.
    ///
    /// # Errors
    /// As [`Compiled::eval`].
    pub fn is_true<'a>(&'a self, column: Columns<'a>) -> Result<bool, EvalError> {
        Ok(self.op.truth(column)? == Some(true))
    }
}

/// What is known of a part's value.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    /// Its type; it may be null.
    Type(Type),
    /// Always null: fits every type.
    Null,
    /// The part has an error, which is told already: fits every type.
    Broken,
}

/// A checked part.
struct Checked {
    op: Op,
    of: Of,
}

/// An operation on a number, text or the like, with what it takes and gives.
struct Function {
    name: &'static str,
    /// How many values it takes: this many, or at least this many where `is_open`.
    n_arguments: usize,
    is_open: bool,
}

const FUNCTIONS: &[Function] = &[
    Function { name: "abs", n_arguments: 1, is_open: false },
    Function { name: "min", n_arguments: 2, is_open: true },
    Function { name: "max", n_arguments: 2, is_open: true },
    Function { name: "lower", n_arguments: 1, is_open: false },
    Function { name: "starts_with", n_arguments: 2, is_open: false },
    Function { name: "coalesce", n_arguments: 2, is_open: true },
    Function { name: "number", n_arguments: 1, is_open: false },
];

pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
    pub(super) columns: &'a [(&'a str, Kind)],
    pub(super) errors: Vec<ExprError>,
}

impl Checker<'_> {
    fn check(&mut self, tree: &Tree) -> Checked {
        let (op, of) = match &tree.node {
            Node::Literal(value) => (Op::Constant(value.clone()), of_literal(value)),
            Node::Column(name) => return self.column(name, &tree.at),
            Node::Not(part) => (Op::Not(Box::new(self.logical(part, "not"))), Of::Type(Type::Bool)),
            Node::And(parts) => (Op::And(self.all_logical(parts, "and")), Of::Type(Type::Bool)),
            Node::Or(parts) => (Op::Or(self.all_logical(parts, "or")), Of::Type(Type::Bool)),
            Node::Concat(parts) => {
                let ops = parts.iter().map(|part| self.check(part).op).collect();
                (Op::Concat(ops), Of::Type(Type::Text))
            }
            Node::Negate(part) => {
                (Op::Negate(Box::new(self.number(part, "-"))), Of::Type(Type::Number))
            }
            Node::Calculate(calculation, pair) => {
                let sign = calculation.sign();
                let ops = (self.number(&pair.0, sign), self.number(&pair.1, sign));
                (Op::Calculate(*calculation, Box::new(ops)), Of::Type(Type::Number))
            }
            Node::Compare(comparison, pair) => self.comparison(tree, *comparison, pair),
            Node::In(part, list) => self.membership(part, list),
            Node::IsNull(part) => (Op::IsNull(Box::new(self.check(part).op)), Of::Type(Type::Bool)),
            Node::Call { name, name_at, arguments } => {
                match self.call(tree, name, name_at, arguments) {
                    Some(called) => called,
                    None => return broken(),
                }
            }
        };
        self.folded(op, of, &tree.at)
    }

    /// Computes what holds no column.
    fn folded(&mut self, op: Op, of: Of, at: &Range<usize>) -> Checked {
        if !op.is_constant() {
            return Checked { op, of };
        }
        match op.value(&|_| Cow::Owned(Value::Null)).map(Cow::into_owned) {
            Ok(value) => Checked { op: Op::Constant(value), of },
            Err(error) => {
                self.error(at, format!("{}: {error}", self.shown(at)));
                broken()
            }
        }
    }

    fn column(&mut self, name: &str, at: &Range<usize>) -> Checked {
        if let Some(index) = self.columns.iter().position(|(known, _)| *known == name) {
            return Checked { op: Op::Column(index), of: Of::Type(self.columns[index].1.of()) };
        }
        let mut error = ExprError::new(at.clone(), format!("no column is named `{name}`"));
        let known = self.columns.iter().map(|(known, _)| *known);
        let is_quoted = self.text.get(at.clone()).is_some_and(|text| text.starts_with('"'));
        error.hint = if is_quoted && closest(name, known.clone()).is_none() {
            Some(format!("a text stands in single quotes: '{name}'"))
        } else {
            did_you_mean(name, known)
        };
        self.errors.push(error);
        broken()
    }

    fn all_logical(&mut self, parts: &[Tree], word: &str) -> Box<[Op]> {
        parts.iter().map(|part| self.logical(part, word)).collect()
    }

    /// A part that must be true or false.
    fn logical(&mut self, tree: &Tree, word: &str) -> Op {
        let checked = self.check(tree);
        if let Of::Type(of @ (Type::Number | Type::Float | Type::Time | Type::Text)) = checked.of {
            let shown = self.shown(&tree.at);
            let message = format!("{shown} is {}: `{word}` takes true or false", describe(of));
            self.error(&tree.at, message);
        }
        checked.op
    }

    /// A part that must be a number.
    fn number(&mut self, tree: &Tree, sign: &str) -> Op {
        let checked = self.check(tree);
        if let Of::Type(of @ (Type::Bool | Type::Float | Type::Time | Type::Text)) = checked.of {
            let shown = self.shown(&tree.at);
            let message = format!("{shown} is {}: `{sign}` takes numbers", describe(of));
            let mut error = ExprError::new(tree.at.clone(), message);
            error.hint = match of {
                Type::Text if sign == "+" => Some("join texts with `||`".to_owned()),
                Type::Float => Some("make a decimal of it: `number(..)`".to_owned()),
                _ => None,
            };
            self.errors.push(error);
        }
        checked.op
    }

    /// A part that must be a float; a number will do.
    fn numeric(&mut self, tree: &Tree) -> Op {
        let checked = self.check(tree);
        if let Of::Type(of @ (Type::Bool | Type::Time | Type::Text)) = checked.of {
            let message =
                format!("{} is {}: `number` takes floats", self.shown(&tree.at), describe(of));
            self.error(&tree.at, message);
        }
        checked.op
    }

    /// A part that must be a text.
    fn textual(&mut self, tree: &Tree, function: &str) -> Op {
        let checked = self.check(tree);
        if let Of::Type(of @ (Type::Bool | Type::Number | Type::Float | Type::Time)) = checked.of {
            let shown = self.shown(&tree.at);
            let message = format!("{shown} is {}: `{function}` takes texts", describe(of));
            self.error(&tree.at, message);
        }
        checked.op
    }

    fn comparison(&mut self, tree: &Tree, comparison: Comparison, pair: &(Tree, Tree)) -> (Op, Of) {
        let (ops, of) = self.alike(&[&pair.0, &pair.1], Some(&tree.at));
        let orders = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if !orders {
            self.words(&pair.0, &pair.1);
            self.no_word_shared(&pair.0, &pair.1);
        }
        if orders && of == Of::Type(Type::Bool) {
            let message = format!("`{}` doesn't compare true and false", comparison.sign());
            self.error(&tree.at, message);
        }
        match <[Op; 2]>::try_from(ops) {
            Ok([left, right]) => {
                (Op::Compare(comparison, Box::new((left, right))), Of::Type(Type::Bool))
            }
            Err(_) => unreachable!("two parts make two operations"),
        }
    }

    fn membership(&mut self, part: &Tree, list: &[Tree]) -> (Op, Of) {
        let all: Vec<&Tree> = std::iter::once(part).chain(list).collect();
        let (mut ops, _) = self.alike(&all, None);
        // A text among columns may be one of the others'.
        let items = if is_literal(part) { &[] } else { list };
        for item in items {
            self.words(part, item);
        }
        let of = ops.remove(0);
        (Op::is_in(of, ops), Of::Type(Type::Bool))
    }

    fn call(
        &mut self,
        tree: &Tree,
        name: &str,
        name_at: &Range<usize>,
        arguments: &[Tree],
    ) -> Option<(Op, Of)> {
        let plain = name.to_ascii_lowercase();
        let Some(function) = FUNCTIONS.iter().find(|f| f.name == plain) else {
            let mut error = ExprError::new(name_at.clone(), format!("no function `{name}`"));
            error.hint = did_you_mean(&plain, FUNCTIONS.iter().map(|f| f.name));
            self.errors.push(error);
            // What is wrong inside is told as well.
            for argument in arguments {
                self.check(argument);
            }
            return None;
        };
        let (found, wanted) = (arguments.len(), function.n_arguments);
        if found < wanted || (found > wanted && !function.is_open) {
            let plural = if wanted == 1 { "" } else { "s" };
            let least = if function.is_open { "at least " } else { "" };
            let message = format!("`{plain}` takes {least}{wanted} value{plural}, not {found}");
            self.error(&tree.at, message);
            return None;
        }
        let all: Vec<&Tree> = arguments.iter().collect();
        Some(match (function.name, all.as_slice()) {
            ("abs", [of]) => (Op::Abs(Box::new(self.number(of, "abs"))), Of::Type(Type::Number)),
            ("lower", [of]) => {
                (Op::Lower(Box::new(self.textual(of, "lower"))), Of::Type(Type::Text))
            }
            ("starts_with", [of, prefix]) => {
                let text = self.textual(of, "starts_with");
                let prefix_op = self.textual(prefix, "starts_with");
                let prefix_op = if names_wallet(of) { as_wallet(prefix_op) } else { prefix_op };
                (Op::StartsWith(Box::new((text, prefix_op))), Of::Type(Type::Bool))
            }
            ("number", [of]) => (Op::ToNumber(Box::new(self.numeric(of))), Of::Type(Type::Number)),
            ("coalesce", all) => {
                let (ops, of) = self.alike(all, None);
                (Op::Coalesce(ops.into()), of)
            }
            (name, all) => {
                let (ops, of) = self.alike(all, None);
                if of == Of::Type(Type::Bool) {
                    self.error(&tree.at, format!("`{name}` doesn't order true and false"));
                }
                let op = if name == "min" { Op::Least } else { Op::Greatest };
                (op(ops.into()), of)
            }
        })
    }

    /// Parts that must have one type. Numbers beside floats become floats, texts as they are
    /// written beside times become times, and wallets as they are written beside wallets are put
    /// in lower case. What differs is told at `whole`, or else at the part.
    fn alike(&mut self, trees: &[&Tree], whole: Option<&Range<usize>>) -> (Vec<Op>, Of) {
        let checked: Vec<Checked> = trees.iter().map(|tree| self.check(tree)).collect();
        let mut types = checked.iter().enumerate().filter_map(|(i, part)| match part.of {
            Of::Type(of) => Some((i, of)),
            Of::Null | Of::Broken => None,
        });
        let is_broken = checked.iter().any(|part| part.of == Of::Broken);
        let first = types.clone().next();
        let Some((first, of)) = types
            .clone()
            .find(|(_, of)| *of == Type::Time)
            .or_else(|| types.find(|(_, of)| *of == Type::Float))
            .or(first)
        else {
            let of = if is_broken { Of::Broken } else { Of::Null };
            return (checked.into_iter().map(|part| part.op).collect(), of);
        };
        let has_wallet = trees.iter().any(|tree| names_wallet(tree));
        let mut ops = Vec::new();
        for (tree, part) in trees.iter().zip(checked) {
            let op = match part.of {
                Of::Type(Type::Text) if of == Type::Text && has_wallet => as_wallet(part.op),
                Of::Type(found) if found == of => part.op,
                Of::Null | Of::Broken => part.op,
                Of::Type(Type::Number) if of == Type::Float => {
                    let op = Op::ToFloat(Box::new(part.op));
                    self.folded(op, Of::Type(Type::Float), &tree.at).op
                }
                Of::Type(Type::Text) if of == Type::Time && is_literal(tree) => {
                    self.time(part.op, &tree.at)
                }
                Of::Type(found) => {
                    self.differs((tree, found), (trees[first], of), whole);
                    part.op
                }
            };
            ops.push(op);
        }
        (ops, Of::Type(of))
    }

    /// A text as it is written, as a time.
    fn time(&mut self, op: Op, at: &Range<usize>) -> Op {
        let parsed = match &op {
            Op::Constant(Value::Text(text)) => parse_time(text.as_str()),
            _ => None,
        };
        if let Some(time) = parsed {
            return Op::Constant(Value::Time(time));
        }
        let message = format!("{} isn't a time", self.shown(at));
        self.errors.push(
            ExprError::new(at.clone(), message)
                .hint("write it as RFC 3339: '2026-01-31T00:00:00Z'"),
        );
        op
    }

    fn differs(&mut self, part: (&Tree, Type), other: (&Tree, Type), whole: Option<&Range<usize>>) {
        // The left one is told first.
        let (left, right) =
            if part.0.at.start < other.0.at.start { (part, other) } else { (other, part) };
        let (a, b) = (self.shown(&left.0.at), self.shown(&right.0.at));
        let message = format!("{a} is {}, {b} is {}", describe(left.1), describe(right.1));
        let mut error = ExprError::new(whole.unwrap_or(&part.0.at).clone(), message);
        let numeric = |(tree, of): (&Tree, Type)| match &tree.node {
            Node::Literal(Value::Text(text)) if of == Type::Text => {
                crate::Decimal::parse(text.as_str().as_bytes()).ok()
            }
            _ => None,
        };
        let has_number = left.1 == Type::Number || right.1 == Type::Number;
        if has_number && let Some(number) = numeric(left).or_else(|| numeric(right)) {
            error.hint = Some(format!("a number stands without quotes: {number}"));
        }
        self.errors.push(error);
    }

    /// A part as it stands in the text.
    pub(super) fn shown(&self, at: &Range<usize>) -> String {
        format!("`{}`", self.text.get(at.clone()).unwrap_or_default())
    }

    fn error(&mut self, at: &Range<usize>, message: String) {
        self.errors.push(ExprError::new(at.clone(), message));
    }
}

fn broken() -> Checked {
    Checked { op: Op::Constant(Value::Null), of: Of::Broken }
}

fn of_literal(value: &Value) -> Of {
    match value {
        Value::Null => Of::Null,
        Value::Bool(_) => Of::Type(Type::Bool),
        Value::Number(_) => Of::Type(Type::Number),
        Value::Float(_) => Of::Type(Type::Float),
        Value::Time(_) => Of::Type(Type::Time),
        Value::Text(_) => Of::Type(Type::Text),
    }
}

fn is_literal(tree: &Tree) -> bool {
    matches!(tree.node, Node::Literal(_))
}

/// Whether the value is a wallet's name: a column that holds wallets, or a function of it.
fn names_wallet(tree: &Tree) -> bool {
    match &tree.node {
        Node::Column(name) => holds_wallets(name),
        Node::Call { arguments, .. } => arguments.iter().any(names_wallet),
        _ => false,
    }
}

/// A wallet as it is written, as relations keep it: hex addresses in lower case.
fn as_wallet(op: Op) -> Op {
    match op {
        Op::Constant(Value::Text(text))
            if text.as_str().starts_with("0x") || text.as_str().starts_with("0X") =>
        {
            Op::Constant(Value::Text(Text::from(text.as_str().to_ascii_lowercase())))
        }
        op => op,
    }
}

fn parse_time(text: &str) -> Option<VenueTime> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok().map(VenueTime::from_nanos)
}

/// A type as a user reads it.
fn describe(of: Type) -> &'static str {
    match of {
        Type::Bool => "true or false",
        Type::Number => "a number",
        Type::Float => "a float",
        Type::Time => "a time",
        Type::Text => "a text",
    }
}
