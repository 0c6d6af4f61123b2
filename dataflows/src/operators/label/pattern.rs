//! The patterns with names: a line each, and how one is written out over a view's columns.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use types::options::{closest, did_you_mean};
use types::schema::Column;
use types::{Decimal, Schema, Span};

use crate::operators::steps::gcd;

/// A pattern with a name.
pub(super) struct Pattern {
    pub(super) name: &'static str,
    /// What it says of a row, for those who read the list.
    pub(super) help: &'static str,
    /// When it is true. `<feature>_now` stands for the feature's column of the input's shortest window,
    /// `<feature>_usual` for that of its longest, `now` and `usual` for their lengths, and `seconds` for the shortest in seconds.
    condition: &'static str,
}

const fn pattern(name: &'static str, help: &'static str, condition: &'static str) -> Pattern {
    Pattern { name, help, condition }
}

/// All of them. A share of a window is compared by products, since these are exact.
#[rustfmt::skip]
pub(super) const PATTERNS: &[Pattern] = &[
    pattern("price_volume_spike", "the last return is beyond 4 deviations on 3 times the usual volume", "(return_z_usual > 4 or return_z_usual < -4) and volume_now * usual > 3 * volume_usual * now and count_usual >= 20 and covered_usual >= 1"),
    pattern("volume_spike", "5 times the usual volume", "volume_now * usual > 5 * volume_usual * now and count_usual >= 20 and covered_usual >= 1"),
    pattern("price_jump", "the last return is beyond 6 deviations", "(return_z_usual > 6 or return_z_usual < -6) and count_now > 0"),
    pattern("liquidity_drop", "less than a fifth of the usual number of events, which is 20 or more", "5 * count_now * usual < count_usual * now and count_usual * now >= 20 * usual"),
    pattern("spread_blowout", "3 times the usual spread", "number(spread_now) > 3 * number(spread_usual) and count_usual >= 20"),
    pattern("order_flow_skew", "9 in 10 parts of the volume are on one side, of 10 events or more", "(imbalance_now > 0.8 or imbalance_now < -0.8) and count_now >= 10"),
    pattern("whale_trade", "one wallet makes at least half of 5 times the usual notional", "largest_share_now >= 0.5 and notional_now * usual > 5 * notional_usual * now and count_usual >= 20 and covered_usual >= 1"),
    pattern("new_wallet_large", "a wallet that is no older than the window trades for 10000 or more", "wallet is not null and age <= seconds and notional_now >= 10000"),
    pattern("pump", "the price gains 5 % on 3 times the usual volume, 3 in 4 parts of it bought", "momentum_now > 0.05 and imbalance_now > 0.5 and volume_now * usual > 3 * volume_usual * now and count_usual >= 20 and covered_usual >= 1"),
];

/// The windows of a view's columns that are named `<feature>_<window>`.
pub(super) struct Windows<'a> {
    schema: &'a Schema,
    /// As the names spell them.
    windows: BTreeSet<(Span, &'a str)>,
}

/// Why a pattern can't be read off a view: what is wrong, and what to do.
pub(super) struct Refusal {
    pub(super) message: String,
    pub(super) hint: String,
}

impl<'a> Windows<'a> {
    /// Finds the windows of a view.
    pub(super) fn of(schema: &'a Schema) -> Self {
        let window = |column: &'a Column| {
            let (_, window) = column.name.rsplit_once('_')?;
            Some((Span::parse(window)?, window))
        };
        Self { schema, windows: schema.columns.iter().filter_map(window).collect() }
    }

    /// The shortest and the longest window for a pattern: of those that have all its features, so that
    /// windows of a joined feed that lacks some don't count; of all where these don't do.
    fn ends(&self, pattern: &Pattern) -> Option<[(Span, &'a str); 2]> {
        let has_all = |(_, window): &&(Span, &str)| {
            let mut columns = pattern.features().map(|feature| format!("{feature}_{window}"));
            columns.all(|column| self.schema.index(&column).is_some())
        };
        let ends = |windows: Vec<&(Span, &'a str)>| {
            let longest = windows.iter().max_by_key(|(span, text)| (*span, Reverse(*text)));
            Some([**windows.first()?, **longest?])
        };
        let whole = ends(self.windows.iter().filter(has_all).collect());
        whole
            .filter(|[(now, _), (usual, _)]| now < usual || !pattern.is_of_two())
            .or_else(|| ends(self.windows.iter().collect()))
    }

    /// A pattern's condition over the view's columns.
    ///
    /// # Errors
    /// The columns lack a feature, or there aren't two windows to compare.
    pub(super) fn condition(&self, pattern: &Pattern) -> Result<String, Refusal> {
        let name = pattern.name;
        let refusal = |message: String, hint: &str| Refusal { message, hint: hint.to_owned() };
        let Some([(now, short), (usual, long)]) = self.ends(pattern) else {
            let message =
                format!("`{name}` reads columns of windows, like `count_1m`, and there are none");
            return Err(refusal(message, "read a view of op `features`"));
        };
        if now == usual && pattern.is_of_two() {
            let message = format!("`{name}` compares two windows, and there is but `{short}`");
            return Err(refusal(message, "give `features` a longer window as well"));
        }
        let shared = gcd(now.nanos(), usual.nanos());
        let mut text = String::new();
        for part in pattern.parts() {
            let (feature, window) = match part.rsplit_once('_') {
                Some((feature, "now")) => (feature, short),
                Some((feature, "usual")) => (feature, long),
                _ => {
                    match part {
                        "now" => text.push_str(&(now.nanos() / shared).to_string()),
                        "usual" => text.push_str(&(usual.nanos() / shared).to_string()),
                        "seconds" => {
                            text.push_str(&Decimal::new(now.nanos().into(), 9).to_string());
                        }
                        "age" if self.schema.index("age").is_none() => {
                            let message = format!(
                                "`{name}` needs the feature `age`: there is no such column"
                            );
                            let hint = "list `age` in `features` of what it reads";
                            return Err(refusal(message, hint));
                        }
                        "wallet" if self.schema.index("wallet").is_none() => {
                            let message = format!(
                                "`{name}` needs rows of wallets: there is no column `wallet`"
                            );
                            return Err(refusal(message, "give `features` a `by` with `wallet`"));
                        }
                        part => text.push_str(part),
                    }
                    continue;
                }
            };
            let column = format!("{feature}_{window}");
            if self.schema.index(&column).is_none() {
                let message = format!(
                    "`{name}` needs the feature `{feature}`: there is no column `{column}`"
                );
                let hint = format!(
                    "list `{feature}` in `features` of what it reads, if its input can give it"
                );
                return Err(refusal(message, &hint));
            }
            text.push_str(&column);
        }
        Ok(text)
    }
}

impl Pattern {
    /// The pattern of a name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        PATTERNS.iter().find(|pattern| pattern.name == name)
    }

    /// The hint for a name that no pattern has.
    pub(super) fn hint(name: &str) -> Option<String> {
        let names = PATTERNS.iter().map(|pattern| pattern.name);
        match closest(name, names.clone()).and_then(Self::find) {
            Some(Self { name, help, .. }) => Some(format!("did you mean `{name}`: {help}?")),
            None => did_you_mean(name, names),
        }
    }

    /// The condition in parts: words, and what stands between them.
    fn parts(&self) -> impl Iterator<Item = &'static str> {
        let mut rest = self.condition;
        std::iter::from_fn(move || {
            let is_word = |c: char| c.is_ascii_alphabetic() || c == '_';
            let starts_word = is_word(rest.chars().next()?);
            let end = rest.find(|c| is_word(c) != starts_word).unwrap_or(rest.len());
            let (part, tail) = rest.split_at(end);
            rest = tail;
            Some(part)
        })
    }

    /// The features whose windows it reads.
    fn features(&self) -> impl Iterator<Item = &'static str> {
        let stem =
            |word: &'static str| word.strip_suffix("_now").or_else(|| word.strip_suffix("_usual"));
        self.words().filter_map(stem)
    }

    /// Whether it compares two windows.
    fn is_of_two(&self) -> bool {
        self.words().any(|word| word == "usual" || word.ends_with("_usual"))
    }

    fn words(&self) -> impl Iterator<Item = &'static str> {
        self.parts().filter(|part| part.starts_with(|c: char| c.is_ascii_alphabetic()))
    }
}
