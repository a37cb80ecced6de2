#!/bin/sh
# Makes a virtual environment with redis-py in the folder $1, once. Says on standard error what is missing if it cannot.
set -u
folder=$1
version='redis==8.*'
test -x "$folder/bin/python" && "$folder/bin/python" -c 'import redis, sys; sys.exit(redis.__version__[:2] != "8.")' 2>/dev/null && exit 0
command -v python3 >/dev/null || { echo "there is no python3" >&2; exit 1; }
python3 -m venv "$folder" >/dev/null || { echo "python3 has no venv (Debian: apt-get install python3-venv)" >&2; exit 1; }
"$folder/bin/pip" install --quiet --disable-pip-version-check "$version" >&2 || { echo "pip cannot install $version" >&2; exit 1; }
