# Sourced by the benches beside it: two servers and a release build of interlay between them, on free ports.
#
# In: the first of four ports, and options for the servers. Out: $source, $target, $listen and $admin (ports), $interlay (the program), $proxy (its
# pid), $dir (a folder). All of it ends with the script.
# shellcheck shell=bash disable=SC2034 # what the others use
interlay=${INTERLAY_BIN:-${CARGO_TARGET_DIR:-target}/release/interlay}
dir=$(mktemp -d)
pids=()
end() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$dir"
}
trap end EXIT

between() {
    listen=$1 source=$(($1 + 1)) target=$(($1 + 2)) admin=$(($1 + 3))
    for port in $source $target; do
        redis-server --port "$port" --save '' --enable-debug-command yes "${@:2}" --dir "$dir" --logfile "$dir/$port.log" &
        pids+=($!)
    done
    until redis-cli -p $source PING >/dev/null 2>&1 && redis-cli -p $target PING >/dev/null 2>&1; do :; done
    "$interlay" serve --listen 127.0.0.1:$listen --admin 127.0.0.1:$admin \
        --source redis://127.0.0.1:$source --target redis://127.0.0.1:$target 2>"$dir/interlay.log" &
    proxy=$!
    pids+=($proxy)
    until "$interlay" status --admin 127.0.0.1:$admin --json 2>/dev/null | grep -q '"target":{[^}]*"connected":true'; do :; done
}
