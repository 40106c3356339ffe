#!/usr/bin/env bash
# The virtual environment with what we are measured beside; names of more sets of it as arguments.
set -euo pipefail
cd "$(dirname "$0")"
[ -x .venv/bin/python ] || python3 -m venv .venv
files=(--requirement requirements.txt)
for set in "$@"; do files+=(--requirement "requirements-$set.txt"); done
.venv/bin/python -m pip install --quiet --disable-pip-version-check "${files[@]}"
