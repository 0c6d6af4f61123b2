#!/usr/bin/env python3
"""generate.py [OUT]: makes the files of `prediction-market.toml`. Nothing in them is real.

    trades.csv          wallets' trades in two markets, newest first, as a prediction market's data
                        API gives them: 78-digit token ids, prices with up to 18 decimals, and a
                        page that was fetched twice, so that its rows stand there twice
    settlements.csv     the payouts of the first market; the second one is still open

Some wallets sell more than the file shows them to hold, because splits and transfers aren't in it:
`oversell = "clamp"` counts only what they hold. OUT is this folder by default.
"""
import csv
import os
import sys
from datetime import datetime, timedelta, timezone

N_TRADES = 60
START = datetime(2026, 3, 2, 9, tzinfo=timezone.utc)


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

    def hex(self, n):
        return "0x" + "".join(f"{self.next():016x}" for _ in range(n // 16 + 1))[:n]

    def digits(self, n):
        text = "".join(f"{self.next():019}" for _ in range(n // 19 + 1))
        return "7" + text[1:n]


def decimal(numerator, places):
    """An integer count of 10^-places as a plain decimal."""
    text = f"{numerator:0{places + 1}}"
    return f"{text[:-places]}.{text[-places:]}".rstrip("0").rstrip(".")


def markets(chance):
    named = [("Will it rain in Example City on 3 March?", 620), ("Will Team A win?", 350)]
    for title, price in named:
        tokens = [chance.digits(78), chance.digits(78)]
        yield dict(title=title, condition=chance.hex(64), tokens=tokens, price=price)


def trades(chance, open_markets):
    """Trades in the order in which they happened."""
    wallets = [chance.hex(40) for _ in range(6)]
    at = START
    for _ in range(N_TRADES):
        at += timedelta(seconds=30 + chance.below(300))
        market = open_markets[chance.below(2)]
        market["price"] = min(950, max(50, market["price"] + chance.below(61) - 30))
        outcome = chance.below(2)
        price = market["price"] if outcome == 0 else 1000 - market["price"]
        # Amounts have 6 decimals; what the API calls the price is their ratio.
        size = (5 + chance.below(300)) * 1_000_000 + chance.below(4) * 250_000
        paid = size * price // 1000 + chance.below(3)
        yield {
            "proxyWallet": wallets[chance.below(3) if chance.below(2) else chance.below(6)],
            "side": "BUY" if chance.below(5) < 3 else "SELL",
            "asset": market["tokens"][outcome],
            "conditionId": market["condition"],
            "size": decimal(size, 6),
            "price": decimal(paid * 10**18 // size, 18),
            "timestamp": str(int(at.timestamp())),
            "title": market["title"],
            "outcome": ("Yes", "No")[outcome],
            "transactionHash": chance.hex(64),
        }


def write(path, rows):
    with open(path, "w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def main():
    out = sys.argv[1] if len(sys.argv) == 2 else os.path.dirname(os.path.abspath(__file__))
    chance = SplitMix(7)
    both = list(markets(chance))
    rows = list(trades(chance, both))[::-1]
    # Paging while new trades come in shifts the pages: the end of one comes again in the next.
    rows = rows[:30] + rows[20:30] + rows[30:]
    write(os.path.join(out, "trades.csv"), rows)
    payouts = [{"asset": token, "payout": payout, "settled_at": "2026-03-04T00:00:00Z"}
               for token, payout in zip(both[0]["tokens"], ("1", "0"))]
    write(os.path.join(out, "settlements.csv"), payouts)


if __name__ == "__main__":
    main()
