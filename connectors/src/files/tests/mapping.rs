//! Mappings, and each reason for which a row is refused.

use types::Rounding;

use super::*;
use crate::source::{TimeFormat, check_mapping};

/// Reads one row of `c` (and `d`) with `name` mapped, and shows the cell or the reject.
fn read_one(name: &str, mapping: Mapping, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "f.csv", format!("c,d\n\"{}\",x\n", text.replace('"', "\"\"")).as_bytes());
    let mut source = fills(folder.path(), "f.csv");
    constants_but(&mut source, &[]);
    set(&mut source, name, mapping);
    let rows = rows(&source);
    assert_eq!(rows.len(), 1);
    match rows[0].reject {
        None => shown(&source, &rows[0], name),
        Some(_) => told(&source, &rows[0]),
    }
}

#[test]
fn texts_become_cells_or_reasons() {
    let half_even = || Mapping { rounding: Rounding::HalfEven, ..column("c") };
    let scaled = |scale| Mapping { scale, ..column("c") };
    let optional = || Mapping { optional: true, ..column("c") };
    let unit = || Mapping { time: TimeFormat::Unit(1_000_000), ..column("c") };
    for (name, mapping, text, expected) in [
        ("price", column("c"), "3e-04", "0.0003"),
        ("price", column("c"), ".48", "0.48"),
        ("price", column("c"), "+1", "1"),
        ("price", column("c"), "0.1234567890", "0.123456789"),
        ("price", column("c"), "0.1234567891", "too_many_decimals price c"),
        ("price", half_even(), "0.1234567885", "0.123456788"),
        ("price", half_even(), "0.1234567895", "0.12345679"),
        ("price", scaled(6), "1234567", "1.234567"),
        ("price", scaled(9), "1", "0.000000001"),
        ("price", scaled(18), "65048078902260000000000", "65048.07890226"),
        ("price", scaled(18), "65048078902260626000001", "too_many_decimals price c"),
        ("price", Mapping { scale: 18, ..half_even() }, "1500000000", "0.000000002"),
        ("price", column("c"), "NA", "not_a_number price c"),
        ("price", column("c"), "NaN", "not_a_number price c"),
        ("price", column("c"), "1,5", "not_a_number price c"),
        ("price", column("c"), " 1", "not_a_number price c"),
        ("price", column("c"), "", "missing_value price c"),
        ("price", column("c"), "1e38", "out_of_range price c"),
        ("price", optional(), "", "null"),
        ("price", optional(), "NA", "null"),
        ("price", optional(), "NaN", "null"),
        ("price", optional(), "null", "null"),
        ("price", optional(), "nan", "not_a_number price c"),
        ("seq", column("c"), "18446744073709551615", "18446744073709551615"),
        ("seq", column("c"), "18446744073709551616", "out_of_range seq c"),
        ("seq", column("c"), "-1", "out_of_range seq c"),
        ("seq", column("c"), "7.0", "7"),
        ("seq", column("c"), "7.5", "not_a_number seq c"),
        ("seq", column("c"), "x", "not_a_number seq c"),
        ("event_time", unit(), "1700000000000.5", "2023-11-14T22:13:20.000500000Z"),
        ("event_time", unit(), "soon", "not_a_time event_time c"),
        ("event_time", unit(), "1", "time_out_of_range event_time c"),
        ("event_time", column("c"), "2026-01-01", "not_a_time event_time c"),
        ("side", column("c"), "sell", "sell"),
        ("side", column("c"), "SELL", "unknown_side side c"),
        ("kind", column("c"), "gift", "unknown_kind kind c"),
        ("liquidity", column("c"), "both", "unknown_value liquidity c"),
        ("market", column("c"), "NA", "NA"),
        ("market", column("c"), "", "missing_value market c"),
        ("market", optional(), "NA", "null"),
        ("market", column("c"), "say \"hi\"", "say \"hi\""),
        ("market", Mapping::plain(From::FileStem), "", "f"),
        ("market", Mapping::plain(From::Expr("c || '/' || d".to_owned())), "a", "a/x"),
        ("size", Mapping::plain(From::Expr("c".to_owned())), "2.5", "2.5"),
        ("size", Mapping::plain(From::Expr("lower(c)".to_owned())), "X", "not_a_number size -"),
    ] {
        assert_eq!(read_one(name, mapping, text), expected, "{name} of `{text}`");
    }
    let long = "x".repeat(4097);
    assert_eq!(read_one("market", column("c"), &long), "unreadable_row market c");
}

#[test]
fn values_replace_texts_and_refuse_others() {
    let values = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    };
    let side = || Mapping { values: values(&[("B", "buy"), ("", "sell")]), ..column("c") };
    let size = || Mapping { values: values(&[("one", "1")]), ..column("c") };
    for (name, mapping, text, expected) in [
        ("side", side(), "B", "buy"),
        ("side", side(), "", "sell"),
        ("side", side(), "buy", "unknown_side side c"),
        ("size", size(), "one", "1"),
        ("size", size(), "2", "unknown_value size c"),
        ("size", size(), "", "missing_value size c"),
        ("size", Mapping { optional: true, ..size() }, "", "null"),
    ] {
        assert_eq!(read_one(name, mapping, text), expected, "{name} of `{text}`");
    }
}

#[test]
fn columns_that_are_not_listed_come_by_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let header = "venue,wallet,asset,id,side,price,size,event_time,seq,revision,fee,op\n";
    let text = format!(
        "\u{feff}{header}v,w,a,7,buy,0.5,10,2026-01-01T00:00:00Z,3,2,,\r\n\
         v,w,a,8,,x,,never,,4,NaN,bust\n\
         v,w,a,,buy,0.5,10,2026-01-01T00:00:00Z,,,,correct\n\
         v,w,a,8,buy,0.5,10,2026-01-01T00:00:00Z,,,,undo\n"
    );
    write(folder.path(), "f.csv", text.as_bytes());
    let source = fills(folder.path(), "f.csv");
    let told: Vec<String> = rows(&source).iter().map(|r| told(&source, r)).collect();
    let time = "event_time=2026-01-01T00:00:00.000000000Z";
    assert_eq!(
        told,
        [
            format!(
                "Insert venue=v wallet=w asset=a id=7 side=buy price=0.5 size=10 {time} seq=3 revision=2"
            ),
            "Bust venue=v wallet=w asset=a id=8 revision=4".to_owned(),
            format!(
                "Correct venue=v wallet=w asset=a id=s:f.csv:3 side=buy price=0.5 size=10 {time} seq=2"
            ),
            "unknown_value op op".to_owned(),
        ]
    );
    let mapped: Vec<bool> = rows(&source).iter().map(|r| r.draft.seq_is_mapped).collect();
    assert_eq!(mapped, [true, false, false, false]);
}

#[test]
fn places_identities_and_quote_assets_are_set() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "f.csv", b"c,d\na,\n\"b\",\"q\"\"\"\n\n,\n");
    let mut source = fills(folder.path(), "f.csv");
    constants_but(&mut source, &[]);
    source.quote_asset = Some("USDC".to_owned());
    let of = |source: &FileSource, name: &str| -> Vec<String> {
        let cell = |r: &Record| match r.reject {
            None => shown(source, r, name),
            Some(_) => told(source, r),
        };
        rows(source).iter().map(cell).collect()
    };
    assert_eq!(of(&source, "id"), ["s:f.csv:1", "s:f.csv:2", "s:f.csv:3"]);
    assert_eq!(of(&source, "seq"), ["0", "1", "2"]);
    assert_eq!(of(&source, "quote_asset"), ["USDC", "USDC", "USDC"]);
    source.identity = vec!["c".to_owned()];
    assert_eq!(of(&source, "id"), ["a", "b", "missing_value id c"]);
    source.identity = vec!["c".to_owned(), "d".to_owned()];
    assert_eq!(of(&source, "id"), [r#"["a",""]"#, r#"["b","q\""]"#, "missing_value id c"]);
}

#[test]
fn json_members_are_columns() {
    let folder = tempfile::tempdir().unwrap();
    let text = concat!(
        r#"{"venue":"v","wallet":"w","asset":5,"id":12,"side":"buy","data":{"p":0.10},"size":"2","event_time":"2026-01-01T00:00:00Z"}"#,
        "\n \r\n",
        r#"{"venue":"v","wallet":"w","asset":"a","side":"buy","data":{"p":1e400},"size":"2","event_time":"2026-01-01T00:00:00Z"}"#,
        "\n",
        r#"{"venue":"v","wallet":"w","asset":"a","side":"buy","size":"2","event_time":"2026-01-01T00:00:00Z"}"#,
        "\n",
        r#"{"venue":"v","venue":"v"}"#,
        "\n{\n\"\\ud800\"\n",
        r#"{"venue":"v","wallet":"w","asset":"a","side":null,"data":{"p":1},"size":"2","event_time":"2026-01-01T00:00:00Z","seq":4,"op":"correct"}"#,
    );
    write(folder.path(), "f.jsonl", text.as_bytes());
    let mut source = fills(folder.path(), "f.jsonl");
    set(&mut source, "price", Mapping::plain(From::Pointer("/data/p".to_owned())));
    let expr = "wallet || ':' || asset || ':' || coalesce(gone, '-')";
    set(&mut source, "market", Mapping::plain(From::Expr(expr.to_owned())));
    let rows = rows(&source);
    let told: Vec<String> = rows.iter().map(|r| told(&source, r)).collect();
    let time = "event_time=2026-01-01T00:00:00.000000000Z";
    assert_eq!(
        told,
        [
            format!(
                "Insert venue=v wallet=w asset=5 id=12 market=w:5:- side=buy price=0.1 size=2 {time} seq=0"
            ),
            "out_of_range price /data/p".to_owned(),
            "missing_value price /data/p".to_owned(),
            "unreadable_row - -".to_owned(),
            "unreadable_row - -".to_owned(),
            "unreadable_row - -".to_owned(),
            format!(
                "Correct venue=v wallet=w asset=a id=s:f.jsonl:7 market=w:a:- price=1 size=2 {time} seq=4"
            ),
        ]
    );
    let lines: Vec<(u64, u64)> = rows.iter().map(|r| (r.row, r.line)).collect();
    assert_eq!(lines, [(1, 1), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8)]);
}

#[test]
fn headers_and_paths_that_do_not_fit_are_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "f.csv", b"Price,c,c\n");
    write(folder.path(), "empty.csv", b"\n\n");
    let mut source = fills(folder.path(), "f.csv");
    constants_but(&mut source, &[]);
    let mut error_of = |path: &str, name: &str, mapping: Mapping| {
        source.path = path.to_owned();
        let mut source = source.clone();
        set(&mut source, name, mapping);
        let error = open(&source).err().unwrap();
        assert_eq!(error.class, crate::error::Class::Broken);
        format!("{error}; {}", error.hint.clone().unwrap_or_default())
    };
    for (path, mapping, expected) in [
        (
            "f.csv",
            column("Prise"),
            "mapping column `price` of source `s` onto f.csv: the header has no column `Prise`; \
             did you mean `Price`?",
        ),
        (
            "f.csv",
            column("c"),
            "mapping column `price` of source `s` onto f.csv: the header has the column `c` more \
             than once; ",
        ),
        (
            "f.csv",
            constant("x"),
            "mapping column `price` of source `s` onto f.csv: the constant `x`: `x`: not a number \
             (not_a_number); ",
        ),
    ] {
        assert_eq!(error_of(path, "price", mapping), expected);
    }
    assert!(error_of("empty.csv", "price", column("c")).contains("no rows"));
    assert!(error_of("*.gz", "price", column("c")).contains("the pattern `*.gz` matches nothing"));
    assert!(error_of("gone.csv", "price", column("c")).contains("opening `gone.csv`"));
    assert!(error_of(".", "price", column("c")).contains("opening"));
    source.path = "f.csv".to_owned();
    source.mapping.remove(&index(&source, "side"));
    let error = open(&source).err().unwrap();
    assert!(error.to_string().contains("no column `side`"), "{error}");
}

#[test]
fn patterns_give_their_files_in_order() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    std::fs::create_dir(folder.path().join("d/z.csv")).unwrap();
    for name in ["d/b.csv", "d/a.csv", "d/c.txt", "d/[x].csv"] {
        write(folder.path(), name, b"c\n1\n");
    }
    let mut source = fills(folder.path(), "d/*.csv");
    constants_but(&mut source, &[]);
    let paths = |source: &FileSource| -> Vec<String> {
        open(source).unwrap().iter().map(|s| s.path().to_owned()).collect()
    };
    assert_eq!(paths(&source), ["d/[x].csv", "d/a.csv", "d/b.csv"]);
    source.path = "d/[x].csv".to_owned();
    assert_eq!(paths(&source), ["d/[x].csv"]);
}

#[test]
fn other_delimiters_are_taken() {
    assert_eq!(crate::source::delimiter("tab"), Some(b'\t'));
    for text in ["", "\"", "\n", "ab", "é"] {
        assert_eq!(crate::source::delimiter(text), None, "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "f.csv", b"c;d\n\"1;5\";2\n");
    let mut source = fills(folder.path(), "f.csv");
    source.delimiter = b';';
    constants_but(&mut source, &["size"]);
    set(&mut source, "size", column("d"));
    set(&mut source, "market", column("c"));
    let rows = rows(&source);
    assert_eq!(shown(&source, &rows[0], "size"), "2");
    assert_eq!(shown(&source, &rows[0], "market"), "1;5");
}

#[test]
fn mappings_are_checked_without_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let source = fills(folder.path(), "f.csv");
    let check = |name: &str, mapping: &Mapping| {
        check_mapping(&source.columns[index(&source, name)], mapping)
    };
    assert_eq!(check("price", &column("anything")), None);
    assert_eq!(check("market", &Mapping::plain(From::FileStem)), None);
    assert_eq!(check("venue", &constant("v")), None);
    let zone =
        TimeFormat::Strftime { format: "%F".to_owned(), zone: Some("Mars/North".to_owned()) };
    for (name, mapping) in [
        ("price", constant("x")),
        ("side", constant("BUY")),
        ("event_time", constant("now")),
        ("event_time", Mapping { time: zone, ..column("c") }),
        ("market", Mapping::plain(From::Expr("c ||".to_owned()))),
        ("market", Mapping::plain(From::Pointer("p".to_owned()))),
        (
            "side",
            Mapping { values: Some([("B".to_owned(), "bye".to_owned())].into()), ..column("c") },
        ),
    ] {
        assert!(check(name, &mapping).is_some(), "{name} {mapping:?}");
    }
}
