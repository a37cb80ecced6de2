#!/bin/sh
# How long requests wait when the authority changes: CHANGES times there and back, while CLIENTS connections of redis-benchmark
# write and read. Prints each pause in microseconds, and the median.
#
#   CLIENTS=50 CHANGES=10 INTERLAY_BIN=target/release/interlay STATE=1 benches/gate.sh
set -eu
clients=${CLIENTS:-50}
changes=${CHANGES:-10}
bin=${INTERLAY_BIN:-target/release/interlay}
base=${PORT:-27300}
dir=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT INT TERM

for side in 1 2; do
    redis-server --port $((base + side)) --save "" --appendonly no --dir "$dir" --logfile "$dir/$side.log" &
    pids="$pids $!"
done
admin=127.0.0.1:$((base + 4))
state=
[ -n "${STATE:-}" ] && state="--state-dir $dir/state"
# shellcheck disable=SC2086 # an option and its value, or nothing
"$bin" serve --listen "127.0.0.1:$((base + 3))" --admin "$admin" --log-level warn $state \
    --source "redis://127.0.0.1:$((base + 1))" --target "redis://127.0.0.1:$((base + 2))" &
pids="$pids $!"
until "$bin" status --admin "$admin" 2>/dev/null | grep -q "^target .* connected"; do sleep 0.1; done
"$bin" backfill --admin "$admin" >/dev/null
redis-benchmark -p $((base + 3)) -c "$clients" -n 100000000 -r 100000 -t set,get -q >/dev/null 2>&1 &
pids="$pids $!"
sleep 1

n=0
while [ "$n" -lt "$changes" ]; do
    for change in cutover rollback; do
        "$bin" $change --json --admin "$admin" | sed 's/.*"pause_us":\([0-9]*\).*/\1/'
        sleep 0.2
    done
    n=$((n + 1))
done | tee "$dir/pauses" | tr '\n' ' '
echo
sort -n "$dir/pauses" | awk '{ pause[NR] = $1 } END { print "median", pause[int((NR + 1) / 2)], "us, worst", pause[NR], "us" }'
