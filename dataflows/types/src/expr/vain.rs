//! Comparisons that would say the same of every row.

use super::ExprError;
use super::check::Checker;
use super::parse::{Node, Tree};
use crate::options::did_you_mean;
use crate::schema::Kind;
use crate::value::Value;

impl Checker<'_> {
    /// Tells two columns that are compared and share no word.
    pub(super) fn no_word_shared(&mut self, left: &Tree, right: &Tree) {
        if let (Some(words), Some(others)) = (self.words_of(left), self.words_of(right))
            && !words.iter().any(|word| others.contains(word))
        {
            let (a, b) = (self.shown(&left.at), self.shown(&right.at));
            let message =
                format!("{a} and {b} share no word, so that this says the same of every row");
            let (words, others) = (words.join(", "), others.join(", "));
            let hint = format!("{a} is one of {words}; {b} one of {others}");
            let at = left.at.start..right.at.end;
            self.errors.push(ExprError::new(at, message).hint(hint));
        }
    }

    /// Tells a text as it is written that is none of the words of the column beside it.
    pub(super) fn words(&mut self, left: &Tree, right: &Tree) {
        match (self.words_of(left), self.words_of(right)) {
            (Some(words), None) => self.word((left, words), right),
            (None, Some(words)) => self.word((right, words), left),
            _ => {}
        }
    }

    /// Tells a text that is none of a column's words.
    fn word(&mut self, (column, words): (&Tree, &[&'static str]), text: &Tree) {
        if let Node::Literal(Value::Text(literal)) = &text.node
            && !words.contains(&literal.as_str())
        {
            let message = format!("{} is never {}", self.shown(&column.at), self.shown(&text.at));
            let mut error = ExprError::new(text.at.clone(), message);
            error.hint = did_you_mean(literal.as_str(), words.iter().copied());
            self.errors.push(error);
        }
    }

    /// The words of a column that holds nothing else.
    fn words_of(&self, tree: &Tree) -> Option<&'static [&'static str]> {
        let Node::Column(name) = &tree.node else { return None };
        self.columns.iter().find_map(|(known, kind)| match kind {
            Kind::Word(words) if known == name => Some(*words),
            _ => None,
        })
    }
}
