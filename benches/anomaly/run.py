#!/usr/bin/env python3
"""Measures the default detector on the labelled streams, NAB, a made-up market, and the clock.

  run.py SHARED WORK [--seed N]

SHARED holds anomaly-tools/ (the scorers; they need numpy) and data/anomaly/ (the streams); WORK gets
the score files. One configuration serves everything; only dimension, key and time column differ.
"""
import argparse
import csv
import gzip
import json
import re
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STREAMS = "http shuttle mammography annthyroid satellite pendigits thyroid cardio".split()
MARKET_ROWS = 300_000
MARKETS = 4
RUNS = 21
NOMINAL = 1e-3


def run(*command, to=None):
    """Runs a command; what it prints goes to the file `to`, or comes back."""
    if to is not None:
        with open(to, "w") as out:
            subprocess.run(list(map(str, command)), check=True, stdout=out)
        return ""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 2):  # 2: a scorer judges
        sys.exit(f"{command[0]}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def build():
    """The path of the scoring program, built."""
    command = ["cargo", "build", "--release", "--locked", "-p", "detectors", "--example", "score",
               "--message-format", "json"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "score":
            return message["executable"]
    sys.exit("cargo built no program")


def exceedances(scores, labels):
    """Share of rows with p <= NOMINAL over NOMINAL, rows labelled 1 left out."""
    used = [s for s, label in zip(scores, labels) if not label]
    return sum(1.0 - s <= NOMINAL for s in used) / NOMINAL / len(used)


def cpu_a_row(command, rows):
    """User CPU microseconds a row, which other work on the machine disturbs less than the clock."""
    spent = []
    for runs in (1, RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        run(*command, "--runs", runs)
        spent.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return (spent[1] - spent[0]) / (RUNS - 1) / rows * 1e6


def column(path, name):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("shared", type=Path)
    ap.add_argument("work", type=Path)
    ap.add_argument("--seed", default="0")
    a = ap.parse_args()
    tools, data, score = a.shared / "anomaly-tools", a.shared / "data" / "anomaly", build()
    nab, labelled = a.work / "nab", a.work / "labelled"
    for folder in (nab, labelled):
        folder.mkdir(parents=True, exist_ok=True)
    seed = ["--seed", a.seed]
    for stream in STREAMS:
        run(score, data / f"{stream}.csv.gz", "--drop", "label", *seed, to=labelled / f"{stream}.csv")
    print(run(sys.executable, tools / "score_auc.py", data, labelled))
    print(run(sys.executable, tools / "preq.py", labelled, "--labels", data))
    run(score, data / "nab_tune.csv.gz", "--drop", "window", "--key", "file", "--time", "timestamp",
        *seed, to=nab / "nab_tune.csv")
    print(run(sys.executable, tools / "score_nab.py", data / "nab_tune.csv.gz",
              data / "nab_tune_windows.json", nab / "nab_tune.csv"))
    ratios, rows = {}, {}
    for stream in STREAMS:
        labels = column(data / f"{stream}.csv.gz", "label")
        rows[stream] = len(labels)
        if len(labels) >= 10_000:
            ratios[stream] = exceedances(column(labelled / f"{stream}.csv", "score"), labels)
    markets = []
    for market in range(MARKETS):
        path, to = a.work / f"market_{market}.csv", a.work / f"market_{market}_scores.csv"
        run(score, "--market", MARKET_ROWS, "--seed", market, to=path)
        run(score, path, *seed, to=to)
        markets.append(exceedances(column(to, "score"), [0] * MARKET_ROWS))
    print("rows with p <= 1e-3 over nominal: " + ", ".join(f"{k} {v:.2f}" for k, v in ratios.items()))
    print(f"  median of these {statistics.median(ratios.values()):.2f}")
    print("  made-up markets " + ", ".join(f"{m:.2f}" for m in markets)
          + f"; median {statistics.median(markets):.2f}")
    shuttle = [score, data / "shuttle.csv.gz", "--drop", "label"]
    print("shuttle (9 columns), score and learn\n" + re.sub("(?m)^", "  ", run(*shuttle, "--runs", 5).strip()))
    print(f"  CPU us a row, mean of {RUNS - 1} runs: {cpu_a_row(shuttle, rows['shuttle']):.3f}")


if __name__ == "__main__":
    main()
