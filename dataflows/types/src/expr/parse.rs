//! Tokens to tree.

use std::ops::Range;

use super::lex::{Token, TokenKind, tokens};
use super::{DEPTH_MAX, ExprError};
use crate::number::Decimal;
use crate::value::{Text, Value};

/// A parsed expression: its names aren't looked up yet.
#[derive(Clone, Debug)]
pub struct Expr {
    pub(super) text: String,
    pub(super) tree: Tree,
}

/// A part of an expression.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    /// Where it stands, brackets around it left out.
    pub(super) at: Range<usize>,
    /// Levels under it, itself included.
    depth: usize,
    pub(super) node: Node,
}

/// What a part of an expression does.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Literal(Value),
    Column(String),
    Not(Box<Tree>),
    Negate(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Concat(Vec<Tree>),
    Compare(Comparison, Box<(Tree, Tree)>),
    Calculate(Calculation, Box<(Tree, Tree)>),
    In(Box<Tree>, Vec<Tree>),
    IsNull(Box<Tree>),
    Call { name: String, name_at: Range<usize>, arguments: Vec<Tree> },
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is done with two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

const COMPARISONS: &[(&str, Comparison)] = &[
    ("=", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    ("<=", Comparison::LessOrEqual),
    (">", Comparison::Greater),
    (">=", Comparison::GreaterOrEqual),
];
const SUMS: &[(&str, Calculation)] = &[("+", Calculation::Add), ("-", Calculation::Subtract)];
const PRODUCTS: &[(&str, Calculation)] =
    &[("*", Calculation::Multiply), ("/", Calculation::Divide)];

impl Comparison {
    /// Its sign.
    pub(super) fn sign(self) -> &'static str {
        COMPARISONS.iter().find(|c| c.1 == self).map_or("", |c| c.0)
    }
}

impl Calculation {
    /// Its sign.
    pub(super) fn sign(self) -> &'static str {
        SUMS.iter().chain(PRODUCTS).find(|c| c.1 == self).map_or("", |c| c.0)
    }
}

impl Expr {
    /// Parses a text.
    ///
    /// # Errors
    /// The first thing that can't be read, and where.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
        if parser.peek() == &TokenKind::End {
            return Err(ExprError::new(0..text.len(), "the expression is empty"));
        }
        let tree = parser.expression()?;
        parser.finish()?;
        Ok(Self { text: text.to_owned(), tree })
    }

    /// The columns that it names, in the order of their first place, without repeats.
    pub fn column_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.tree.visit(&mut |tree| {
            if let Node::Column(name) = &tree.node
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        });
        names
    }

    /// The column, where the expression is nothing but one.
    pub fn as_column(&self) -> Option<&str> {
        match &self.tree.node {
            Node::Column(name) => Some(name),
            _ => None,
        }
    }
}

impl Tree {
    /// The parts that it is made of, from left to right.
    pub(super) fn children(&self) -> Vec<&Self> {
        match &self.node {
            Node::Literal(_) | Node::Column(_) => Vec::new(),
            Node::Not(of) | Node::Negate(of) | Node::IsNull(of) => vec![of],
            Node::And(parts) | Node::Or(parts) | Node::Concat(parts) => parts.iter().collect(),
            Node::Compare(_, pair) | Node::Calculate(_, pair) => vec![&pair.0, &pair.1],
            Node::In(of, list) => std::iter::once(&**of).chain(list).collect(),
            Node::Call { arguments, .. } => arguments.iter().collect(),
        }
    }

    /// Shows it and all its parts, from left to right.
    pub(super) fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        for child in self.children() {
            child.visit(see);
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

type Parsed = Result<Tree, ExprError>;

impl Parser<'_> {
    fn peek(&self) -> &TokenKind {
        self.tokens.get(self.next).map_or(&TokenKind::End, |token| &token.kind)
    }

    /// Where the next token stands.
    fn here(&self) -> Range<usize> {
        let end = self.text.len()..self.text.len();
        self.tokens.get(self.next).map_or(end, |token| token.at.clone())
    }

    /// Where the last token that was taken ends.
    fn behind(&self) -> usize {
        self.next.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(0, |t| t.at.end)
    }

    /// Takes the next token if it is this mark.
    fn take(&mut self, mark: &str) -> bool {
        let is_it = matches!(self.peek(), TokenKind::Mark(found) if *found == mark);
        self.next += usize::from(is_it);
        is_it
    }

    /// Takes the next token if it is one of these marks.
    fn take_any<T: Copy>(&mut self, marks: &[(&'static str, T)]) -> Option<T> {
        let found = marks.iter().find(|(mark, _)| self.peek() == &TokenKind::Mark(mark))?;
        self.next += 1;
        Some(found.1)
    }

    /// Calls `inner` one level deeper.
    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.depth == DEPTH_MAX {
            return Err(too_deep(self.here()));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Makes a tree that ends with the last token.
    fn tree(&self, start: usize, node: Node) -> Parsed {
        let mut tree = Tree { at: start..self.behind(), depth: 0, node };
        tree.depth = 1 + tree.children().iter().map(|child| child.depth).max().unwrap_or(0);
        if tree.depth > DEPTH_MAX {
            return Err(too_deep(tree.at));
        }
        Ok(tree)
    }

    fn expression(&mut self) -> Parsed {
        self.deeper(|p| p.chain("or", Node::Or, |p| p.chain("and", Node::And, Self::negation)))
    }

    /// Parts between equal marks, side by side however many.
    fn chain(
        &mut self,
        mark: &'static str,
        node: fn(Vec<Tree>) -> Node,
        part: impl Fn(&mut Self) -> Parsed,
    ) -> Parsed {
        let start = self.here().start;
        let first = part(self)?;
        if self.peek() != &TokenKind::Mark(mark) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take(mark) {
            parts.push(part(self)?);
        }
        self.tree(start, node(parts))
    }

    fn negation(&mut self) -> Parsed {
        let start = self.here().start;
        if self.take("not") {
            let of = self.deeper(Self::negation)?;
            return self.tree(start, Node::Not(Box::new(of)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed {
        let start = self.here().start;
        let left = self.concat()?;
        if !self.compares() {
            return Ok(left);
        }
        let tree = self.compared(left)?;
        if self.compares() {
            let error = ExprError::new(start..self.here().end, "comparisons don't chain");
            return Err(error.hint("join them with `and`, or put brackets around the first"));
        }
        Ok(tree)
    }

    /// Whether a comparison follows.
    fn compares(&self) -> bool {
        match self.peek() {
            TokenKind::Mark("is" | "in" | "not") => true,
            TokenKind::Mark(mark) => COMPARISONS.iter().any(|(sign, _)| sign == mark),
            _ => false,
        }
    }

    /// Reads the comparison that follows `left`.
    fn compared(&mut self, left: Tree) -> Parsed {
        let start = left.at.start;
        if let Some(comparison) = self.take_any(COMPARISONS) {
            let right = self.concat()?;
            return self.tree(start, Node::Compare(comparison, Box::new((left, right))));
        }
        if self.take("is") {
            let is_not = self.take("not");
            if !self.take("null") {
                return Err(self.expected("`null`"));
            }
            let tree = self.tree(start, Node::IsNull(Box::new(left)))?;
            return self.negated(tree, is_not);
        }
        let is_not = self.take("not");
        if !self.take("in") {
            return Err(self.expected("`in`"));
        }
        if !self.take("(") {
            return Err(self.expected("`(`").hint("write in ('a', 'b')"));
        }
        let list = self.list()?;
        let tree = self.tree(start, Node::In(Box::new(left), list))?;
        self.negated(tree, is_not)
    }

    fn negated(&self, tree: Tree, is_not: bool) -> Parsed {
        if is_not { self.tree(tree.at.start, Node::Not(Box::new(tree))) } else { Ok(tree) }
    }

    fn concat(&mut self) -> Parsed {
        self.chain("||", Node::Concat, Self::sum)
    }

    fn sum(&mut self) -> Parsed {
        self.calculations(SUMS, |p| p.calculations(PRODUCTS, Self::unary))
    }

    /// Parts between marks that bind to the left.
    fn calculations(
        &mut self,
        marks: &[(&'static str, Calculation)],
        part: impl Fn(&mut Self) -> Parsed,
    ) -> Parsed {
        let start = self.here().start;
        let mut left = part(self)?;
        while let Some(calculation) = self.take_any(marks) {
            let right = part(self)?;
            left = self.tree(start, Node::Calculate(calculation, Box::new((left, right))))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        let start = self.here().start;
        if self.take("-") {
            let of = self.deeper(Self::unary)?;
            // A literal's sign belongs to it.
            if let Node::Literal(Value::Number(number)) = of.node
                && let Some(negative) = Decimal::checked_neg(number)
            {
                return self.tree(start, Node::Literal(Value::Number(negative)));
            }
            return self.tree(start, Node::Negate(Box::new(of)));
        }
        if self.take("+") {
            return self.deeper(Self::unary);
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed {
        let Range { start, .. } = self.here();
        let node = match self.peek().clone() {
            TokenKind::Number(number) => Node::Literal(Value::Number(number)),
            TokenKind::Text(text) => Node::Literal(Value::Text(Text::from(text))),
            TokenKind::Mark("true") => Node::Literal(Value::Bool(true)),
            TokenKind::Mark("false") => Node::Literal(Value::Bool(false)),
            TokenKind::Mark("null") => Node::Literal(Value::Null),
            TokenKind::QuotedName(name) => Node::Column(name),
            TokenKind::Name(name) => {
                let name_at = self.here();
                self.next += 1;
                if !self.take("(") {
                    return self.tree(start, Node::Column(name));
                }
                let arguments = self.list()?;
                return self.tree(start, Node::Call { name, name_at, arguments });
            }
            TokenKind::Mark("(") => {
                self.next += 1;
                let inner = self.expression()?;
                if !self.take(")") {
                    return Err(self.expected("`)`"));
                }
                return Ok(inner);
            }
            TokenKind::Mark(_) | TokenKind::End => return Err(self.expected("a value")),
        };
        self.next += 1;
        self.tree(start, node)
    }

    /// Values between commas, up to the closing bracket.
    fn list(&mut self) -> Result<Vec<Tree>, ExprError> {
        let mut list = vec![self.expression()?];
        while self.take(",") {
            list.push(self.expression()?);
        }
        if !self.take(")") {
            return Err(self.expected("`,` or `)`"));
        }
        Ok(list)
    }

    fn finish(&self) -> Result<(), ExprError> {
        match self.peek() {
            TokenKind::End => Ok(()),
            TokenKind::Mark(")") => Err(ExprError::new(self.here(), "no `(` opens this `)`")),
            _ => Err(self.expected("an operator")),
        }
    }

    /// Says what should stand where the next token stands.
    fn expected(&self, what: &str) -> ExprError {
        let last = self.next.checked_sub(1).and_then(|last| self.tokens.get(last));
        let last = last.and_then(|token| self.text.get(token.at.clone()));
        let after = last.map(|last| format!(" after `{last}`")).unwrap_or_default();
        let found = match self.text.get(self.here()) {
            Some(found) if !found.is_empty() => format!(", found `{found}`"),
            _ => String::new(),
        };
        ExprError::new(self.here(), format!("expected {what}{after}{found}"))
    }
}

fn too_deep(at: Range<usize>) -> ExprError {
    ExprError::new(at, format!("more than {DEPTH_MAX} levels of nesting"))
        .hint("split the view in two, or use `in (...)`")
}
