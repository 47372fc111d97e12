#!/bin/sh
# Resolve requirements/*.txt anew from pyproject.toml: every version pinned, with hashes, for every platform, and
# without a single address. Called by `make lock`; pass UPGRADE=1 to take newer versions.
#
# uv comes from whoever runs this (it is no part of the test environment): uv on the PATH, or in .venv.
set -eu

uv=$(command -v uv || echo .venv/bin/uv)
[ -x "$uv" ] || { echo "make lock needs uv: .venv/bin/python -m pip install uv" >&2; exit 1; }

# What this machine's own pip and uv are set up with (mirrors, folders of wheels) must not leak into the lock.
unset PIP_FIND_LINKS PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_FIND_LINKS UV_INDEX UV_EXTRA_INDEX_URL
export PIP_CONFIG_FILE=/dev/null UV_NO_CONFIG=1

lock() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate ${UPGRADE:+--upgrade} "$@"
}
compile() { lock pyproject.toml "$@"; }
# Each stands on the one before, so that a package has one version wherever it occurs.
compile --output-file requirements/base.txt
compile --constraints requirements/base.txt --extra speed --extra receive --extra s3 --extra notify --group dev --output-file requirements/dev.txt
# The service as deploy/container/Containerfile installs it. What builds it there: [build-system] requires, and
# setuptools, since dkimpy comes as source alone.
compile --constraints requirements/dev.txt --extra receive --extra s3 --extra speed --extra notify --output-file requirements/service.txt
{ sed -n '/^\[build-system\]/,/^$/s/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml; echo setuptools; } |
    lock - --constraints requirements/dev.txt --output-file requirements/build.txt
compile --constraints requirements/dev.txt --group docs --output-file requirements/docs.txt
compile --constraints requirements/dev.txt --extra speed --extra receive --group bench --output-file requirements/bench.txt

if grep -nE '://|^-|file:' requirements/*.txt; then
    echo "an address or an option got into the lock (above)" >&2
    exit 1
fi
