#!/usr/bin/env python3
"""run.py SHARED WORK [--runs 5] [--parts cost,restart]: what the log and its checkpoints cost, and what going
on after kill -9 takes, by the binary at $TAPELINE (default target/release/tapeline).

    cost      MarketMark's M1, 1,000,000 fills, with what the log keeps in turns: positions without syncs,
              positions, events, events with checkpoints every 16 MiB. Wall and CPU time (the least of the
              runs), and how long an epoch is inside.
    restart   a run over fills of 1,000,000 positions is killed when the log holds about 1,250,000 of them,
              the last 200,000 or so behind the newest checkpoint; then started again, killed again, ..:
              time until it serves rows and has caught up, from the start of the process, and rates of both.

The machine should be at rest: both are wall times."""
import argparse, json, os, random, re, resource, shutil, signal, subprocess, sys, threading, time
import urllib.error, urllib.request

CONFIG = '''[pipeline]
name = "recovery"
data_dir = "data"
{pipeline}
[sources.fills]
type = "csv"
path = "{path}"
relation = "fills"
[sources.fills.columns]
venue = {{ constant = "marketmark" }}
wallet = "wallet"
asset = "asset"
id = "seq"
seq = "seq"
side = "side"
price = "price"
size = "size"
fee = "fee"
event_time = {{ column = "ts_us", unit = "us" }}
[views.positions]
op = "avg_cost"
input = "fills"
[sinks.out]
type = "jsonl"
path = "out/"
mode = "{mode}"
views = ["positions"]
'''
SERVER = '[server]\nlisten = "127.0.0.1:0"\n'
KEEPS = {
    "positions, no sync": 'journal = "positions"\nsync = "none"',
    "positions": 'journal = "positions"',
    "events": 'journal = "events"\ncheckpoint_every = "1024GiB"',
    "events, checkpoints": 'journal = "events"\ncheckpoint_every = "16MiB"',
}


def fresh(folder):
    for name in ("data", "out"):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def cost(binary, shared, work, runs):
    path = os.path.join(work, "data-m1", "data", "fills_1000000.csv")
    if not os.path.exists(path):
        gen = os.path.join(shared, "marketmark", "gen.py")
        subprocess.run([sys.executable, gen, os.path.join(work, "data-m1"), "--n", "1000000"], check=True)
    seen = {name: [] for name in KEEPS}
    for _ in range(runs):
        for name, keeps in KEEPS.items():
            fresh(work)
            with open(os.path.join(work, "c.toml"), "w") as file:
                file.write(CONFIG.format(pipeline=keeps, path=path, mode="final"))
            before, t = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = subprocess.run([binary, "run", "c.toml", "--format", "json"], cwd=work, check=True,
                                  capture_output=True, text=True)
            wall, after = time.monotonic() - t, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            seen[name].append((wall, cpu, json.loads(done.stdout)["epoch_micros"]))
    base = min(wall for wall, _, _ in seen["positions, no sync"])
    for name, all_runs in seen.items():
        wall, cpu = (min(run[i] for run in all_runs) for i in (0, 1))
        inside = {q: min(run[2][q] for run in all_runs) for q in all_runs[0][2]}
        print(f"cost     {name:20} {wall:6.2f} s wall ({wall / base:4.2f}), {cpu:6.2f} s CPU; "
              f"an epoch inside, us: {inside}")


def positions(path, n_rows):
    draw = random.Random(3)
    with open(path, "w") as file:
        file.write("seq,ts_us,wallet,asset,side,price,size,fee\n")
        for i in range(n_rows):
            key = i if i < 1_000_000 else draw.randrange(1_000_000)
            side = "buy" if draw.random() < 0.6 else "sell"
            price, size = 1 + draw.randrange(900) / 100, 1 + draw.randrange(500)
            file.write(f"{i},{1_700_000_000_000_000 + i * 500},w{key % 250_000:06d},a{key // 250_000},"
                       f"{side},{price:.2f},{size},0\n")


def log_bytes(work):
    folder = os.path.join(work, "data", "log")
    return sum(e.stat().st_size for e in os.scandir(folder)) if os.path.isdir(folder) else 0


def start(binary, work):
    command = [binary, "run", "c.toml"]
    return subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def end(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def wait_for_rows(address, t, served):
    while True:
        try:
            urllib.request.urlopen(f"http://{address}/v1/views/positions?limit=1").read()
            return served.append(time.monotonic() - t)
        except urllib.error.URLError:
            time.sleep(0.01)


def restart(binary, work, runs):
    path = os.path.join(work, "positions.csv")
    if not os.path.exists(path):
        positions(path, 1_600_000)
    fresh(work)
    pipeline = 'journal = "events"\ncheckpoint_every = "30MiB"'
    with open(os.path.join(work, "c.toml"), "w") as file:
        file.write(CONFIG.format(pipeline=pipeline, path=path, mode="changes") + SERVER)
    t = time.monotonic()
    process = start(binary, work)
    while log_bytes(work) < 36 << 20:
        time.sleep(0.002)
    end(process)
    first = time.monotonic() - t
    listed = subprocess.run([binary, "checkpoint", "list", "c.toml", "--format", "json"], cwd=work,
                            check=True, capture_output=True, text=True).stdout.splitlines()
    checkpoint = json.loads(listed[0])["received"] if listed else 0
    for _ in range(runs):
        t, served = time.monotonic(), []
        process = start(binary, work)
        for line in process.stderr:
            if "listening" in line:
                serving = threading.Thread(target=wait_for_rows, args=(line.split("http://")[1].strip(), t, served))
                serving.start()
            if "caught up" in line:
                took = time.monotonic() - t
                rows = (int(re.search(r"epoch=(\d+)", line).group(1)) - 1) * 10_000
                break
        serving.join()
        end(process)
        print(f"restart  {rows} fills of 1,000,000 positions, {checkpoint} in the checkpoint: serves rows after "
              f"{served[0]:.2f} s, caught up after {took:.2f} s; {rows / took / 1e3:.0f} k/s, the first run "
              f"{rows / first / 1e3:.0f} k/s ({first / took:.1f}x)")


def main():
    say = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    say.add_argument("shared"), say.add_argument("work")
    say.add_argument("--runs", type=int, default=5)
    say.add_argument("--parts", default="cost,restart")
    said = say.parse_args()
    binary = os.path.abspath(os.environ.get("TAPELINE", "target/release/tapeline"))
    work = os.path.abspath(said.work)
    os.makedirs(work, exist_ok=True)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if "cost" in said.parts:
        cost(binary, os.path.abspath(said.shared), work, said.runs)
    if "restart" in said.parts:
        restart(binary, work, said.runs)


main()
