//! What must stand in the views of `declared.toml`: from the set of arrivals, each expression written
//! out by hand.

use std::collections::BTreeSet;

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::history::{Event, Holding, Tag, Visit};
use super::rows::{self, Placed as Row, count, counted, latest, lines, maybe, number, text, time};
use super::rules::Rule;
use crate::exact::{Exact, nano, rounded};
use crate::laws::history::{Arrival, Change, Placed, kept_wallet, standing};
use crate::laws::twins::Lines;

/// What happened to holdings, in the order given.
pub(super) fn holdings_of(history: &[Placed]) -> Vec<Change<Holding>> {
    let pick = |placed: &Placed| match &placed.0 {
        Arrival::Declared(Event::Holding(change)) => Some(change.clone()),
        _ => None,
    };
    history.iter().filter_map(pick).collect()
}

/// What happened to visits.
pub(super) fn visits_of(history: &[Placed]) -> Vec<Change<Visit>> {
    let pick = |placed: &Placed| match &placed.0 {
        Arrival::Declared(Event::Visit(change)) => Some(change.clone()),
        _ => None,
    };
    history.iter().filter_map(pick).collect()
}

/// The tags that came; one that came again is the same.
fn tags_of(history: &[Placed]) -> Vec<Tag> {
    let pick = |placed: &Placed| match &placed.0 {
        Arrival::Declared(Event::Tag(row)) => Some(row.clone()),
        _ => None,
    };
    let mut tags: Vec<Tag> = history.iter().filter_map(pick).collect();
    tags.sort_by_key(|tag| (tag.label, tag.rank));
    tags.dedup();
    tags
}

/// Lines of all views.
pub(super) fn declared_views(history: &[Placed]) -> Lines {
    let holdings = standing(&holdings_of(history), Holding::identity);
    let visits = standing(&visits_of(history), Visit::identity);
    let tags = tags_of(history);
    let mut views = Lines::new();
    for empty in [
        "kept.errors",
        "hosted.errors",
        "dim.errors",
        "shares.errors",
        "large.errors",
        "shades.errors",
        "drift.errors",
        "alerts.heavy.errors",
        "alerts.bare.errors",
        "alerts.paid.errors",
        "alerts.shared.errors",
        "alerts.labelled.errors",
    ] {
        views.insert(empty, BTreeSet::new());
    }
    let mut alerts = BTreeSet::new();
    holding_views(&holdings, &mut views, &mut alerts);
    visit_views(&visits, &mut views, &mut alerts);
    tag_views(&tags, &mut views, &mut alerts);
    views.insert("alerts", alerts);
    views
}

fn holding_views(holdings: &[Change<Holding>], views: &mut Lines, alerts: &mut BTreeSet<String>) {
    let all: Vec<Row> = holdings.iter().map(rows::holding).collect();
    let kept = holdings.iter().filter(|change| is_kept(&change.row));
    let kept: Vec<Row> = kept.map(rows::holding).collect();
    views.insert("kept", lines(&kept));
    views.insert("last_kept", lines(&latest(&kept, &["flag"])));
    views.insert("newest", lines(&latest(&all, &["slot", "account"])));
    views.insert("labels", counted(&all, &["label", "flag"]));
    let by_label = latest(&all, &["label", "account"]);
    views.insert("by_label", lines(&by_label));
    let quarter = half() / whole(2);
    let is_more = |row: &Row| row.row.number("weight").is_some_and(|weight| weight > quarter);
    let rows = by_label.iter().map(|row| (row.clone(), is_more(row)));
    alerts.extend(LABELLED.lines(rows));

    let (huge, plain): (Vec<_>, Vec<_>) = holdings.iter().partition(|c| is_huge(&nano(c.row.cap)));
    let above = plain.iter().filter(|change| square(&nano(change.row.cap)) > one());
    views.insert("capped", above.map(|change| rows::holding(change).row.line()).collect());
    let errors = huge.iter().map(|change| error_line(change, "overflow"));
    views.insert("capped.errors", errors.collect());

    let (fits, rest): (Vec<_>, Vec<_>) =
        holdings.iter().partition(|change| scaled(&change.row).is_none_or(|n| fits(&n)));
    let computed: Vec<Row> = fits.iter().map(|change| computed(change)).collect();
    views.insert("computed", lines(&computed));
    let errors = rest.iter().map(|change| error_line(change, "overflow of scaled"));
    views.insert("computed.errors", errors.collect());
    views.insert("last_heavy", lines(&latest(&computed, &["heavy"])));

    let half = |change: &&Change<Holding>| change.row.weight.is_some_and(|w| nano(w) > half());
    let rows = holdings.iter().map(|change| (rows::holding(change), half(&change)));
    alerts.extend(HEAVY.lines(rows));
    let is_bare = |row: &Holding| row.label.is_none() || row.lots.is_some_and(|lots| lots > 2);
    let rows = holdings.iter().map(|change| (rows::holding(change), is_bare(&change.row)));
    alerts.extend(BARE.lines(rows));
    // A number that doesn't fit counts as null, and null isn't true.
    let is_above = |n: Exact| !is_huge(&n) && square(&rounded(&n, 9)) > one();
    let rows = fits.iter().map(|c| (self::computed(c), scaled(&c.row).is_some_and(is_above)));
    alerts.extend(SCALED.lines(rows));
    // The rule sees rows that have a time.
    let is_seen = |change: &&Change<Holding>| {
        change.row.second.is_some() && scaled(&change.row).is_some_and(|n| is_huge(&n))
    };
    let errors = fits.iter().copied().filter(is_seen);
    let errors = errors.map(|change| error_line(change, "overflow of when"));
    views.insert("alerts.scaled.errors", errors.collect());
}

/// `(weight >= 0.5 and not flag) or label is null`
fn is_kept(row: &Holding) -> bool {
    let is_heavy = row.weight.is_some_and(|weight| nano(weight) >= half());
    (is_heavy && row.flag == Some(false)) || row.label.is_none()
}

/// `weight * cap`
fn scaled(row: &Holding) -> Option<Exact> {
    row.weight.map(|weight| nano(weight) * nano(row.cap))
}

fn computed(change: &Change<Holding>) -> Row {
    let row = &change.row;
    let (weight, cap) = (row.weight.map(nano), nano(row.cap));
    let lots = row.lots.map(|lots| Exact::from(BigInt::from(lots)));
    let third = weight.as_ref().map(|weight| weight / whole(3));
    let each = lots.as_ref().filter(|lots| !lots.is_zero()).map(|lots| &cap / lots);
    let most = weight.clone().map(|weight| weight.max(lots.unwrap_or(one())));
    let label = row.label.map_or(row.account.to_lowercase(), str::to_owned);
    let row = rows::Row(vec![
        ("slot", count(row.slot)),
        ("account", text(row.account)),
        ("at", maybe(row.second, time)),
        ("seen", maybe(row.seen, time)),
        ("third", maybe(third, |n| number(&n))),
        ("scaled", maybe(scaled(row), |n| number(&n))),
        ("gap", maybe(weight.as_ref(), |weight| number(&(&cap - weight).abs()))),
        ("each", maybe(each, |n| number(&n))),
        ("most", maybe(most, |n| number(&n))),
        ("tag", maybe(row.lots, |lots| text(&format!("{label}/{lots}")))),
        ("heavy", maybe(weight.as_ref(), |weight| (*weight > cap).to_string())),
    ]);
    Row::at(change.row.second, row)
}

fn error_line(change: &Change<Holding>, reason: &str) -> String {
    let key = rows::holding(change).row.only(&["slot", "account"]).0.into_iter();
    rows::Row(key.chain([("reason", text(reason))]).collect()).line()
}

fn visit_views(visits: &[Change<Visit>], views: &mut Lines, alerts: &mut BTreeSet<String>) {
    let all: Vec<Row> = visits.iter().map(rows::visit).collect();
    let hosted = visits.iter().filter(|change| is_hosted(&change.row));
    views.insert("hosted", hosted.map(|change| rows::visit(change).row.line()).collect());
    views.insert("last_visit", lines(&latest(&all, &["wallet"])));
    let is_paid = |row: &Visit| row.fee.is_some_and(|fee| fee > 0);
    alerts.extend(PAID.lines(visits.iter().map(|c| (rows::visit(c), is_paid(&c.row)))));
}

/// `open and host_wallet = '0xAB' or fee + level > 1`
fn is_hosted(row: &Visit) -> bool {
    let is_host = row.host.is_some_and(|host| kept_wallet(host) == "0xab");
    (row.is_open && is_host) || row.fee.is_some_and(|fee| nano(fee) + nano(row.level) > one())
}

fn tag_views(tags: &[Tag], views: &mut Lines, alerts: &mut BTreeSet<String>) {
    let all: Vec<Row> = tags.iter().map(rows::tag).collect();
    // `share < 0.5 or hue in ('red', 'b"lue')`
    let is_dim = |tag: &&Tag| {
        nano(tag.share) < half() || tag.hue.is_some_and(|hue| ["red", "b\"lue"].contains(&hue))
    };
    views.insert("dim", tags.iter().filter(is_dim).map(|tag| rows::tag(tag).row.line()).collect());
    let share = |tag: &Tag| rows::tag(tag).row.only(&["label", "rank", "share", "event_time"]);
    views.insert("shares", tags.iter().map(|tag| share(tag).line()).collect());
    let large = tags.iter().filter(|tag| nano(tag.share) >= half());
    views.insert("large", large.map(|tag| share(tag).line()).collect());
    views.insert("hues", lines(&latest(&all, &["hue"])));
    views.insert("shades", tags.iter().filter_map(shades).collect());
    views.insert("drift", drift(tags));
    let is_shared = |tag: &Tag| nano(tag.share) > half();
    alerts.extend(SHARED.lines(tags.iter().map(|tag| (rows::tag(tag), is_shared(tag)))));
}

/// `dim = "share < 0.5", red = "hue = 'red'"`
fn shades(tag: &Tag) -> Option<String> {
    let is_dim = (nano(tag.share) < half()).then_some("dim");
    let is_red = (tag.hue == Some("red")).then_some("red");
    let labels: Vec<&str> = is_dim.into_iter().chain(is_red).collect();
    let row = rows::tag(tag).row;
    let head = row.only(&["label", "rank", "event_time"]).0.into_iter();
    let labelled = head.chain([("labels", text(&labels.join(",")))]);
    let all = labelled.chain(row.only(&["hue", "share"]).0).collect();
    (!labels.is_empty()).then(|| rows::Row(all).line())
}

/// The averages of `share * 2` over the tags of each label; alpha is 0.3.
fn drift(tags: &[Tag]) -> BTreeSet<String> {
    let mut tags: Vec<&Tag> = tags.iter().collect();
    tags.sort_by_key(|tag| (tag.label, tag.second, rows::tag(tag).row.line()));
    let mut lines = BTreeSet::new();
    let mut before: Option<(&str, Exact)> = None;
    for tag in tags {
        let value = nano(tag.share) * whole(2);
        let average = match before.filter(|(label, _)| *label == tag.label) {
            Some((_, mean)) => rounded(&((&value - &mean) * whole(3) / whole(10)), 18) + mean,
            None => value.clone(),
        };
        let mut row = rows::tag(tag).row.only(&["label", "rank", "event_time"]);
        row.0.extend([("value", number(&value)), ("ewma", number(&average))]);
        lines.insert(row.line());
        before = Some((tag.label, average));
    }
    lines
}

fn whole(n: i32) -> Exact {
    Exact::from(BigInt::from(n))
}

fn one() -> Exact {
    whole(1)
}

fn half() -> Exact {
    one() / whole(2)
}

fn square(n: &Exact) -> Exact {
    n * n
}

/// Whether a number leaves: 38 digits, nine of them decimals.
fn fits(n: &Exact) -> bool {
    rounded(n, 9).abs() < Exact::from(BigInt::from(10).pow(29))
}

/// Whether a number of these histories is one whose square has more digits than any number can.
fn is_huge(n: &Exact) -> bool {
    n.abs() > Exact::from(BigInt::from(10).pow(19))
}

const HEAVY: Rule = Rule {
    name: "heavy",
    severity: "high",
    cooldown_seconds: 60,
    when: "weight > 0.5",
    reads: &["weight"],
    entity: &["flag"],
    has_id: true,
};

const LABELLED: Rule = Rule {
    name: "labelled",
    severity: "medium",
    cooldown_seconds: 0,
    when: "weight > 0.25",
    reads: &["weight"],
    entity: &["account"],
    has_id: true,
};

const BARE: Rule = Rule {
    name: "bare",
    severity: "medium",
    cooldown_seconds: 0,
    when: "label is null or lots > 2",
    reads: &["label", "lots"],
    entity: &["label"],
    has_id: true,
};

const SCALED: Rule = Rule {
    name: "scaled",
    severity: "medium",
    cooldown_seconds: 0,
    when: "scaled * scaled > 1",
    reads: &["scaled"],
    entity: &["account"],
    has_id: false,
};

const PAID: Rule = Rule {
    name: "paid",
    severity: "medium",
    cooldown_seconds: 0,
    when: "fee > 0",
    reads: &["fee"],
    entity: &["wallet", "level", "open", "desk"],
    has_id: false,
};

const SHARED: Rule = Rule {
    name: "shared",
    severity: "medium",
    cooldown_seconds: 0,
    when: "share > 0.5",
    reads: &["share"],
    entity: &["label"],
    has_id: false,
};
