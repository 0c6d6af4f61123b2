#!/usr/bin/env python3
"""watch.py WORK: what it costs to watch markets. Runs configs/market-watch.toml by the binary at
$TAPELINE (default target/release/tapeline) over the demo's trades and quotes, dealt out again and again
behind one another, and the same without scores, labels and their alerts. Prints events a second, CPU
time and peak memory, best of the runs.

    watch.py WORK                      20 times the demo: 317,260 trades and 1,042,340 quotes
    watch.py WORK --times 50 --runs 5

With --rivals (needs scikit-learn and river, from PyPI) it also asks scikit-learn's isolation forest and
river's half-space trees for a score of each row of nine columns, in their process, the default detector
for the same rows in its own (cargo builds its example), and `tapeline score` with its reading and writing,
in the same run: each row scored before it is learnt. scikit-learn's forest is fitted once to the first
1,000 rows and called row by row."""
import argparse, csv, gzip, os, resource, subprocess, sys, time
from pathlib import Path

from run import build

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("TAPELINE", ROOT / "target" / "release" / "tapeline")).absolute()
SPAN = 6 * 60 * 10**9  # the demo's six minutes, in nanoseconds


def deal(name, times, work):
    """The demo's file, so many times behind itself; how many rows that makes."""
    with gzip.open(ROOT / "configs" / "demo" / name, "rt") as file:
        header, *rows = csv.reader(file)
    at, of = header.index("event_time"), header.index("id") if "id" in header else None
    with gzip.open(work / "demo" / name, "wt", compresslevel=1) as file:
        out = csv.writer(file)
        out.writerow(header)
        for turn in range(times):
            for row in rows:
                row = list(row)
                row[at] = int(row[at]) + turn * SPAN
                if of is not None:
                    row[of] = int(row[of]) + turn * 10**9
                out.writerow(row)
    return times * len(rows)


def sections(text, unwanted):
    """A config without some of its sections."""
    kept, is_kept = [], True
    for line in text.splitlines():
        if line.startswith("["):
            is_kept = not line.startswith(tuple(f"[{section}" for section in unwanted))
        if is_kept:
            kept.append(line)
    return "\n".join(kept) + "\n"


def measure(work, config, n_events, runs):
    best = None
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.monotonic()
        done = subprocess.run([BINARY, "run", "--fresh", config], cwd=work, capture_output=True, text=True)
        wall = time.monotonic() - begin
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best or (wall, cpu), (wall, cpu))
    wall, cpu = best
    print(f"{config:24} {n_events / wall:12,.0f} events/s {wall:7.2f} s {cpu:7.2f} CPU s")


def rivals(work):
    """Microseconds a row, of nine columns of a random walk's kind."""
    import numpy as np
    from river import anomaly
    from sklearn.ensemble import IsolationForest

    rows = np.random.default_rng(0).normal(size=(50_000, 9))
    with open(work / "rows.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([f"x{n}" for n in range(9)])
        out.writerows(rows.tolist())

    def detector():
        done = subprocess.run([build(), work / "rows.csv", "--runs", "5"], check=True, capture_output=True, text=True)
        return float(done.stdout.partition("median of 5 runs:")[2].split()[0]) / 1e6

    def tapeline():
        begin = time.monotonic()
        subprocess.run([BINARY, "score", "rows.csv", "--why", "2", "-o", "scores.csv"], cwd=work,
                       check=True, capture_output=True)
        return (time.monotonic() - begin) / len(rows)

    def sklearn():
        forest = IsolationForest(random_state=0).fit(rows[:1_000])
        begin = time.monotonic()
        for row in rows[1_000:1_300]:
            forest.score_samples(row.reshape(1, -1))
        return (time.monotonic() - begin) / 300

    def river():
        trees = anomaly.HalfSpaceTrees(seed=0)
        dicts = [dict(enumerate(row)) for row in rows[:3_000].tolist()]
        begin = time.monotonic()
        for row in dicts:
            trees.score_one(row)
            trees.learn_one(row)
        return (time.monotonic() - begin) / len(dicts)

    ours, whole = detector(), min(tapeline() for _ in range(3))
    costs = [("detector", ours), ("tapeline score", whole), ("scikit-learn", sklearn()), ("river", river())]
    print(f"{'':24} {'us a row':>12} {'/ detector':>12} {'/ tapeline score':>18}")
    for name, cost in costs:
        print(f"{name:24} {cost * 1e6:12,.2f} {cost / ours:12,.1f} {cost / whole:18,.1f}")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("work", type=Path)
    ap.add_argument("--times", type=int, default=20)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--rivals", action="store_true")
    a = ap.parse_args()
    (a.work / "demo").mkdir(parents=True, exist_ok=True)
    n_events = deal("trades.csv.gz", a.times, a.work) + deal("quotes.csv.gz", a.times, a.work)
    whole = (ROOT / "configs" / "market-watch.toml").read_text().partition("# Tests:")[0]
    (a.work / "market-watch.toml").write_text(whole)
    bare = sections(whole, ["views.scores", "views.seen", "views.thin", "alerts."])
    bare = bare.replace('["scores", "scores.stale", "book", "alerts"]', '["flow", "book"]')
    (a.work / "features-alone.toml").write_text(bare)
    for config in ("market-watch.toml", "features-alone.toml"):
        measure(a.work, config, n_events, a.runs)
    if a.rivals:
        rivals(a.work)


if __name__ == "__main__":
    main()
