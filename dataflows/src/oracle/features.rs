//! What windows say, from all rows at once: each row anew from the ticks that it covers.

use std::collections::{BTreeMap, BTreeSet};

use ethnum::I256;
use types::digest::digest64;
use types::relations::{Fill, FillKind, Quote, Relation, Side, Trade};
use types::value::Float;
use types::{AssetId, Decimal, EventId, Money, Names, Row, Schema, Size, Span, Value, VenueTime};

use super::place;

/// What a row says.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The price twice, or bid and ask together.
    pub level: i128,
    /// In 1e-9; of a quote, at the bid.
    pub size: i128,
    /// In 1e-18, `None` where it doesn't fit; of a quote, the size at the ask, `None` where it or that at
    /// the bid isn't told.
    pub second: Option<i128>,
    /// +1 for what was bought, -1 for what was sold.
    pub sign: i128,
    /// Ask less bid.
    pub spread: i128,
    /// Of which.
    pub asset: AssetId,
    /// Whose.
    pub wallet: Option<String>,
    /// The id of an event.
    pub id: Option<EventId>,
    /// Its number among those of its time.
    pub seq: u64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The key's columns, as they come in rows.
    pub by: &'a [&'a str],
    /// The windows.
    pub windows: &'a [&'a str],
    /// Whether they start anew at each multiple of their length.
    pub is_tumbling: bool,
    /// The features' names.
    pub features: &'a [&'a str],
    /// The most wallets of a window that are counted exactly.
    pub exact_up_to: usize,
    /// The grid and the last step that is published; rows at events without it.
    pub steps: Option<(&'a str, VenueTime)>,
}

/// A tick in its place.
struct Placed {
    time: VenueTime,
    observed: Observed,
    log_return: Option<i128>,
}

/// What a fill says.
pub fn of_fill(fill: &Fill, names: &Names) -> Option<Observed> {
    let is_trade = !matches!(fill.kind, FillKind::Transfer | FillKind::Funding);
    let price: i128 = fill.shown_price().filter(|_| is_trade)?.raw().into();
    Some(Observed {
        level: 2 * price,
        size: fill.size.raw(),
        second: fill.value().map(Money::raw),
        sign: if fill.side == Side::Buy { 1 } else { -1 },
        spread: 0,
        asset: fill.asset,
        wallet: Some(names.text(fill.wallet).to_string()),
        id: Some(fill.id),
        seq: fill.seq,
    })
}

/// What a trade says.
pub fn of_trade(trade: &Trade, _names: &Names) -> Option<Observed> {
    let sign = match trade.side {
        Some(Side::Buy) => 1,
        Some(Side::Sell) => -1,
        None => 0,
    };
    Some(Observed {
        level: 2 * i128::from(trade.price.raw()),
        size: trade.size.raw(),
        second: trade.value().map(Money::raw),
        sign,
        spread: 0,
        asset: trade.asset,
        wallet: None,
        id: Some(trade.id),
        seq: trade.seq,
    })
}

/// What a quote says.
pub fn of_quote(quote: &Quote, _names: &Names) -> Option<Observed> {
    let (bid, ask) = quote.both_sides()?;
    let (bid, ask) = (i128::from(bid.raw()), i128::from(ask.raw()));
    Some(Observed {
        level: bid + ask,
        size: quote.bid_size.map_or(0, Size::raw),
        second: quote.bid_size.and(quote.ask_size).map(Size::raw),
        sign: 0,
        spread: ask - bid,
        asset: quote.asset,
        wallet: None,
        id: None,
        seq: quote.seq,
    })
}

/// The rows of `features` over some rows.
///
/// # Panics
/// If a column, length or feature that is asked for isn't one.
pub fn features<R: Relation>(
    rows: &[R],
    read: impl Fn(&R, &Names) -> Option<Observed>,
    asked: &Asked<'_>,
    (schema, names): (&Schema, &Names),
) -> BTreeSet<Row> {
    let mut groups: BTreeMap<Vec<Value>, Vec<&R>> = BTreeMap::new();
    for row in rows.iter().filter(|row| read(row, names).is_some()) {
        let value = |name: &&str| row.column(schema.index(name).expect("a column"), names);
        let key: Vec<Value> = asked.by.iter().map(value).collect();
        if !key.contains(&Value::Null) {
            groups.entry(key).or_default().push(row);
        }
    }
    let mut found = BTreeSet::new();
    for (key, mut rows) in groups {
        rows.sort_by_key(|row| place(*row, schema, names));
        let observed = |row: &&R| Some((place(*row, schema, names)?.0, read(row, names)?));
        let observed: Vec<_> = rows.iter().filter_map(observed).collect();
        let ticks = placed(observed);
        match asked.steps {
            None => at_events(&key, &ticks, asked, names, &mut found),
            Some((step, last)) => {
                let step = Span::parse(step).expect("a length of time");
                at_steps(&key, &ticks, asked, (step, last), &mut found);
            }
        }
    }
    found
}

fn placed(observed: Vec<(VenueTime, Observed)>) -> Vec<Placed> {
    let mut ticks: Vec<Placed> = Vec::new();
    for (time, observed) in observed {
        let mut alike = ticks.iter().rev().filter(|tick| tick.observed.asset == observed.asset);
        let before = alike.next().map(|tick| tick.observed.level);
        let log_return = before.and_then(|from| log_return(from, observed.level));
        ticks.push(Placed { time, observed, log_return });
    }
    ticks
}

fn at_events(
    key: &[Value],
    ticks: &[Placed],
    asked: &Asked<'_>,
    names: &Names,
    found: &mut BTreeSet<Row>,
) {
    for (n, tick) in ticks.iter().enumerate() {
        let id = tick.observed.id.expect("an id");
        let is_same = |later: &Placed| (later.time, later.observed.id) == (tick.time, Some(id));
        if ticks[n + 1..].iter().any(is_same) {
            continue;
        }
        let seq = Value::from(tick.observed.seq);
        let at = [Value::Time(tick.time), Value::Text(names.id_text(id)), seq];
        let since = n.checked_sub(1).map(|before| ticks[before].time);
        let values = values(&ticks[..=n], asked, (tick.time, tick.time, since));
        found.insert(Row([key, &at, &values].concat().into()));
    }
}

fn at_steps(
    key: &[Value],
    ticks: &[Placed],
    asked: &Asked<'_>,
    (step, last): (Span, VenueTime),
    found: &mut BTreeSet<Row>,
) {
    let Some(first) = ticks.first() else { return };
    let mut at = first.time.next_step(step);
    while at <= last {
        let before: usize = ticks.iter().take_while(|tick| tick.time < at).count();
        let end = VenueTime::from_nanos(at.nanos() - 1);
        let is_covered = |window: &&str| !covered(&ticks[..before], window, end, asked).is_empty();
        if asked.windows.iter().any(is_covered) {
            let since = ticks[..before].last().map(|tick| tick.time);
            let values = values(&ticks[..before], asked, (end, at, since));
            found.insert(Row([key, &[Value::Time(at)], &values].concat().into()));
        }
        at = at.plus(step);
    }
}

/// The ticks of a window whose last instant is given.
fn covered<'t>(
    ticks: &'t [Placed],
    window: &str,
    end: VenueTime,
    asked: &Asked<'_>,
) -> &'t [Placed] {
    let span = Span::parse(window).expect("a length of time");
    let is_out = |tick: &&Placed| {
        if asked.is_tumbling {
            tick.time.bucket(span) != end.bucket(span)
        } else {
            tick.time.nanos() <= end.nanos() - span.nanos()
        }
    };
    &ticks[ticks.iter().take_while(is_out).count()..]
}

/// The values of a row: as of an instant, shown at a time, since the tick before.
fn values(
    ticks: &[Placed],
    asked: &Asked<'_>,
    (end, at, since): (VenueTime, VenueTime, Option<VenueTime>),
) -> Vec<Value> {
    let mut windows: Vec<&str> = asked.windows.to_vec();
    windows.sort_by_key(|window| Span::parse(window));
    let mut values = Vec::new();
    for feature in asked.features {
        let last = ticks.last().and_then(|tick| tick.log_return);
        match *feature {
            "last_return" => values.push(float(last.map(|r| of_return(whole(r))))),
            "since_last" => {
                let nanos = since.map(|since| i128::from(at.nanos()) - i128::from(since.nanos()));
                values.push(nanos.map(|nanos| Decimal::new(nanos, 9)).into());
            }
            "age" => {
                let first = ticks.first().expect("a tick").time.nanos();
                let nanos = i128::from(at.nanos()) - i128::from(first);
                let longest = windows.iter().filter_map(|window| Span::parse(window)).max();
                let is_young = longest.is_some_and(|longest| nanos < i128::from(longest.nanos()));
                values.push(is_young.then(|| Decimal::new(nanos, 9)).into());
            }
            "covered" => {
                let shares = windows.iter().map(|window| share(ticks, window, (end, at), asked));
                values.extend(shares);
            }
            feature => {
                let longest = windows.last().map(|w| (*w, covered(ticks, w, end, asked).len()));
                for window in &windows {
                    let in_it = covered(ticks, window, end, asked);
                    let last = last.filter(|_| !in_it.is_empty());
                    let counted = (*window, longest, asked.exact_up_to);
                    values.push(value(feature, in_it, last, counted));
                }
            }
        }
    }
    values
}

/// How much of a window lies behind the first tick of all.
fn share(
    ticks: &[Placed],
    window: &str,
    (end, at): (VenueTime, VenueTime),
    asked: &Asked<'_>,
) -> Value {
    let span = Span::parse(window).expect("a length of time");
    let start = if asked.is_tumbling {
        end.bucket(span).nanos()
    } else {
        at.nanos().saturating_sub(span.nanos())
    };
    let first = ticks.first().expect("a tick").time.nanos();
    float(over(I256::from(at.nanos() - start.max(first)), I256::from(span.nanos())))
}

/// A feature of a window.
fn value(
    feature: &str,
    ticks: &[Placed],
    last: Option<i128>,
    (window, longest, exact_up_to): (&str, Option<(&str, usize)>, usize),
) -> Value {
    let total = |of: &dyn Fn(&Observed) -> i128| {
        ticks.iter().fold(I256::ZERO, |sum, tick| sum + I256::from(of(&tick.observed)))
    };
    let n = I256::from(u64::try_from(ticks.len()).unwrap_or(u64::MAX));
    let (volume, signed) = (total(&|o| o.size), total(&|o| o.sign * o.size));
    let seconds: Option<Vec<i128>> = ticks.iter().map(|tick| tick.observed.second).collect();
    let second = seconds.map(|s| s.iter().fold(I256::ZERO, |sum, one| sum + I256::from(*one)));
    let size = |nano: I256| i128::try_from(nano).ok().and_then(Size::from_nano).into();
    let nano = I256::from(1_000_000_000_i64);
    let returns: Vec<i128> = ticks.iter().filter_map(|tick| tick.log_return).collect();
    match feature {
        "count" => Value::Number(Decimal::new(n.as_i128(), 0)),
        "volume" => size(volume),
        "signed_volume" => size(signed),
        "notional" => {
            let notional = second.and_then(|second| i128::try_from(second).ok());
            notional.map(Money::from_raw).into()
        }
        "vwap" => float(second.and_then(|second| over(second, volume * nano))),
        "imbalance" => float(over(signed, volume)),
        "range" => {
            let levels = || ticks.iter().map(|tick| tick.observed.level);
            let range = levels().max().zip(levels().min()).map(|(high, low)| high - low);
            range.map(|twice| Decimal::new(twice / 2, 9)).into()
        }
        "spread" => float(over(total(&|o| o.spread), n * nano)),
        "size_imbalance" => float(second.and_then(|asks| over(volume - asks, volume + asks))),
        "rate_ratio" => {
            let nanos = |window: &str| I256::from(Span::parse(window).map_or(0, Span::nanos));
            let (longest, n_longest) = longest.expect("a window");
            let n_longest = I256::from(i64::try_from(n_longest).unwrap_or(i64::MAX));
            float(over(n * nanos(longest), n_longest * nanos(window)))
        }
        "wallets" | "wallets_exact" | "largest_share" => {
            let mut wallets: BTreeMap<&str, I256> = BTreeMap::new();
            for tick in ticks {
                let wallet = tick.observed.wallet.as_deref().expect("a wallet");
                *wallets.entry(wallet).or_default() += I256::from(tick.observed.size);
            }
            let (n, is_exact) = counted(&wallets.keys().copied().collect::<Vec<_>>(), exact_up_to);
            match feature {
                "wallets" => return Value::from(n),
                "wallets_exact" => return Value::Bool(is_exact),
                _ if !is_exact => return Value::Null,
                _ => {}
            }
            float(wallets.values().max().and_then(|largest| over(*largest, volume)))
        }
        feature => float(of_returns(feature, &returns, last)),
    }
}

/// How many wallets there are, and whether that is exact: of more than so many those count whose digests
/// end with the fewest zeros that leave no more of them, each for all that it stands for; and there are
/// more than so many.
fn counted(wallets: &[&str], exact_up_to: usize) -> (u64, bool) {
    let left = |zeros: u32| {
        let is_left = |wallet: &&str| digest64(wallet.as_bytes()).trailing_zeros() >= zeros;
        wallets.iter().filter(|wallet| is_left(wallet)).count()
    };
    let zeros =
        (0..=64).find(|zeros| left(*zeros) <= exact_up_to).expect("at most one digest is zero");
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let about = number(left(zeros)) << zeros;
    (if zeros == 0 { about } else { about.max(number(exact_up_to) + 1) }, zeros == 0)
}

/// A feature of returns.
fn of_returns(feature: &str, returns: &[i128], last: Option<i128>) -> Option<f64> {
    let n = I256::from(i64::try_from(returns.len()).unwrap_or(i64::MAX));
    let sum = returns.iter().fold(I256::ZERO, |sum, one| sum + I256::from(*one));
    let squares =
        returns.iter().fold(I256::ZERO, |sum, one| sum + I256::from(*one) * I256::from(*one));
    let deviation = || {
        let variance = over(n * squares - sum * sum, n * (n - I256::ONE))?;
        Some(of_return(variance.sqrt()))
    };
    match feature {
        "return_mean" => over(sum, n).map(of_return),
        "return_std" => deviation(),
        "volatility" => (!returns.is_empty()).then(|| of_return(nearest(squares).sqrt())),
        "return_z" => {
            let above = over(n * I256::from(last?) - sum, n).map(of_return)?;
            let deviation = deviation().filter(|deviation| *deviation > 0.0)?;
            Some(above / deviation)
        }
        "momentum" => (!returns.is_empty()).then(|| of_return(nearest(sum))),
        other => panic!("`{other}` is no feature"),
    }
}

/// The logarithm of a quotient in units of 2^-56.
fn log_return(from: i128, to: i128) -> Option<i128> {
    if from <= 0 || to <= 0 {
        return None;
    }
    let logarithm = if from / 2 <= to && to / 2 <= from {
        libm::log1p(whole(to - from) / whole(from))
    } else {
        libm::log(whole(to) / whole(from))
    };
    // A float's text is exact to its last bit, and so is that of a whole one.
    format!("{:.0}", (logarithm * UNITS).round_ties_even()).parse().ok()
}

/// 2^56.
const UNITS: f64 = 72_057_594_037_927_936.0;

fn of_return(units: f64) -> f64 {
    units / UNITS
}

fn float(number: Option<f64>) -> Value {
    number.and_then(Float::new).into()
}

/// The float nearest to a quotient: divided by hand, a binary digit after the other, until there are more than
/// a float has; one more says whether anything is left.
fn over(number: I256, divisor: I256) -> Option<f64> {
    if divisor == I256::ZERO {
        return None;
    }
    let (mut digits, mut rest) = (number / divisor, number % divisor);
    let mut unit = 1.0;
    let mut take_digit = |digits: &mut I256, digit: I256| {
        *digits = *digits + *digits + digit;
        unit /= 2.0;
    };
    while rest != I256::ZERO && digits.abs() < I256::ONE << 60 {
        rest <<= 1;
        take_digit(&mut digits, rest / divisor);
        rest %= divisor;
    }
    if rest != I256::ZERO {
        take_digit(&mut digits, rest.signum() * divisor.signum());
    }
    Some(nearest(digits) * unit)
}

fn whole(number: i128) -> f64 {
    nearest(I256::from(number))
}

/// The float nearest to a whole number, by way of its digits.
fn nearest(number: I256) -> f64 {
    number.to_string().parse().expect("digits")
}
