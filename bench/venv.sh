#!/usr/bin/env bash
# The virtual environment with what we are measured beside.
set -euo pipefail
cd "$(dirname "$0")"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
  scikit-learn==1.7.2 pyarrow==21.0.0 fastapi==0.121.0 'uvicorn[standard]==0.38.0' joblib==1.5.2
