#!/usr/bin/env python3
"""convert.py SOURCES [OUT]: makes the demo's three files from Binance's raw WebSocket captures.

SOURCES is a folder with `spot-btcusdt_20240808.gz` and `spot-ethusdt_20240808.gz`: the files
`examples/spot/btcusdt_20240808.gz` and `examples/spot/ethusdt_20240808.gz` of
https://github.com/nkaz001/hftbacktest at commit 5f3ec40b2afb764e0fea112f941ed85523ef4e88 (MIT),
with `spot-` put before their names. OUT is this folder by default.

    trades.csv.gz   REAL trades: all of them
    quotes.csv.gz   REAL best bids and asks: all of them
    fills.csv.gz    the same REAL trades, dealt out to SIMULATED wallets by a generator with a seed

Binance doesn't say who trades. So 200 wallets are made up; the column is named `sim_wallet`. Trades
of one asset that follow each other with equal time and direction were one order: they get one
taker. Each has a maker that isn't its taker. Each trade gives two fills, `<trade>/buy` and
`<trade>/sell`, so that over all wallets quantities and P&L add up to zero. A few pairs arrive late,
and a few are busted some time after they arrived, both sides of a trade at once.

Event time is when the line was received, the one clock that trades and quotes share; a quote has no
other. It runs about 1.2 s behind the exchange's, which `venue_time` keeps for trades.

The same bytes come out each time (with the same zlib).
"""
import bisect
import gzip
import io
import itertools
import json
import os
import sys
from fractions import Fraction

ASSETS = ("btcusdt", "ethusdt")
SEED = 20240808
N_WALLETS = 200
N_LATE = 20                         # trades whose fills arrive 5 to 30 s late
N_BUSTED = 10                       # trades whose fills are busted 20 to 90 s after they came
SECOND = 1_000_000_000


class SplitMix:
    """SplitMix64: the same numbers in every version of every language."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() % n


def plain(number):
    """A decimal without zeros at its end."""
    return number.rstrip("0").rstrip(".") if "." in number else number


def lines(folder, asset):
    """(received, message) of each trade and best quote of a capture, in its order."""
    path = os.path.join(folder, f"spot-{asset}_20240808.gz")
    last = 0
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            received, _, text = line.partition(" ")
            if '@trade"' in text or '@bookTicker"' in text:
                if int(received) < last:
                    sys.exit(f"{path}: lines aren't in the order of their times")
                last = int(received)
                yield last, json.loads(text)


def read(folder):
    """Trades and quotes of all assets as dicts, by time; equal times in the order of ASSETS."""
    trades, quotes = [], []
    streams = [lines(folder, asset) for asset in ASSETS]
    for received, message in sorted(itertools.chain(*streams), key=lambda line: line[0]):
        data = message["data"]
        if message["stream"].endswith("@trade"):
            trades.append({
                "venue": "binance",
                "asset": data["s"],
                "id": str(data["t"]),
                "price": plain(data["p"]),
                "size": plain(data["q"]),
                # `m` says that the buyer rested: the seller crossed.
                "side": "sell" if data["m"] else "buy",
                "event_time": str(received),
                "venue_time": str(data["T"]),
            })
        else:
            quotes.append({
                "venue": "binance",
                "asset": data["s"],
                "bid": plain(data["b"]),
                "bid_size": plain(data["B"]),
                "ask": plain(data["a"]),
                "ask_size": plain(data["A"]),
                "event_time": str(received),
            })
    return trades, quotes


def deal(trades, chance):
    """(taker, maker) of each trade."""
    # The first wallets trade much, the last ones seldom.
    weights = itertools.accumulate(10_000 // (place + 4) for place in range(N_WALLETS))
    bounds = list(weights)

    def wallet():
        return f"sim-{bisect.bisect_right(bounds, chance.below(bounds[-1])) + 1:03}"

    orders, pairs = {}, []
    for trade in trades:
        order = (trade["venue_time"], trade["side"])
        if orders.get(trade["asset"], (None, None))[0] != order:
            orders[trade["asset"]] = (order, wallet())
        taker = orders[trade["asset"]][1]
        maker = wallet()
        while maker == taker:
            maker = wallet()
        pairs.append((taker, maker))
    return pairs


def choose(n, chance, fits, n_trades):
    """The places of n trades that fit, none twice."""
    chosen = set()
    while len(chosen) < n:
        place = chance.below(n_trades)
        if place not in chosen and fits(place):
            chosen.add(place)
    return chosen


def make_fills(trades, chance):
    """The fills of the simulated wallets in the order in which they arrive."""
    pairs = deal(trades, chance)
    times = [int(trade["event_time"]) for trade in trades]
    late = choose(N_LATE, chance, lambda place: times[place] + 30 * SECOND < times[-1], len(trades))
    # The largest trade that can be is among the busted ones, so that what it set off goes again.
    worth = lambda place: Fraction(trades[place]["price"]) * Fraction(trades[place]["size"])
    can_bust = lambda place: place not in late and times[place] + 90 * SECOND < times[-1]
    largest = max(filter(can_bust, range(len(trades))), key=worth)
    fits = lambda place: can_bust(place) and place != largest
    busted = choose(N_BUSTED - 1, chance, fits, len(trades)) | {largest}
    rows = []
    for place, (trade, (taker, maker)) in enumerate(zip(trades, pairs)):
        arrival = times[place]
        if place in late:
            arrival += 5 * SECOND + chance.below(25 * SECOND)
        sides = []
        for side in ("buy", "sell"):
            is_taker = side == trade["side"]
            sides.append({
                "op": "insert",
                "venue": trade["venue"],
                "sim_wallet": taker if is_taker else maker,
                "asset": trade["asset"],
                "id": f"{trade['id']}/{side}",
                "side": side,
                "price": trade["price"],
                "size": trade["size"],
                "liquidity": "taker" if is_taker else "maker",
                "event_time": trade["event_time"],
            })
        rows.append((arrival, sides))
        if place in busted:
            # A bust names the fill; nothing else of it is read.
            named = ("venue", "sim_wallet", "asset", "id")
            busts = [{"op": "bust"} | {name: fill[name] for name in named} for fill in sides]
            rows.append((arrival + 20 * SECOND + chance.below(70 * SECOND), busts))
    rows.sort(key=lambda row: row[0])
    return [fill for _, fills in rows for fill in fills]


def write(path, columns, rows):
    """A gzipped CSV whose bytes depend on the rows alone. No value needs quotes."""
    text = io.StringIO()
    text.write(",".join(columns) + "\n")
    for row in rows:
        text.write(",".join(row.get(column, "") for column in columns) + "\n")
    with open(path, "wb") as file:
        with gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0) as packed:
            packed.write(text.getvalue().encode())
    print(f"{path}: {len(rows)} rows, {os.path.getsize(path)} bytes")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    out = sys.argv[2] if len(sys.argv) == 3 else os.path.dirname(os.path.abspath(__file__))
    trades, quotes = read(sys.argv[1])
    fills = make_fills(trades, SplitMix(SEED))
    write(os.path.join(out, "trades.csv.gz"), list(trades[0]), trades)
    write(os.path.join(out, "quotes.csv.gz"), list(quotes[0]), quotes)
    write(os.path.join(out, "fills.csv.gz"), list(fills[0]), fills)


if __name__ == "__main__":
    main()
