#!/usr/bin/env python3
"""run.py SHARED WORK: MarketMark's M1, M2, M5 at 1,000,000 fills and M3 at 100,000, by the binary at
$TAPELINE, checked against MarketMark's own reference. Prints rate, CPU time and peak memory of each;
exits 1 if a result differs."""
import calendar, csv, json, os, resource, subprocess, sys, time

SHARED, WORK = (os.path.abspath(p) for p in sys.argv[1:3])
BINARY = os.path.abspath(os.environ.get("TAPELINE", "target/release/tapeline"))
POSITIONS = '[views.positions]\nop = "avg_cost"\ninput = "fills"\n'
BARS = '[views.bars]\nop = "rollup"\ninput = "fills"\nsizes = ["1m", "1h", "1d"]\n'
PNL = POSITIONS + '''[views.pnl]
op = "mark_to_market"
positions = "positions"
trades = "fills"
mark = "last"
snapshot = "5m"
emit = "all"
'''
OP = 'op = { column = "op", values = { "1" = "insert", "-1" = "bust" } }\n'


def config(path, views, view, op):
    return f'''[pipeline]
name = "marketmark"
data_dir = "data"
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
views = ["{view}"]
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


def reference(kind, n):
    if not os.path.exists(f"{WORK}/ref/{kind}_{n}_m2.parquet"):
        script = f"{SHARED}/marketmark/ref.py"
        subprocess.run([sys.executable, script, WORK, "--n", str(n), "--input", kind], check=True,
                       stdout=subprocess.DEVNULL)


def task(name, n, data, views, view, row, op=""):
    where = f"{WORK}/run_{name}"
    os.makedirs(where, exist_ok=True)
    with open(f"{where}/c.toml", "w") as f:
        f.write(config(f"{WORK}/data/{data}_{n}.csv", views, view, op))
    start, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([BINARY, "run", "c.toml", "--format", "json"], cwd=where, capture_output=True, text=True)
    wall, after = time.time() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{name}: exit {done.returncode}: {done.stderr.strip()}")
    summary = json.loads(done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    os.makedirs(f"{WORK}/out", exist_ok=True)
    with open(f"{where}/out/{view}.jsonl") as source, open(f"{WORK}/out/tapeline_{name}_{n}.csv", "w", newline="") as out:
        writer = None
        for line in source:
            values = row(json.loads(line))
            writer = writer or csv.DictWriter(out, values.keys())
            if writer.fieldnames and out.tell() == 0:
                writer.writeheader()
            writer.writerow(values)
    check = [sys.executable, f"{SHARED}/marketmark/check.py", WORK, "--n", str(n), "--only", f"tapeline_{name}"]
    said = subprocess.run(check, capture_output=True, text=True, check=True).stdout.strip()
    rows = summary["received"]
    print(f"{name}: {rows / wall / 1000:.0f} thousand fills/s, {wall:.2f} s, {cpu:.2f} CPU s, "
          f"{summary['peak_memory_bytes'] / 1e6:.0f} MB; {said.split(' {')[0]}", flush=True)
    return ": OK " in said


reference("fills", 1_000_000)
reference("truth", 1_000_000)
reference("fills", 100_000)
good = [
    task("m1", 1_000_000, "fills", POSITIONS, "positions", position),
    task("m2", 1_000_000, "fills", BARS, "bars", bar),
    task("m5", 1_000_000, "arrivals", POSITIONS, "positions", position, OP),
    task("m3", 100_000, "fills", PNL, "pnl", pnl),
]
sys.exit(0 if all(good) else 1)
