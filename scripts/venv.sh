#!/bin/sh
# Make a virtual environment from a lock file and install this checkout into it. Called by the Makefile.
#
#   sh scripts/venv.sh FOLDER LOCK
#
# Needs a Python >= 3.11 with its venv module, and nothing else. $PYTHON names one; without it python3 is
# looked at first, then the newest of those that carry their version in their name.
set -eu

folder=$1 lock=$2

say() { printf '%s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" || stop "PYTHON=$PYTHON is not a Python 3.11 or newer: name another, or leave PYTHON out"
    python=$PYTHON
else
    python=
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if new_enough "$name"; then python=$name; break; fi
    done
    if [ -z "$python" ]; then
        have=$(python3 --version 2>/dev/null || echo "no python3")
        stop "Python 3.11 or newer is needed, and this machine has $have: install one (Debian 12: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3"
    fi
fi

# Debian keeps venv and the pip that it lays into each environment in a package of their own.
# A package left out says so by ImportError; anything else (a broken Python) shows its own words.
"$python" -c '
import sys
try:
    import ensurepip, venv
except ImportError:
    sys.exit(3)' || {
    [ $? -eq 3 ] || exit 1
    stop "$python has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv; for another Python than the system's, its own pythonX.Y-venv)"
}

# An environment whose Python has gone (upgraded, moved) is made anew; one that works is brought up to date.
if ! new_enough "$folder/bin/python" || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making $folder with $("$python" --version)"
    "$python" -m venv --clear "$folder"
fi

say "installing what $lock locks into $folder (half a minute the first time)"
pip() { "$folder/bin/python" -m pip --disable-pip-version-check --quiet --no-input "$@"; }
pip install --require-hashes --requirement "$lock" ||
    stop "the packages of $lock could not be installed (above is why); the package index has to be within reach once"
pip install --no-deps --no-build-isolation --editable .
