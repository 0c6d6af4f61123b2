#!/usr/bin/env python3
"""windows.py WORK: what windows cost where they are many, and where events come late. Runs the binary at
$TAPELINE (default target/release/tapeline) over fills that it makes (seeded), and prints CPU time and peak
memory of each run:

    keys N    as many wallets as fills, half of N and N: `features` by wallet and `anomaly` over them
    crowd     the same N fills; a window of a day by asset, without and with `wallets`, of which more than
              10,000 are sampled (of N / 20 each), and with all counted exactly
    plain     500,000 fills of 20 assets in event order; windows of an hour at steps of five minutes
    late      the same, one in a hundred of them up to half an hour late
    extremes  the same as late, with `range`, for which no chunk of ticks can be taken at once

    windows.py WORK [--keys 1000000]"""
import argparse, json, os, random, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("TAPELINE", ROOT / "target" / "release" / "tapeline")).absolute()
START = 1_767_225_600

SOURCE = '''[pipeline]
name = "windows"
[sources.fills]
type = "csv"
path = "{path}"
relation = "fills"
lateness = "1s"
[sources.fills.columns]
venue = {{ constant = "v" }}
id = "id"
seq = "id"
event_time = {{ column = "event_time", unit = "s" }}
'''
KEYS = '''[views.habits]
op = "features"
input = "fills"
by = ["wallet"]
windows = ["10m", "1d"]
emit = "event"
features = ["count", "notional", "imbalance", "since_last", "age"]
[views.scores]
op = "anomaly"
input = "habits"
'''
STEPS = '''[views.flow]
op = "features"
input = "fills"
windows = ["{window}"]
step = "{step}"
features = [{features}]
'''
SINK = '''[sinks.out]
type = "jsonl"
path = "out/"
views = ["{view}"]
'''


def write(path, rows):
    with open(path, "w") as out:
        out.write("id,wallet,asset,side,price,size,event_time\n")
        out.writelines(f"{i},{w},{a},{s},{p},{z},{t}\n" for i, w, a, s, p, z, t in rows)


def fills(n, wallets, late):
    """Fills at 20 a second; `late` of them come up to half an hour behind those that follow them."""
    random.seed(20)
    rows = []
    for i in range(n):
        wallet = f"0x{i * 2654435761 % wallets:040x}"
        row = (i, wallet, f"a{i % 20}", random.choice(("buy", "sell")), f"{100 + random.randrange(50)}.5",
               1 + random.randrange(90), START + i // 20)
        rows.append((i + (random.randrange(36_000) if random.random() < late else 0), row))
    rows.sort()
    return [row for _, row in rows]


def run(work, name, config):
    (work / f"{name}.toml").write_text(config)
    with open(work / "said", "w") as said, open(work / "errors", "w") as errors:
        child = subprocess.Popen([BINARY, "run", "--fresh", f"{name}.toml", "--format", "json"], cwd=work,
                                 stdout=said, stderr=errors)
        _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit((work / "errors").read_text())
    bytes_ = json.loads((work / "said").read_text())["peak_memory_bytes"]
    print(f"{name:16} {used.ru_utime + used.ru_stime:8.2f} CPU s {bytes_ / 1e6:8.0f} MB", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("work", type=Path)
    ap.add_argument("--keys", type=int, default=1_000_000)
    a = ap.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    for n in (a.keys // 2, a.keys):
        write(a.work / f"keys{n}.csv", fills(n, n, 0))
        config = SOURCE.format(path=f"keys{n}.csv") + KEYS + SINK.format(view="scores")
        run(a.work, f"keys_{n}", config)
    for name, features, more in [("crowd", '"count"', ""), ("crowd_sampled", '"count", "wallets"', ""),
                                 ("crowd_exact", '"count", "wallets"', "exact_up_to = 16777216\n"),
                                 ("crowd_shares", '"count", "largest_share"', "")]:
        views = STEPS.format(window="1d", step="2h", features=features) + more + SINK.format(view="flow")
        run(a.work, name, SOURCE.format(path=f"keys{a.keys}.csv") + views)
    for name, late, features in [("plain", 0, '"count", "vwap", "volatility"'),
                                 ("late", 0.01, '"count", "vwap", "volatility"'),
                                 ("extremes", 0.01, '"count", "vwap", "volatility", "range"')]:
        write(a.work / f"{name}.csv", fills(500_000, 1_000, late))
        views = STEPS.format(window="1h", step="5m", features=features) + SINK.format(view="flow")
        run(a.work, name, SOURCE.format(path=f"{name}.csv") + views)


if __name__ == "__main__":
    main()
