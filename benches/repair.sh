#!/usr/bin/env bash
# What clients feel of a repair of KEYS keys, and how fast it is: the same load without a repair, and during one.
#
# In: KEYS (default 1000000), BYTES of a value (100), CLIENTS (20), a release build of interlay. Out: a table on stdout.
# Two servers of its own on free ports; both and the interlay end with the script.
set -euo pipefail
cd "$(dirname "$0")/.."
keys=${KEYS:-1000000} bytes=${BYTES:-100} clients=${CLIENTS:-20} base=${PORT:-17600}
source benches/between.sh
between "$base"
redis-cli -p $source DEBUG POPULATE "$keys" key "$bytes" >/dev/null

# Requests per second, p50 and p99 in ms of SET and of GET, one client request at a time.
load() {
    redis-benchmark -p $listen -t set,get -c "$clients" -n "$1" -r "$keys" -d "$bytes" --csv 2>/dev/null |
        awk -F'"' -v what="$2" 'NR > 1 { printf "| %s | %s | %s | %s | %s |\n", what, $2, $4, $10, $14 }'
}
echo "| load | request | requests/s | p50 ms | p99 ms |"
echo "|---|---|---:|---:|---:|"
load 300000 "no repair"
begin=$(date +%s%N)
"$interlay" repair --all --detach --admin 127.0.0.1:$admin >/dev/null
load 300000 "during a repair of $keys keys"
during=$("$interlay" status --admin 127.0.0.1:$admin --json | sed 's/.*"repairs":\([0-9]*\).*/\1/')
elapsed=$((($(date +%s%N) - begin) / 1000000))
echo
echo "Copied while the load went on: $during keys in $elapsed ms, $((during * 1000 / elapsed)) keys/s."
begin=$(date +%s%N)
"$interlay" repair --all --admin 127.0.0.1:$admin >/dev/null
elapsed=$((($(date +%s%N) - begin) / 1000000))
all=$("$interlay" status --admin 127.0.0.1:$admin --json | sed 's/.*"repairs":\([0-9]*\).*/\1/')
echo "Without load: $((all - during)) keys in $elapsed ms, $(((all - during) * 1000 / elapsed)) keys/s."
test "$(redis-cli -p $source DEBUG DIGEST)" = "$(redis-cli -p $target DEBUG DIGEST)" && echo "Both servers hold the same."
