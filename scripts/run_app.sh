#!/bin/sh
# Starts Dragoman from its own folder; sets .venv up first when it is missing.
#   scripts/run_app.sh [options of "dragoman serve"]
# .env is read by the program itself: a variable of the caller wins over it.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
cd -- "$here/.."

if [ ! -x .venv/bin/dragoman ]; then
    echo "Installing (once) ..."
    "${PYTHON:-python3}" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-run.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
fi
if [ ! -f .env ]; then
    echo "No .env here: copy .env.example to .env to keep your settings."
fi
exec .venv/bin/python -m dragoman serve "$@"
