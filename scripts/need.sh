#!/bin/sh
# need.sh PROGRAM PACKAGE: installs a Debian package if its program is missing, and says so.
set -eu
command -v "$1" >/dev/null && exit 0
echo "$1 is missing: installing the package $2 with apt-get"
if [ "$(id -u)" -eq 0 ]; then as_root=; else as_root=sudo; fi
# A redis-server that the package starts by itself would only be in the way.
$as_root sh -c "apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $2" >/dev/null
