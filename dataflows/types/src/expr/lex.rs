//! Text to tokens.

use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

use super::ExprError;
use crate::number::{Decimal, NumberError};

/// One token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: Range<usize>,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A column or function; never a keyword.
    Name(String),
    /// A column in double quotes.
    QuotedName(String),
    /// A text in single quotes.
    Text(String),
    /// A number without its sign.
    Number(Decimal),
    /// A keyword in lower case, an operator or a bracket.
    Mark(&'static str),
    /// Behind the last token.
    End,
}

const KEYWORDS: &[&str] = &["and", "or", "not", "in", "is", "null", "true", "false"];

/// Longer ones first, since the first that fits is taken.
const SYMBOLS: &[&str] =
    &["!=", "<=", ">=", "||", "=", "<", ">", "+", "-", "*", "/", "(", ")", ","];

/// Spellings of other languages, and what stands for them here.
const FOREIGN: &[(&str, &str)] =
    &[("==", "="), ("<>", "!="), ("&&", "and"), ("&", "and"), ("!", "not"), ("|", "or")];

/// Splits a text into tokens; the last is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExprError> {
    let mut lexer = Lexer { text, chars: text.char_indices().peekable() };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let is_end = token.kind == TokenKind::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Token, ExprError> {
        self.skip_while(char::is_whitespace);
        let start = self.position();
        let Some((_, first)) = self.chars.peek().copied() else {
            return Ok(Token { kind: TokenKind::End, at: start..start });
        };
        let kind = match first {
            '\'' => TokenKind::Text(self.quoted('\'', "text")?),
            '"' => {
                let name = self.quoted('"', "name")?;
                if name.is_empty() {
                    return Err(ExprError::new(start..start + 2, "a column's name is empty"));
                }
                TokenKind::QuotedName(name)
            }
            '0'..='9' => TokenKind::Number(self.number()?),
            '.' if self.rest(start).chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => {
                TokenKind::Number(self.number()?)
            }
            'A'..='Z' | 'a'..='z' | '_' => self.word(),
            _ => TokenKind::Mark(self.symbol()?),
        };
        Ok(Token { kind, at: start..self.position() })
    }

    fn position(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn rest(&self, start: usize) -> &str {
        self.text.get(start..).unwrap_or_default()
    }

    fn skip_while(&mut self, belongs: impl Fn(char) -> bool) {
        while self.chars.next_if(|(_, c)| belongs(*c)).is_some() {}
    }

    /// A text in quotes; the quote itself is written twice inside.
    fn quoted(&mut self, quote: char, what: &str) -> Result<String, ExprError> {
        let start = self.position();
        self.chars.next();
        let mut content = String::new();
        while let Some((_, c)) = self.chars.next() {
            if c != quote {
                content.push(c);
            } else if self.chars.next_if(|(_, c)| *c == quote).is_some() {
                content.push(quote);
            } else {
                return Ok(content);
            }
        }
        let message = format!("a {what} is opened here and not closed");
        let hint = format!("close it with {quote}; inside it, write {quote} twice");
        Err(ExprError::new(start..self.text.len(), message).hint(hint))
    }

    /// All that can belong to a number or to something that isn't one, so that `5m` is told as a
    /// whole.
    fn number(&mut self) -> Result<Decimal, ExprError> {
        let start = self.position();
        self.skip_while(|c| c.is_ascii_digit() || c == '.');
        if self.chars.next_if(|(_, c)| matches!(c, 'e' | 'E')).is_some() {
            self.chars.next_if(|(_, c)| matches!(c, '+' | '-'));
        }
        self.skip_while(|c| c.is_alphanumeric() || c == '.' || c == '_');
        let at = start..self.position();
        let written = self.text.get(at.clone()).unwrap_or_default();
        Decimal::parse(written.as_bytes()).map_err(|error| match error {
            NumberError::NotANumber => {
                let error = ExprError::new(at, format!("`{written}` isn't a number"));
                error.hint(format!("a text stands in single quotes: '{written}'"))
            }
            NumberError::TooManyDecimals(_) | NumberError::OutOfRange => {
                ExprError::new(at, format!("`{written}` doesn't fit 38 digits: {error}"))
            }
        })
    }

    fn word(&mut self) -> TokenKind {
        let start = self.position();
        self.skip_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        let end = self.position();
        let word = self.text.get(start..end).unwrap_or_default();
        match KEYWORDS.iter().find(|keyword| word.eq_ignore_ascii_case(keyword)) {
            Some(keyword) => TokenKind::Mark(keyword),
            None => TokenKind::Name(word.to_owned()),
        }
    }

    fn symbol(&mut self) -> Result<&'static str, ExprError> {
        let start = self.position();
        let rest = self.rest(start);
        let foreign = FOREIGN.iter().find(|(theirs, _)| rest.starts_with(theirs));
        let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
        match (symbol, foreign) {
            // `<` and `=` also begin what is foreign, and `!=` begins with what is.
            (Some(symbol), Some((theirs, _))) if symbol.len() < theirs.len() => {}
            (Some(symbol), _) => {
                self.skip(symbol.len());
                return Ok(symbol);
            }
            (None, _) => {}
        }
        if let Some((theirs, ours)) = foreign {
            let at = start..start + theirs.len();
            let error = ExprError::new(at, format!("`{theirs}` isn't an operator"));
            return Err(error.hint(format!("write `{ours}`")));
        }
        let wrong = rest.chars().next().unwrap_or_default();
        let at = start..start + wrong.len_utf8();
        let error = ExprError::new(at, format!("unexpected `{}`", wrong.escape_debug()));
        Err(error.hint("a column with other characters than A-Z a-z 0-9 _ . stands in \"\""))
    }

    /// Skips characters of one byte each.
    fn skip(&mut self, n_chars: usize) {
        for _ in 0..n_chars {
            self.chars.next();
        }
    }
}
