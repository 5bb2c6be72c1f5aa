#!/bin/sh
# Make the environment that the demo and the tests run in.
set -eu
: "${PYTHON:=python3}" "${VENV:=.venv}"

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "tidegauge needs Python 3.11 or newer, $PYTHON is $("$PYTHON" -V): set PYTHON" >&2
    exit 1
}
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --editable '.[demo,dev]'
