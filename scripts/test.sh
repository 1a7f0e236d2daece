#!/usr/bin/env bash
# Installs into .venv, then runs lint, types and tests. Arguments go to pytest: bash scripts/test.sh -m 'not slow'
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install.sh dev track
# shellcheck disable=SC1091
source .venv/bin/activate

ruff format --check .
ruff check .
mypy
# Two files at a time. A test computes too little for threads to pay, and threads of several processes that share
# cores wait for one another.
export OMP_NUM_THREADS=1
pytest --numprocesses 2 --dist loadfile "$@"
