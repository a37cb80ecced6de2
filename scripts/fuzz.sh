#!/bin/sh
# fuzz.sh SECONDS: runs each fuzz target for that long, with the address sanitizer.
set -eu
cd "$(dirname "$0")/../fuzz"
triple=$(rustc +nightly -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1" \
    cargo +nightly build --quiet --release --target "$triple" --target-dir target
for target in request reply; do
    mkdir -p "corpus/$target" artifacts
    "target/$triple/release/$target" -max_total_time="$1" -timeout=5 -max_len=512 \
        -artifact_prefix="artifacts/$target-" "corpus/$target"
done
