use super::*;

/// Compares each text's value with the one beside it.
fn check(table: &[(&str, &str)]) {
    for (text, value) in table {
        assert_eq!(eval(text), *value, "{text}");
    }
}

#[test]
fn literals() {
    check(&[
        ("3e-4", "0.0003"),
        (".48", "0.48"),
        ("1.50", "1.5"),
        ("- 2", "-2"),
        ("+2", "2"),
        ("'it''s'", "'it's'"),
        ("TRUE", "true"),
        ("'0xAB'", "'0xAB'"),
    ]);
}

#[test]
fn columns() {
    check(&[
        ("qty", "-1.5"),
        ("\"qty\"", "-1.5"),
        ("\"Execution Price\" > 0", "true"),
        ("nothing", "null"),
    ]);
}

#[test]
fn arithmetic_is_exact() {
    check(&[
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 3 - 2", "5"),
        ("12 / 3 / 2", "2"),
        ("0.1 + 0.2", "0.3"),
        ("1 / 3", "0.333333333"),
        ("2 / 3", "0.666666667"),
        ("1 / 2000000000", "0"),
        ("3 / 2000000000", "0.000000002"),
        ("-1 / 2000000000", "0"),
        ("1 / 0", "null"),
        ("0 / 0", "null"),
        ("qty / (qty - qty)", "null"),
        ("-qty", "1.5"),
        ("--qty", "-1.5"),
        ("2 - -qty", "0.5"),
        ("2 -3", "-1"),
        ("qty + nothing", "null"),
        ("-nothing", "null"),
        ("null + 1", "null"),
        ("price * price * price", "0.001"),
        ("\"Execution Price\" + 1", "overflow"),
        ("\"Execution Price\" * 2 > 1", "overflow"),
        ("\"Execution Price\" / 3", "overflow"),
    ]);
}

#[test]
fn functions() {
    check(&[
        ("abs(qty)", "1.5"),
        ("ABS(-2)", "2"),
        ("min(qty, 2, 1)", "-1.5"),
        ("max(qty, 2, 1)", "2"),
        ("min(qty, nothing)", "null"),
        ("max('a', side)", "'buy'"),
        ("lower('ÀB')", "'àb'"),
        ("starts_with(side, 'b')", "true"),
        ("starts_with(side, 'x')", "false"),
        ("starts_with(market, 'x')", "null"),
        ("starts_with(side, market)", "null"),
        ("coalesce(nothing, qty, 2)", "-1.5"),
        ("coalesce(null, 2)", "2"),
        ("coalesce(nothing, null)", "null"),
        ("number(score) * 3", "0.3"),
        ("number(qty)", "-1.5"),
        ("number(null)", "null"),
    ]);
}

#[test]
fn texts_are_joined() {
    check(&[
        ("side || '/' || qty", "'buy/-1.5'"),
        ("1 + 2 || 'x'", "'3x'"),
        ("side || market", "null"),
        ("final || ' ' || event_time", "'true 2026-01-01T00:00:00.000000000Z'"),
        ("'' || score", "'0.1'"),
    ]);
}

#[test]
fn comparisons() {
    check(&[
        ("qty = -1.50", "true"),
        ("qty != -1.5", "false"),
        ("qty < 0", "true"),
        ("qty <= -1.5", "true"),
        ("qty > -1.5", "false"),
        ("qty >= -1.5", "true"),
        ("'a' < 'b'", "true"),
        ("'Z' < 'a'", "true"),
        ("side || 'er' = 'buyer'", "true"),
        ("final = true", "true"),
        ("qty = nothing", "null"),
        ("nothing = nothing", "null"),
        ("null = null", "null"),
        ("nothing is null", "true"),
        ("qty is null", "false"),
        ("qty is not null", "true"),
        ("(qty = 1) is null", "false"),
    ]);
}

#[test]
fn lists() {
    check(&[
        ("side in ('buy', 'sell')", "true"),
        ("side in ('sell')", "false"),
        ("side not in ('sell')", "true"),
        ("qty in (1, qty)", "true"),
        ("qty in (1, -1.5)", "true"),
        ("qty in (1, nothing)", "null"),
        ("qty not in (1, null)", "null"),
        ("qty in (-1.5, null)", "true"),
        ("nothing in (1)", "null"),
    ]);
}

#[test]
fn operators_bind_in_order() {
    check(&[
        ("not qty = 1", "true"),
        ("not qty < 0 or true", "true"),
        ("not (qty < 0 or true)", "false"),
        ("true or false and false", "true"),
        ("(true or false) and false", "false"),
        ("qty<0 AND side='buy' And NOT final", "false"),
        ("1 + 1 = 2 and 2 * 2 = 4", "true"),
    ]);
}

#[test]
fn wallets_are_lower_case() {
    check(&[
        ("wallet = '0xAB'", "true"),
        ("wallet = '0XAB'", "true"),
        ("'0xAB' = wallet", "true"),
        ("wallet in ('0xAA', '0xAB')", "true"),
        ("lower(maker_wallet) = '0xCD'", "true"),
        ("starts_with(wallet, '0xA')", "true"),
        ("wallet = 'AB'", "false"),
        ("side = '0xAB' or '0xAB' != '0xab'", "true"),
    ]);
}

#[test]
fn times() {
    check(&[
        ("event_time = '2026-01-01T00:00:00Z'", "true"),
        ("event_time < '2026-01-01T05:30:00.000000001+05:30'", "true"),
        ("event_time in ('2026-01-01T05:30:00+05:30')", "true"),
        ("max(event_time, '2027-01-01T00:00:00Z')", "2027-01-01T00:00:00.000000000Z"),
    ]);
}

#[test]
fn floats_are_compared() {
    check(&[
        ("score = 0.1", "true"),
        ("score = price", "true"),
        ("score < 0.1000000001", "true"),
        ("max(score, 2)", "2f"),
        ("score > nothing", "null"),
    ]);
}

#[test]
fn what_settles_a_condition_guards_what_stands_behind_it() {
    check(&[
        ("side = 'sell' and \"Execution Price\" * 2 > 1", "false"),
        ("final or \"Execution Price\" * 2 > 1", "true"),
        ("coalesce(qty, \"Execution Price\" * 2)", "-1.5"),
    ]);
}

#[test]
fn logic_has_three_values() {
    let words = ["true", "false", "null"];
    let and = ["true", "false", "null", "false", "false", "false", "null", "false", "null"];
    let or = ["true", "true", "true", "true", "false", "null", "true", "null", "null"];
    let columns = ["final", "qty > 0", "maybe"];
    for (i, (and, or)) in and.into_iter().zip(or).enumerate() {
        let (a, b) = (i / 3, i % 3);
        assert_eq!(eval(&format!("{} and {}", words[a], words[b])), and);
        assert_eq!(eval(&format!("{} or {}", words[a], words[b])), or);
        // And so where nothing is known before the row.
        assert_eq!(eval(&format!("{} and {}", columns[a], columns[b])), and);
        assert_eq!(eval(&format!("{} or {}", columns[a], columns[b])), or);
    }
    for (word, not) in [("true", "false"), ("false", "true"), ("null", "null"), ("maybe", "null")] {
        assert_eq!(eval(&format!("not {word}")), not);
    }
    for (text, is_true) in [("final", true), ("not final", false), ("maybe", false)] {
        assert_eq!(compile(text).unwrap().is_true(&cell), Ok(is_true));
    }
}
