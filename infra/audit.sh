#!/bin/sh
# Look through the installed dependencies of the environment: whether they fit each other, and,
# where a database of vulnerabilities can be reached, whether any is known to be vulnerable.
#
#   PYTHON  the interpreter that pip-audit is installed for (python3)
#   VENV    the environment to look through (.venv)
#
# Fails on what it finds. Without a network it says that vulnerabilities were not looked for: a
# copy of a database in the repository would be out of date when it is needed.
set -eu
: "${PYTHON:=python3}" "${VENV:=.venv}"
folder=build/audit

"$VENV/bin/python" -m pip check

if ! [ -x "$folder/bin/pip-audit" ]; then
    "$PYTHON" -m venv "$folder"
    if ! "$folder/bin/python" -m pip install -qq --disable-pip-version-check pip-audit; then
        echo "not looked for vulnerabilities: pip-audit cannot be installed here"
        rm -rf "$folder"
        exit 0
    fi
fi
packages=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
said=$("$folder/bin/pip-audit" --progress-spinner off --skip-editable --path "$packages" 2>&1) &&
    status=0 || status=$?
echo "$said"
if [ "$status" -ne 0 ]; then
    case $said in
    *"known vulnerability"* | *"known vulnerabilities"*) exit 1 ;;
    esac
    echo "not looked for vulnerabilities: no database was reached, see above"
fi
