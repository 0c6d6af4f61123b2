#!/usr/bin/env python3
"""check.py OUT [DATA]: computes the demo again, plainly and exactly, and compares.

OUT is the folder that a run of `configs/demo.toml` wrote its `final` JSON lines to; DATA is
`configs/demo` by default. All of positions, bars, P&L by wallet at each snapshot and alerts must be
equal to the last digit, and at each snapshot the total P&L over all wallets must be zero.

Nothing here is taken from the engine: it sorts all fills, trades and quotes and folds them, in
fractions. Prints one line; exits 0 if all holds, else 1. Python's standard library is enough.
"""
import csv
import gzip
import json
import os
import sys
import time
from calendar import timegm
from fractions import Fraction

SECOND = 1_000_000_000
SNAPSHOT = 30 * SECOND
BARS = {"10s": 10 * SECOND, "1m": 60 * SECOND}


def rounded(number, places):
    """Half-even, as a fraction."""
    return Fraction(round(number * 10**places), 10**places)


def table(folder, name):
    """The rows of a CSV file; `row` is each one's place."""
    with gzip.open(os.path.join(folder, name + ".csv.gz"), "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    for place, row in enumerate(rows):
        row["row"] = place
        if row["event_time"]:
            row["event_time"] = int(row["event_time"])
    return rows


def in_order(rows):
    """By event time, then by place."""
    return sorted(rows, key=lambda row: (row["event_time"], row["row"]))


def standing_fills(rows):
    """The fills that no bust removes, in order."""
    name = lambda row: (row["sim_wallet"], row["asset"], row["id"])
    busted = {name(row) for row in rows if row["op"] == "bust"}
    return in_order(row for row in rows if row["op"] == "insert" and name(row) not in busted)


class Position:
    """What a wallet holds of an asset, at average cost."""

    def __init__(self):
        self.qty = self.cost = self.realized = Fraction(0)
        self.n_fills = self.updated_at = 0

    def add(self, fill):
        size, price = Fraction(fill["size"]), Fraction(fill["price"])
        signed = size if fill["side"] == "buy" else -size
        self.n_fills += 1
        self.updated_at = fill["event_time"]
        closed = min(size, abs(self.qty)) if self.qty * signed < 0 else Fraction(0)
        if closed:
            removed = self.cost
            if closed < abs(self.qty):
                removed = rounded(self.cost * closed / abs(self.qty), 18)
            sign = 1 if self.qty > 0 else -1
            self.realized += sign * price * closed - removed
            self.qty, self.cost = self.qty - sign * closed, self.cost - removed
            signed += sign * closed
        self.qty, self.cost = self.qty + signed, self.cost + price * signed


def step_after(at, step):
    """The first step of the grid behind a time."""
    return at // step * step + step


def states(rows, step, last, add):
    """(b, state) for each step b of the grid, with what lies before b added to the state."""
    state, place = {}, 0
    b = step_after(rows[0]["event_time"], step)
    while b <= last:
        while place < len(rows) and rows[place]["event_time"] < b:
            add(state, rows[place])
            place += 1
        yield b, state
        b += step


def add_fill(positions, fill):
    key = (fill["sim_wallet"], fill["asset"])
    positions.setdefault(key, Position()).add(fill)


def add_quote(marks, quote):
    marks[quote["asset"]] = (Fraction(quote["bid"]) + Fraction(quote["ask"])) / 2


def wallets_at(positions, marks):
    """The P&L of each wallet: the columns of `pnl`, exact."""
    wallets = {}
    for (wallet, asset), position in positions.items():
        row = wallets.setdefault(wallet, dict(
            realized_pnl=Fraction(0), unrealized_pnl=Fraction(0), exposure=Fraction(0),
            n_positions=0, n_unmarked=0))
        row["realized_pnl"] += position.realized
        if not position.qty:
            continue
        row["n_positions"] += 1
        if asset not in marks:
            row["n_unmarked"] += 1
            continue
        worth = position.qty * marks[asset]
        row["unrealized_pnl"] += worth - position.cost
        row["exposure"] += abs(worth)
    for row in wallets.values():
        row["total_pnl"] = row["realized_pnl"] + row["unrealized_pnl"]
        row.update((name, rounded(value, 9)) for name, value in list(row.items()))
    return wallets


def pnl(fills, quotes):
    """{(wallet, snapshot): row} where it changed, and the snapshots whose total isn't zero."""
    last = step_after(max(fills[-1]["event_time"], quotes[-1]["event_time"]), SNAPSHOT)
    marks = {}
    mark_steps = {b: dict(m) for b, m in states(quotes, SNAPSHOT, last, add_quote)}
    rows, before, uneven = {}, {}, []
    for b, positions in states(fills, SNAPSHOT, last, add_fill):
        marks = mark_steps.get(b, marks)
        now = wallets_at(positions, marks)
        rows.update(((w, b), row) for w, row in now.items() if before.get(w) != row)
        if sum(row["total_pnl"] for row in now.values()):
            uneven.append(b)
        before = now
    return rows, uneven


def bars(trades):
    """{(asset, size, bucket): row} of all trades."""
    found = {}
    for trade in trades:
        price, size = Fraction(trade["price"]), Fraction(trade["size"])
        for name, length in BARS.items():
            key = (trade["asset"], name, trade["event_time"] // length * length)
            bar = found.setdefault(key, dict(
                open=price, high=price, low=price, volume=Fraction(0), notional=Fraction(0),
                n_trades=0))
            bar["high"], bar["low"] = max(bar["high"], price), min(bar["low"], price)
            bar["close"] = price
            bar["volume"] += size
            bar["notional"] += price * size
            bar["n_trades"] += 1
    for bar in found.values():
        bar["vwap"] = rounded(bar["notional"] / bar["volume"], 9)
        bar["final"] = 1
    return found


def fire(rows, cooldown=0):
    """The alerts of a rule. `rows` are (entity, time, id, whether `when` holds) in order."""
    holds, last, open_alert, alerts = {}, {}, {}, {}
    for entity, at, row_id, is_true in rows:
        if is_true and not holds.get(entity):
            if entity not in last or at - last[entity] >= cooldown:
                last[entity] = at
                open_alert[entity] = (entity, at, row_id)
                alerts[entity, at, row_id] = None
        elif not is_true and entity in open_alert:
            alerts[open_alert.pop(entity)] = at
        holds[entity] = is_true
    return alerts


def alerts(fills, position_steps, pnl_rows, bar_rows):
    """{(rule, entity, time, id): (severity, resolved at)} of the rules of the demo."""
    large = lambda fill: Fraction(fill["price"]) * Fraction(fill["size"]) > 50_000
    wide = lambda bar: (bar["high"] - bar["low"]) * 10_000 > 5 * bar["open"]
    in_time = lambda rows: sorted(rows, key=lambda item: item[0][-1])
    rules = {
        "large_fill": ("high", fire([
            (("binance", f["sim_wallet"], f["asset"]), f["event_time"], f["id"], large(f))
            for f in fills])),
        "wide_bar": ("medium", fire([
            (("binance",) + key[:2], key[2], "", key[1] == "10s" and wide(bar))
            for key, bar in in_time(bar_rows.items())])),
        "big_loss": ("high", fire([
            ((wallet,), at, "", row["total_pnl"] < -120)
            for (wallet, at), row in in_time(pnl_rows.items())], 75 * SECOND)),
        "big_position": ("low", fire([
            (("binance",) + key, b, "", abs(cost) > 100_000)
            for b, costs in position_steps for key, cost in costs.items()])),
    }
    return {(rule,) + key: (severity, resolved)
            for rule, (severity, found) in rules.items() for key, resolved in found.items()}


def nanos(text):
    """The nanoseconds of a time as the engine writes it."""
    seconds = timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    return seconds * SECOND + int(text[20:29])


def read(folder, view):
    with open(os.path.join(folder, view + ".jsonl")) as file:
        return [json.loads(line) for line in file]


def number(text):
    """A number or flag as the engine writes it; `None` for null."""
    return None if text is None else Fraction(text)


def differences(expected, rows, key):
    """How many keys differ, and the first of them. `expected` maps keys to named numbers."""
    got, wrong = {key(row): row for row in rows}, []
    for k in list(expected) + [k for k in got if k not in expected]:
        row, want = got.get(k), expected.get(k)
        if row is None or want is None:
            wrong.append(k)
        elif any(number(row.get(name)) != value for name, value in want.items()):
            wrong.append(k)
    return len(wrong) + len(rows) - len(got), wrong[:1]


def expected(data):
    """All that must come out, by view."""
    fills = standing_fills(table(data, "fills"))
    quotes, trades = in_order(table(data, "quotes")), in_order(table(data, "trades"))
    positions = {}
    for fill in fills:
        add_fill(positions, fill)
    minute = 60 * SECOND
    end = step_after(fills[-1]["event_time"], minute)
    steps = [(b, {key: position.cost for key, position in state.items()})
             for b, state in states(fills, minute, end, add_fill)]
    pnl_rows, uneven = pnl(fills, quotes)
    bar_rows = bars(trades)
    return dict(
        positions={key: dict(
            qty=p.qty, cost=rounded(p.cost, 9), realized_pnl=rounded(p.realized, 9),
            avg_price=rounded(p.cost / p.qty, 9) if p.qty else None,
            n_fills=p.n_fills, unmatched_size=0, fees=0) for key, p in positions.items()},
        pnl=pnl_rows,
        bars=bar_rows,
        alerts=alerts(fills, steps, pnl_rows, bar_rows),
        uneven=uneven,
    )


def alert_rows(rows):
    """The rows of `alerts` as `alerts` above gives them."""
    entity = lambda text: tuple(json.loads(text)) if text.startswith("[") else (text,)
    time_of = lambda text: None if text is None else nanos(text)
    return {(row["rule"], entity(row["entity"]), nanos(row["time"]), row["id"]):
            (row["severity"], time_of(row["resolved_at"])) for row in rows
            if (row["state"] == "firing") == (row["resolved_at"] is None)}


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    out = sys.argv[1]
    here = os.path.dirname(os.path.abspath(__file__))
    data = sys.argv[2] if len(sys.argv) == 3 else os.path.join(here, "..", "..", "configs", "demo")
    want = expected(data)
    problems = [f"total P&L isn't zero at {b}" for b in want["uneven"][:1]]
    keys = dict(
        positions=lambda row: (row["wallet"], row["asset"]),
        bars=lambda row: (row["asset"], row["size"], nanos(row["bucket"])),
        pnl=lambda row: (row["wallet"], nanos(row["snapshot"])))
    latest = {}
    for view, key in keys.items():
        rows = read(out, view)
        n_wrong, first = differences(want[view], rows, key)
        if n_wrong:
            problems.append(f"{n_wrong} of {view} differ, first {first}")
        if view == "pnl":
            # A wallet whose values stay has no row at the last snapshot: its newest one holds.
            for row in sorted(rows, key=lambda row: row["snapshot"]):
                latest[row["wallet"]] = Fraction(row["total_pnl"])
    total = sum(latest.values())
    if total:
        problems.append(f"the wallets' total P&L is {float(total)}, not zero")
    found = alert_rows(read(out, "alerts"))
    if found != want["alerts"]:
        odd = sorted(set(found.items()) ^ set(want["alerts"].items()), key=str)
        problems.append(f"{len(odd)} alerts differ, first {odd[0]}")
    if problems:
        print("; ".join(problems))
        sys.exit(1)
    print(f"{len(want['positions'])} positions, {len(want['bars'])} bars, {len(want['pnl'])} P&L "
          f"rows, {len(want['alerts'])} alerts are exact; total P&L of {len(latest)} wallets is 0")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        print(error)
        sys.exit(1)
