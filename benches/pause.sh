#!/usr/bin/env bash
# How long the source's other clients wait while huge keys are copied and compared.
#
# In: ELEMENTS (default 1000000) of each KIND ("hash set zset list") in so many KEYS (1), a release build of interlay. Out: a table on stdout: the
# longest answer to a PING that a client of the source itself has sent every millisecond, in ms, and the longest command of the source
# by its SLOWLOG. "quiet" is the same without a copy: what the machine takes by itself. MIGRATE stands beside it. Two servers of its own on
# free ports; they and the interlay end with the script.
set -euo pipefail
cd "$(dirname "$0")/.."
elements=${ELEMENTS:-1000000} keys=${KEYS:-1} kinds=${KINDS:-hash set zset list} base=${PORT:-17650}
source benches/between.sh
between "$base" --slowlog-max-len 1000 --slowlog-log-slower-than 500

declare -A add=([hash]='"HSET",KEYS[1],i,"value:"..i' [set]='"SADD",KEYS[1],"member:"..i'
    [zset]='"ZADD",KEYS[1],i,"member:"..i' [list]='"RPUSH",KEYS[1],"element:"..i')
fill() {
    redis-cli -p $source FLUSHALL >/dev/null
    for ((first = 1; first <= elements; first += 10000)); do
        redis-cli -p $source EVAL "for i=$first,math.min($elements,$first+9999) do redis.call(${add[$1]}) end" 1 "huge:$((first / 10000 % keys))" >/dev/null
    done
}

# Sends a PING every millisecond until it is told to stop, and keeps in a file how long the slowest answer took, in microseconds.
sample() {
    local longest=0 before took
    exec 3<>"/dev/tcp/127.0.0.1/$source" 4<> <(:)
    until test -e "$dir/stop"; do
        before=${EPOCHREALTIME/./}
        printf 'PING\r\n' >&3
        read -r -u 3 _
        took=$((${EPOCHREALTIME/./} - before))
        if ((took > longest)); then
            longest=$took
            echo $longest >"$dir/longest"
        fi
        read -r -t 0.001 -u 4 || true
    done
}

in_ms() { awk -v us="$1" 'BEGIN { printf "%.1f", us / 1000 }'; }
slowest() { redis-cli -p $source --json SLOWLOG GET 1000 | tr -d ' \n' | grep -o '\[[0-9]*,[0-9]*,[0-9]*,\[' | cut -d, -f3 | sort -n | tail -1; }

# Runs what follows the first argument, and prints a row with what the source's other client felt of it.
measure() {
    local what=$1 sampler begin took
    shift
    redis-cli -p $source SLOWLOG RESET >/dev/null
    echo 0 >"$dir/longest"
    sample &
    sampler=$!
    begin=${EPOCHREALTIME/./}
    "$@" >/dev/null
    took=$((${EPOCHREALTIME/./} - begin))
    touch "$dir/stop"
    wait $sampler
    rm "$dir/stop"
    echo "| $what | $(in_ms "$(cat "$dir/longest")") | $(in_ms "$(slowest || echo 0)") | $(in_ms $took) |"
}
run() { "$interlay" "$@" --admin 127.0.0.1:$admin; }
migrate() { redis-cli -p $source KEYS '*' | xargs redis-cli -p $source MIGRATE 127.0.0.1 $target "" 0 60000 COPY REPLACE KEYS; }

echo "| $elements elements in $keys keys | longest answer, ms | longest command, ms | in all, ms |"
echo "|---|---:|---:|---:|"
for kind in $kinds; do
    fill "$kind"
    measure "$kind, quiet" sleep 3
    measure "$kind, backfill" run backfill
    measure "$kind, verify" run verify
    test "$(redis-cli -p $source DEBUG DIGEST)" = "$(redis-cli -p $target DEBUG DIGEST)" || { echo "the servers differ"; exit 1; }
    redis-cli -p $target FLUSHALL >/dev/null
    measure "$kind, MIGRATE COPY" migrate
done
echo
echo "Most memory of Interlay: $(awk '/VmHWM/ { print int($2 / 1024) }' /proc/$proxy/status) MB."
