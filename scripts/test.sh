#!/usr/bin/env bash
# Installs into .venv, then runs lint, types and tests. Arguments go to pytest: bash scripts/test.sh -m 'not slow'
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install.sh dev track examples serve
bash scripts/browser.sh
# shellcheck disable=SC1091
source .venv/bin/activate

ruff format --check .
ruff check .
mypy
# Typing errors, and words that have plainer ones; tests have typing errors on purpose.
codespell -D - -D scripts/plain_words.txt README.md CHANGELOG.md CONTRIBUTING.md docs llm_summ prompts recipes scripts
codespell -D scripts/plain_words.txt tests
# Two files at a time, each with one thread (tests/conftest.py).
pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25 "$@"
