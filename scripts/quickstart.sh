#!/usr/bin/env bash
# From a fresh clone to a fine-tuned model's score: installs into .venv, then runs the three commands on the
# bundled sample. About ten minutes on 2 CPU cores; needs no GPU and no model hub.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install.sh
# shellcheck disable=SC1091
source .venv/bin/activate

llm-summ sft recipes/qlora.yaml
llm-summ generate
llm-summ eval sample:test
llm-summ eval sample:dev
