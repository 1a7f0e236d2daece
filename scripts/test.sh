#!/usr/bin/env bash
# Installs into .venv, then runs lint, types and tests. Arguments go to pytest: bash scripts/test.sh -m 'not slow'
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install.sh dev track
bash scripts/browser.sh
# shellcheck disable=SC1091
source .venv/bin/activate

ruff format --check .
ruff check .
mypy
# Two files at a time, each with one thread (tests/conftest.py).
pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25 "$@"
