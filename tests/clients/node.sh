#!/bin/sh
# Installs ioredis and node-redis, as package-lock.json has them, in the folder $1, once. Says on standard error what is
# missing if it cannot.
set -u
folder=$1
here=$(dirname "$0")
cmp -s "$here/package-lock.json" "$folder/package-lock.json" && test -e "$folder/node_modules/.package-lock.json" && exit 0
command -v node >/dev/null && command -v npm >/dev/null || { echo "there is no node, or no npm" >&2; exit 1; }
node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || { echo "node is older than 20" >&2; exit 1; }
mkdir -p "$folder" && cp "$here/package.json" "$here/package-lock.json" "$folder" || exit 1
npm --prefix "$folder" ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 || { echo "npm cannot install ioredis and redis" >&2; exit 1; }
