use super::*;

#[test]
fn texts_that_cannot_be_read() {
    for (text, error) in [
        ("", "0..0 the expression is empty"),
        ("  ", "0..2 the expression is empty"),
        ("qty < 'x' and", "13..13 expected a value after `and`"),
        ("qty <", "5..5 expected a value after `<`"),
        ("< 1", "0..1 expected a value, found `<`"),
        ("qty < < 1", "6..7 expected a value after `<`, found `<`"),
        ("(qty", "4..4 expected `)` after `qty`"),
        ("qty)", "3..4 no `(` opens this `)`"),
        ("qty side", "4..8 expected an operator after `qty`, found `side`"),
        ("qty = 1 2", "8..9 expected an operator after `1`, found `2`"),
        ("abs()", "4..5 expected a value after `(`, found `)`"),
        ("min(1, 2", "8..8 expected `,` or `)` after `2`"),
        ("qty is 1", "7..8 expected `null` after `is`, found `1`"),
        ("qty not 1", "8..9 expected `in` after `not`, found `1`"),
        ("side in 'a'", "8..11 expected `(` after `in`, found `'a'` | write in ('a', 'b')"),
        ("side in ()", "9..10 expected a value after `(`, found `)`"),
        (
            "1 < qty < 2",
            "0..9 comparisons don't chain | join them with `and`, or put brackets around the first",
        ),
        (
            "side = 'buy",
            "7..11 a text is opened here and not closed | close it with '; inside it, write ' twice",
        ),
        (
            "side = \"buy",
            "7..11 a name is opened here and not closed | close it with \"; inside it, write \" twice",
        ),
        ("\"\" = 1", "0..2 a column's name is empty"),
        ("qty == 1", "4..6 `==` isn't an operator | write `=`"),
        ("qty <> 1", "4..6 `<>` isn't an operator | write `!=`"),
        ("final && final", "6..8 `&&` isn't an operator | write `and`"),
        ("!final", "0..1 `!` isn't an operator | write `not`"),
        ("qty < 5m", "6..8 `5m` isn't a number | a text stands in single quotes: '5m'"),
        ("wallet = 0xAb", "9..13 `0xAb` isn't a number | a text stands in single quotes: '0xAb'"),
        ("1.2.3", "0..5 `1.2.3` isn't a number | a text stands in single quotes: '1.2.3'"),
        ("qty < 1e99", "6..10 `1e99` doesn't fit 38 digits: out of range"),
        ("qty < 1e-99", "6..11 `1e-99` doesn't fit 38 digits: more than 36 decimals"),
        (
            "größe > 1",
            "2..4 unexpected `ö` | a column with other characters than A-Z a-z 0-9 _ . stands in \"\"",
        ),
    ] {
        assert_eq!(errors(text), [error], "{text}");
    }
}

#[test]
fn types_that_do_not_fit() {
    for (text, expected) in [
        ("qty < 'x'", &["0..9 `qty` is a number, `'x'` is a text"][..]),
        (
            "qty < '5'",
            &["0..9 `qty` is a number, `'5'` is a text | a number stands without quotes: 5"],
        ),
        ("sde = 'buy'", &["0..3 no column is named `sde` | did you mean `side`?"]),
        (
            "side = \"buy\"",
            &["7..12 no column is named `buy` | a text stands in single quotes: 'buy'"],
        ),
        (
            "\"execution Price\" > 1",
            &["0..17 no column is named `execution Price` | did you mean `Execution Price`?"],
        ),
        // All at once, and none that follows from another.
        (
            "sde = 'x' and qty and abs(side) > prise",
            &[
                "0..3 no column is named `sde` | did you mean `side`?",
                "14..17 `qty` is a number: `and` takes true or false",
                "26..30 `side` is a text: `abs` takes numbers",
                "34..39 no column is named `prise` | did you mean `price`?",
            ],
        ),
        ("not qty", &["4..7 `qty` is a number: `not` takes true or false"]),
        (
            "side + 'x'",
            &[
                "0..4 `side` is a text: `+` takes numbers | join texts with `||`",
                "7..10 `'x'` is a text: `+` takes numbers | join texts with `||`",
            ],
        ),
        ("-side", &["1..5 `side` is a text: `-` takes numbers"]),
        ("event_time + 1", &["0..10 `event_time` is a time: `+` takes numbers"]),
        (
            "score * 2",
            &["0..5 `score` is a float: `*` takes numbers | make a decimal of it: `number(..)`"],
        ),
        ("number(side)", &["7..11 `side` is a text: `number` takes floats"]),
        ("final < true", &["0..12 `<` doesn't compare true and false"]),
        ("min(final, true)", &["0..16 `min` doesn't order true and false"]),
        ("lower(qty)", &["6..9 `qty` is a number: `lower` takes texts"]),
        (
            "qty in (1, 'x', side)",
            &[
                "11..14 `qty` is a number, `'x'` is a text",
                "16..20 `qty` is a number, `side` is a text",
            ],
        ),
        (
            "event_time > 'yesterday'",
            &["13..24 `'yesterday'` isn't a time | write it as RFC 3339: '2026-01-31T00:00:00Z'"],
        ),
        ("event_time > side", &["0..17 `event_time` is a time, `side` is a text"]),
        ("event_time > 1", &["0..14 `event_time` is a time, `1` is a number"]),
        (
            "mini(1, sde)",
            &[
                "0..4 no function `mini` | did you mean `min`?",
                "8..11 no column is named `sde` | did you mean `side`?",
            ],
        ),
        ("min(1)", &["0..6 `min` takes at least 2 values, not 1"]),
        ("abs(1, 2)", &["0..9 `abs` takes 1 value, not 2"]),
        ("null", &["0..4 this is always null"]),
        ("coalesce(null, null)", &["0..20 this is always null"]),
        ("1e30 * 1e30 > 1", &["0..11 `1e30 * 1e30`: overflow"]),
    ] {
        assert_eq!(errors(text), expected, "{text}");
    }
}

#[test]
fn words_that_a_column_never_holds() {
    for (text, expected) in [
        ("kind = 'opn'", &["7..12 `kind` is never `'opn'` | did you mean `open`?"][..]),
        (
            "'buy' != kind and kind in ('open', 'sell', null)",
            &[
                "0..5 `kind` is never `'buy'` | known: trade, open, close",
                "35..41 `kind` is never `'sell'` | known: trade, open, close",
            ],
        ),
    ] {
        assert_eq!(errors(text), expected, "{text}");
    }
    for text in [
        "kind in ('open', null)",
        "lower(kind) = 'opn'",
        "kind < 'opn'",
        "kind = side",
        "market in ('binance', kind)",
        "'long' in (kind, side)",
    ] {
        assert!(compile(text).is_ok(), "{text}");
    }
}

#[test]
fn columns_that_share_no_word() {
    let shown = |a: &str, b: &str| {
        format!("`{a}` and `{b}` share no word, so that this says the same of every row")
    };
    let words = "`way` is one of buy, sell; `kind` one of trade, open, close";
    for text in ["way = kind", "way != kind"] {
        let at = text.len();
        assert_eq!(errors(text), [format!("0..{at} {} | {words}", shown("way", "kind"))]);
    }
    // One of the others may decide.
    for text in [
        "kind = phase",
        "kind in (phase, way)",
        "kind in (way, 'trade')",
        "way < kind",
        "lower(way) = kind",
    ] {
        assert!(compile(text).is_ok(), "{text}");
    }
}

#[test]
fn nesting_ends_before_the_stack_does() {
    let nested = |open: &str, close: &str, n: usize| {
        compile(&format!("{}true{}", open.repeat(n), close.repeat(n))).map(|_| ())
    };
    for (open, close, fits) in [("(", ")", 63), ("not ", "", 63)] {
        assert_eq!(nested(open, close, fits), Ok(()), "{open}");
        for n in [fits + 1, 100_000] {
            let errors = nested(open, close, n).unwrap_err();
            assert_eq!(errors[0].message, "more than 64 levels of nesting", "{open} {n}");
        }
    }
    for open in ["-", "+", "abs(", "1 in (", "coalesce(1, "] {
        assert!(compile(&open.repeat(100_000)).is_err(), "{open}");
    }
    assert!(compile(&format!("qty{}", " + qty".repeat(100_000))).is_err());
    // Side by side is no nesting.
    for (text, part) in [("qty = 1", " or qty = 1"), ("final", " and final"), ("'a'", " || side")] {
        assert!(compile(&format!("{text}{}", part.repeat(10_000))).is_ok(), "{part}");
    }
}
