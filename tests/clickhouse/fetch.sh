#!/usr/bin/env bash
# Fetches libchdb.so (a whole ClickHouse server as a shared library) from the npm package
# pinned below and prints the path of the verified file, alone, on stdout.
#
#   fetch.sh [CACHE_DIR]   default: ${XDG_CACHE_HOME:-$HOME/.cache}/clickhouse-test-server
#
# Needs npm, node and tar, on Linux x86-64 with glibc. Safe to run again and to run twice at
# once: the file gets its final name only after every check has passed, in one rename.
# Any failure: a line on stderr, exit status not 0, nothing on stdout.
set -euo pipefail

PACKAGE='@chdb/lib-linux-x64-gnu'
VERSION='26.7.3-stable.1' # carries ClickHouse 26.7.2.1
INTEGRITY='sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=='
LIB_BYTES=566330096

say() { printf 'fetch.sh: %s\n' "$*" >&2; }
die() { say "FAILED: $*"; exit 1; }
trap 'say "FAILED at line $LINENO: $BASH_COMMAND"' ERR

[ $# -le 1 ] || die 'at most one argument, the cache directory'
[ "$(uname -sm)" = 'Linux x86_64' ] || die "the package is for Linux x86_64, this is $(uname -sm)"
for tool in npm node tar; do
    command -v "$tool" >/dev/null || die "$tool is not installed"
done

if [ $# -eq 1 ]; then
    cache=$1
else
    cache=${XDG_CACHE_HOME:-${HOME:?fetch.sh: HOME is not set, give a cache directory}/.cache}/clickhouse-test-server
fi
mkdir -p -- "$cache/$VERSION"
cache=$(cd -- "$cache" && pwd)
lib=$cache/$VERSION/libchdb.so

if [ -f "$lib" ] && [ "$(stat -c %s -- "$lib")" = "$LIB_BYTES" ]; then
    printf '%s\n' "$lib"
    exit 0
fi

tmp=$(mktemp -d -- "$cache/.fetch.XXXXXX")
trap 'rm -rf -- "$tmp"' EXIT

say "fetching $PACKAGE@$VERSION (about 178 MB) ..."
# npm pack runs no package script; --json makes it report what it fetched.
(cd -- "$tmp" && npm pack --json --ignore-scripts "$PACKAGE@$VERSION" >report.json) ||
    die "npm pack $PACKAGE@$VERSION"

# Two checks against the pin: what npm reports, and the bytes that really lie here.
tarball=$(node - "$tmp" "$INTEGRITY" <<'JS'
const fs = require('fs'), path = require('path'), crypto = require('crypto');
const [dir, pinned] = process.argv.slice(2);
const fail = (why) => { console.error('fetch.sh: ' + why); process.exit(1); };
const report = JSON.parse(fs.readFileSync(path.join(dir, 'report.json'), 'utf8'));
// npm 11 answers with a list; an object keyed by package name is accepted too.
const [got] = Array.isArray(report) ? report : Object.values(report);
if (!got || !got.integrity || !got.filename) fail('npm pack reported no integrity or no filename');
if (got.integrity !== pinned) fail(`npm reports ${got.integrity}, pinned is ${pinned}`);
const file = path.join(dir, path.basename(got.filename));
const sum = 'sha512-' + crypto.createHash('sha512').update(fs.readFileSync(file)).digest('base64');
if (sum !== pinned) fail(`the tarball is ${sum}, pinned is ${pinned}`);
console.log(file);
JS
) || die 'integrity check'

tar -xzf "$tarball" -C "$tmp" package/libchdb.so || die 'unpacking libchdb.so'
bytes=$(stat -c %s -- "$tmp/package/libchdb.so")
[ "$bytes" = "$LIB_BYTES" ] || die "libchdb.so has $bytes bytes, expected $LIB_BYTES"
mv -f -- "$tmp/package/libchdb.so" "$lib"
say "verified $INTEGRITY"
printf '%s\n' "$lib"
