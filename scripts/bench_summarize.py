"""Measure `summarize`: the seconds to the first summary, and many files compared with `generate`.

    python scripts/bench_summarize.py --run latest --data test.csv            # one file, then 100 files
    python scripts/bench_summarize.py --run latest --data test.csv --files 8 --repeats 3 --engine vllm
    python scripts/bench_summarize.py --data test.csv --files 0               # the embedded model, one file

Each command is a process of its own, and its time that of the whole process, the loading of the model included.
`summarize` reads a text file for each dialogue, `generate` one CSV of the same dialogues; they take turns, and the
fastest of each counts. The run is copied, so that no prediction exists before. Exit 1 if `summarize` writes less
than --least of the outputs per second of `generate`.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from llm_summ import Dialogue, read_dialogues
from llm_summ.core.errors import LlmSummError
from llm_summ.models.device import cpu_name
from llm_summ.runs.run import RUNS, open_run

NOT_COPIED = ("checkpoints", "predictions", "candidates", "evaluations", "tracking", "scores")


def main() -> int:
    """Run the measurement; 1 if `summarize` is slower than allowed or a command fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="the run; without it, only the embedded model and one file")
    parser.add_argument("--data", default="sample:test")
    parser.add_argument(
        "--files", type=int, default=100, help="number of dialogues, the first ones; 0: only one file"
    )
    parser.add_argument("--engine", default="hf")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--least", type=float, default=0.95, help="share of generate's outputs per second")
    arguments = parser.parse_args()
    if arguments.run is None and arguments.files:
        parser.error("--run: missing; `generate` needs a run. Name one, or take --files 0 for the embedded model")
    print(f"{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; engine {arguments.engine}")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            dialogues = read_dialogues(arguments.data)[: max(1, arguments.files)]
            return measure(arguments, dialogues, Path(scratch))
        except LlmSummError as error:
            print(f"bench_summarize.py: {error}", file=sys.stderr)
            return error.exit_code
        except subprocess.CalledProcessError as error:
            print(f"bench_summarize.py: {' '.join(error.cmd[:4])} … failed:\n{error.stderr}", file=sys.stderr)
            return 1


def measure(arguments: argparse.Namespace, dialogues: Sequence[Dialogue], scratch: Path) -> int:
    """Print the times; return the exit code."""
    files = written(dialogues, scratch)
    model = ["--engine", arguments.engine]
    if arguments.run is not None:
        run = open_run(RUNS, arguments.run).path
        shutil.copytree(run, scratch / "run", ignore=shutil.ignore_patterns(*NOT_COPIED))
        model += ["--run", str(scratch / "run")]
    one = [timed(["summarize", str(files[0]), *model], scratch) for _ in range(arguments.repeats)]
    first, whole = min(first for first, _ in one), min(whole for _, whole in one)
    print(f"one file: the first summary after {first:.1f} s, the whole process {whole:.1f} s")
    if not arguments.files:
        return 0
    seconds: dict[str, list[float]] = {"generate": [], "summarize": []}
    for _ in range(arguments.repeats):
        shutil.rmtree(scratch / "run" / "predictions", ignore_errors=True)
        seconds["generate"].append(timed(["generate", "--data", str(scratch / "all.csv"), *model], scratch)[1])
        seconds["summarize"].append(timed(["summarize", *map(str, files), *model], scratch)[1])
    speed = {name: len(files) / min(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        shown = ", ".join(f"{value:.1f}" for value in values)
        print(f"{name:10} {len(files)} dialogues: {speed[name]:.2f} outputs/s ({shown} s)")
    ratio = speed["summarize"] / speed["generate"]
    print(f"summarize has {100 * ratio:.1f} % of generate's outputs per second")
    return int(ratio < arguments.least)


def written(dialogues: Sequence[Dialogue], folder: Path) -> list[Path]:
    """Write each dialogue to a text file, and all of them to ``all.csv``; return the text files."""
    files = [folder / f"{number:04}.txt" for number in range(len(dialogues))]
    with (folder / "all.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["fname", "dialogue"])
        for path, dialogue in zip(files, dialogues, strict=True):
            path.write_text(dialogue.text + "\n", encoding="utf-8")
            rows.writerow([path.stem, dialogue.text])
    return files


def timed(arguments: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run a command; return the seconds to its first line on stdout, and to its end.

    Raises:
        CalledProcessError: it failed.
    """
    command = [sys.executable, "-m", "llm_summ", *arguments]
    start = time.perf_counter()
    with (folder / "stderr.txt").open("w+", encoding="utf-8") as errors:
        # Paths of a recipe are those of this folder; the embedded model needs one without runs.
        where = folder if "--run" not in arguments else None
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=where, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            first = time.perf_counter() - start
            process.stdout.read()
        if process.returncode:
            errors.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command[2:], stderr=errors.read())
    return first, time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
