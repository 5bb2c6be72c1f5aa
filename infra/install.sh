#!/bin/sh
# Make the environment that the demo and the tests run in.
#
#   PYTHON               the interpreter to make it from (python3)
#   VENV                 where it goes (.venv)
#   TIDEGAUGE_TORCH_INDEX  address of PyTorch's index of CPU wheels, where pip may reach it
set -eu
: "${PYTHON:=python3}" "${VENV:=.venv}" "${TIDEGAUGE_TORCH_INDEX:=}"

fail() {
    echo "tidegauge: $1" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null 2>&1 || fail "no $PYTHON here: install Python 3.11 or newer, or set PYTHON"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, $PYTHON is $("$PYTHON" -V 2>&1): set PYTHON to a newer one"
if ! [ -x "$VENV/bin/python" ]; then
    echo "creating $VENV with $("$PYTHON" -V)"
    "$PYTHON" -m venv "$VENV" || fail "cannot create $VENV (on Debian and Ubuntu: apt install python3-venv)"
fi

pip() {
    "$VENV/bin/python" -m pip --disable-pip-version-check "$@"
}

install() {
    # -qq: errors only; pip warns of every folder of wheels that lacks a package.
    # --no-compile: of 38,000 files few are ever imported; each is compiled when it first is.
    pip install -qq --no-compile --constraint infra/constraints.txt "$@" ||
        fail "pip could not install $*: mend what it says above and run the same command again"
}

# A bare "torch" on Linux x86-64 is the build for CUDA, gigabytes that a CPU has no use for.
torch="torch==2.13.0"
if pip show -qq torch >/dev/null 2>&1; then
    :
elif [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    echo "installing torch 2.13.0"
    install "$torch"
elif pip install -qq --dry-run --no-deps "$torch+cpu" >/dev/null 2>&1; then
    echo "installing torch 2.13.0, the CPU build that pip finds (about 200 MB)"
    install "$torch+cpu"
elif [ -n "$TIDEGAUGE_TORCH_INDEX" ]; then
    echo "installing torch 2.13.0, the CPU build from TIDEGAUGE_TORCH_INDEX (about 200 MB)"
    install --extra-index-url "$TIDEGAUGE_TORCH_INDEX" "$torch+cpu"
else
    echo "installing torch 2.13.0 as PyPI has it, with CUDA's libraries: about 2.5 GB to download,"
    echo "  5 GB on disk (set TIDEGAUGE_TORCH_INDEX to PyTorch's index of CPU wheels to avoid it)"
    install "$torch"
fi

echo "installing tidegauge and what it needs (about 450 MB to download, a minute or two)"
install --editable '.[demo,dev]'
# The largest imports are compiled here: where PYTHONDONTWRITEBYTECODE is set, as in many
# containers and CI machines, each process would spend ten seconds on compiling them again.
env -u PYTHONDONTWRITEBYTECODE "$VENV/bin/python" -c \
    'import evidently.legacy.metrics, evidently.legacy.report, sentence_transformers' ||
    fail "what pip installed cannot be imported: remove $VENV and run the same command again"
"$VENV/bin/tidegauge" --version
