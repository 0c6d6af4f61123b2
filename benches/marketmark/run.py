#!/usr/bin/env python3
"""run.py SHARED WORK [options]: MarketMark's M1 to M5, M1 and M2 at once, M1 to M3 and M1 to M4 at
once, by the binary at $TAPELINE (default target/release/tapeline). Makes the data with SHARED/marketmark/gen.py
where WORK has none, prints rate, CPU time, peak memory and how long an epoch of 10,000 rows is inside
(from fed to delivered; the least of the runs), checks every result against MarketMark's own reference;
exits 1 if one differs.

    run.py SHARED WORK                            all, 1,000,000 fills, M3 at 100,000 as well, best of 3
    run.py SHARED WORK --quick                    M1, M2, M5, M3, M4 at 1,000,000, M3 at 100,000, once: what CI runs
    run.py SHARED WORK --tasks m1,m3 --runs 5     some of them
    run.py SHARED WORK --events 5000000           the same with more fills; the reference takes minutes
    run.py SHARED WORK --agree 20000000           no reference: 1 and 2 workers must give the same bytes

Wall time and CPU time are each the best of the runs; memory is the most that one of them held."""
import argparse, calendar, csv, filecmp, json, os, shutil, subprocess, sys, time

POSITIONS = '[views.positions]\nop = "avg_cost"\ninput = "fills"\n'
BARS = '[views.bars]\nop = "rollup"\ninput = "fills"\nsizes = ["1m", "1h", "1d"]\n'
PNL = '''[views.pnl]
op = "mark_to_market"
positions = "positions"
trades = "fills"
mark = "last"
snapshot = "5m"
emit = "all"
'''
FLOW = '''[views.flow]
op = "features"
input = "fills"
windows = ["5m"]
emit = "event"
features = ["count", "volume", "return_mean", "return_std", "return_z"]
'''
OP = 'op = { column = "op", values = { "1" = "insert", "-1" = "bust" } }\n'

# Task: its data, its views, and which of MarketMark's results the views that leave are.
TASKS = {
    "m1": ("fills", POSITIONS, {"positions": "m1"}),
    "m2": ("fills", BARS, {"bars": "m2"}),
    "m5": ("arrivals", POSITIONS, {"positions": "m5"}),
    "m3": ("fills", POSITIONS + PNL, {"pnl": "m3"}),
    "m4": ("fills", FLOW, {"flow": "m4"}),
    "m12": ("fills", POSITIONS + BARS, {"positions": "m1", "bars": "m2"}),
    "m123": ("fills", POSITIONS + BARS + PNL, {"positions": "m1", "bars": "m2", "pnl": "m3"}),
    "m1234": ("fills", POSITIONS + BARS + PNL + FLOW,
              {"positions": "m1", "bars": "m2", "pnl": "m3", "flow": "m4"}),
}


def config(path, data, views, emitted, workers):
    op = OP if data == "arrivals" else ""
    return f'''[pipeline]
name = "marketmark"
data_dir = "data"
workers = {workers}
[sources.fills]
type = "csv"
path = "{path}"
relation = "fills"
[sources.fills.columns]
{op}venue = {{ constant = "marketmark" }}
wallet = "wallet"
asset = "asset"
id = "seq"
seq = "seq"
side = "side"
price = "price"
size = "size"
fee = "fee"
event_time = {{ column = "ts_us", unit = "us" }}
{views}[sinks.out]
type = "jsonl"
path = "out/"
mode = "final"
views = {json.dumps(list(emitted))}
'''


def micros(text):
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 1_000_000


def position(r):
    return {"wallet": r["wallet"], "asset": r["asset"], "qty": r["qty"], "avg": r["avg_price"] or 0,
            "realised": r["realized_pnl"], "fees": r["fees"]}


def bar(r):
    width = {"1m": 60, "1h": 3600, "1d": 86400}[r["size"]]
    return {"asset": r["asset"], "width": width, "start_us": micros(r["bucket"]), "open": r["open"],
            "high": r["high"], "low": r["low"], "close": r["close"], "volume": r["volume"],
            "vwap": r["vwap"], "cnt": r["n_trades"]}


def pnl(r):
    return {"b_us": micros(r["snapshot"]), "wallet": r["wallet"], "upnl": r["unrealized_pnl"]}


def flow(r):
    return {"seq": r["id"], "cnt": r["count_5m"], "vol": r["volume_5m"], "mean": r["return_mean_5m"],
            "std": r["return_std_5m"], "z": r["return_z_5m"]}


ROWS = {"positions": position, "bars": bar, "pnl": pnl, "flow": flow}


class Bench:
    def __init__(self, shared, work, binary, runs):
        self.shared, self.work, self.binary, self.runs = shared, work, binary, runs

    def script(self, name, *arguments):
        command = [sys.executable, f"{self.shared}/marketmark/{name}", self.work, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr.strip()}")
        return done.stdout.strip()

    def generate(self, n):
        if not os.path.exists(f"{self.work}/data/arrivals_{n}.csv"):
            self.script("gen.py", "--n", n)

    def reference(self, kind, n):
        if not os.path.exists(f"{self.work}/ref/{kind}_{n}_m4.parquet"):
            self.script("ref.py", "--n", n, "--input", kind)

    def once(self, task, n, workers):
        """Runs the binary; gives seconds, CPU seconds, bytes and the folder of what came out."""
        data, views, emitted = TASKS[task]
        where = f"{self.work}/run_{task}"
        shutil.rmtree(where, ignore_errors=True)
        os.makedirs(where)
        with open(f"{where}/c.toml", "w") as f:
            f.write(config(f"{self.work}/data/{data}_{n}.csv", data, views, emitted, workers))
        with open(f"{where}/said", "w") as said, open(f"{where}/errors", "w") as errors:
            start = time.time()
            child = subprocess.Popen([self.binary, "run", "c.toml", "--format", "json"], cwd=where,
                                     stdout=said, stderr=errors)
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.time() - start
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"{task}: exit {child.returncode}: {open(f'{where}/errors').read().strip()}")
        summary = json.load(open(f"{where}/said"))
        return (wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, summary["received"],
                f"{where}/out", summary["epoch_micros"])

    def check(self, task, n, out):
        """Compares each view with the reference; gives what differs."""
        said = []
        for view, result in TASKS[task][2].items():
            os.makedirs(f"{self.work}/out", exist_ok=True)
            name = f"tapeline_{result}" if task == result else f"tapeline_{task}_{result}"
            with open(f"{out}/{view}.jsonl") as rows, open(f"{self.work}/out/{name}_{n}.csv", "w", newline="") as f:
                writer = None
                for line in rows:
                    values = ROWS[view](json.loads(line))
                    if writer is None:
                        writer = csv.DictWriter(f, values.keys())
                        writer.writeheader()
                    writer.writerow(values)
            self.reference("truth" if result == "m5" else "fills", n)
            said.append(self.script("check.py", "--n", n, "--only", name).split(" {")[0])
        return said

    def task(self, task, n):
        """Measures a task and checks it; whether it is right."""
        self.generate(n)
        runs = [self.once(task, n, 1) for _ in range(self.runs)]
        walls, cpus, bytes_, received, outs, epochs = zip(*runs)
        said = self.check(task, n, outs[-1])
        rows = received[0]
        print(f"{task:<5}{n:>9} fills: {rows / min(walls) / 1000:>6.0f} thousand/s, {min(walls):.2f} s, "
              f"{min(cpus):.2f} CPU s ({min(cpus) * 1e6 / rows:.2f} a million), {max(bytes_) / 1e6:.0f} MB, "
              f"an epoch {min(e['p50'] for e in epochs) / 1000:.1f} ms (p50) "
              f"{min(e['p99'] for e in epochs) / 1000:.1f} ms (p99); "
              + "; ".join(said), flush=True)
        return len(said) > 0 and all(": OK " in line for line in said)

    def agree(self, task, n):
        """Whether 1 and 2 workers give the same bytes."""
        self.generate(n)
        one = self.once(task, n, 1)
        kept = f"{self.work}/agree_{task}"
        shutil.rmtree(kept, ignore_errors=True)
        os.rename(one[4], kept)
        two = self.once(task, n, 2)
        names = [f"{view}.jsonl" for view in TASKS[task][2]]
        same = all(filecmp.cmp(f"{kept}/{name}", f"{two[4]}/{name}", shallow=False) for name in names)
        shutil.rmtree(kept)
        for workers, run in ((1, one), (2, two)):
            wall, cpu, bytes_, rows, _, _ = run
            print(f"{task:<5}{n:>9} fills, {workers} workers: {rows / wall / 1000:>6.0f} thousand/s, "
                  f"{wall:.2f} s, {cpu:.2f} CPU s, {bytes_ / 1e6:.0f} MB", flush=True)
        print(f"{task:<5}{n:>9} fills: the workers {'agree' if same else 'DIFFER'}", flush=True)
        return same


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("shared")
    arguments.add_argument("work")
    arguments.add_argument("--tasks", default=",".join(TASKS), help="some of " + ",".join(TASKS))
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--agree", type=int, metavar="N", default=0)
    a = arguments.parse_args()
    binary = os.path.abspath(os.environ.get("TAPELINE", "target/release/tapeline"))
    bench = Bench(os.path.abspath(a.shared), os.path.abspath(a.work), binary, 1 if a.quick else a.runs)
    if a.agree:
        good = [bench.agree(task, a.agree) for task in a.tasks.split(",")]
    elif a.quick:
        # One run of the reference makes all of its results, so M3's costs nothing beside M1's.
        good = [bench.task(task, 1_000_000) for task in ("m1", "m2", "m5", "m3", "m4")]
        good.append(bench.task("m3", 100_000))
    else:
        good = []
        for task in a.tasks.split(","):
            if task == "m3" and a.events > 100_000:
                good.append(bench.task(task, 100_000))
            good.append(bench.task(task, a.events))
    sys.exit(0 if good and all(good) else 1)


main()
