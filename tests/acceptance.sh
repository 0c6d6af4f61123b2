#!/usr/bin/env bash
# Runs the acceptance scripts of the shared folder against the release binary, and MarketMark's work
# against its reference. Generated data is kept in target/, so that a second run is quick.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=${TAPELINE_SHARED:-$PWD/../shared}
export TAPELINE=$PWD/target/release/tapeline
work=$PWD/target/marketmark
python=python3

mkdir -p "$work"
if ! "$python" -c 'import numpy, pyarrow, pandas' 2>/dev/null; then
    [ -x "$work/venv/bin/python" ] || "$python" -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install --quiet numpy pyarrow pandas
    python=$work/venv/bin/python
fi
generate() { # rows
    [ -f "$work/data/arrivals_$1.csv" ] || "$python" "$shared/marketmark/gen.py" "$work" --n "$1"
}
generate 100000
generate 1000000

run() { # script, arguments
    printf '%-18s' "$(basename "$1")"
    "$python" "$@"
}
run "$shared/acceptance/hyperliquid.py" "$shared/data/hyperliquid-fills/fills.csv.gz"
run "$shared/acceptance/midterms.py" "$shared/data/polymarket-midterms"
run "$shared/acceptance/same_bytes.py" "$work/data/arrivals_100000.csv"
run "$shared/acceptance/config_errors.py"
run "$shared/acceptance/ws_fold.py" "$work/data/fills_1000000.csv"
"$python" benches/marketmark/run.py "$shared" "$work" --quick
