#!/usr/bin/env bash
# A backfill beside what else copies a whole server: MIGRATE ... COPY of every key, and REPLICAOF; and what clients feel of it.
#
# In: KEYS (default 1000000) of BYTES (100) and, after them, LARGE (100000) of LARGE_BYTES (10000), CLIENTS (50), a release build of
# interlay. Out: tables on stdout. Two servers of its own on free ports; they and the interlay end with the script.
set -euo pipefail
cd "$(dirname "$0")/.."
keys=${KEYS:-1000000} bytes=${BYTES:-100} large=${LARGE:-100000} large_bytes=${LARGE_BYTES:-10000} clients=${CLIENTS:-50} base=${PORT:-17610}
source benches/between.sh
between "$base" --repl-diskless-sync-delay 0

now() { date +%s%N; }
since() { echo "scale=2; ($(now) - $1) / 1000000000" | bc; }
same() { test "$(redis-cli -p $source DEBUG DIGEST)" = "$(redis-cli -p $target DEBUG DIGEST)" || { echo "the servers differ after $1"; exit 1; }; }
memory() { awk '/VmHWM/ { print int($2 / 1024) }' /proc/$proxy/status; }

migrate() {
    redis-cli -p $source KEYS '*' | xargs -n 1000 redis-cli -p $source MIGRATE 127.0.0.1 $target "" 0 60000 COPY REPLACE KEYS >/dev/null
}
replicate() {
    redis-cli -p $target REPLICAOF 127.0.0.1 $source >/dev/null
    until redis-cli -p $target INFO replication | grep -q master_link_status:up; do :; done
    redis-cli -p $target REPLICAOF NO ONE >/dev/null
}
backfill() { "$interlay" backfill --no-auto-limit --admin 127.0.0.1:$admin >/dev/null; }

echo "| data | MIGRATE COPY, s | REPLICAOF, s | backfill, s | most memory of Interlay, MB |"
echo "|---|---:|---:|---:|---:|"
while read -r count size; do
    redis-cli -p $source FLUSHALL >/dev/null
    redis-cli -p $source DEBUG POPULATE "$count" key "$size" >/dev/null
    row="| $count keys of $size bytes"
    for way in migrate replicate backfill; do
        redis-cli -p $target FLUSHALL >/dev/null
        begin=$(now)
        $way
        row+=" | $(since "$begin")"
        same $way
    done
    echo "$row | $(memory) |"
done <<<"$keys $bytes
$large $large_bytes"

redis-cli -p $source FLUSHALL >/dev/null
redis-cli -p $target FLUSHALL >/dev/null
redis-cli -p $source DEBUG POPULATE "$keys" key "$bytes" >/dev/null
load() {
    redis-benchmark -p $listen -t set,get -c "$clients" -n 200000 -r "$keys" -d "$bytes" --csv 2>/dev/null |
        awk -F'"' -v what="$1" 'NR > 1 { printf "| %s | %s | %s | %s | %s |\n", what, $2, $4, $10, $14 }'
}
echo
echo "| load of $clients clients | request | requests/s | p50 ms | p99 ms |"
echo "|---|---|---:|---:|---:|"
load "quiet"
"$interlay" backfill --detach --admin 127.0.0.1:$admin >/dev/null
load "during a backfill"
echo
"$interlay" backfill status --admin 127.0.0.1:$admin
"$interlay" backfill wait --admin 127.0.0.1:$admin
same "a backfill under load"
echo "Most memory of Interlay: $(memory) MB."
