"""Compare the training loops: `llm-summ sft`, and the examples with PyTorch-Ignite and Lightning.

    python scripts/bench_loops.py recipes/qlora.yaml --set train.max_steps=64 --rounds 3

Each side trains by the same recipe, in a process of its own, one after the other. The table has tokens/s of the
training with its evaluations, without loading; the score of the picked weights; and how far the first 20 losses
are from those of the first side.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import llm_summ
from llm_summ.core.errors import InputError, LlmSummError
from llm_summ.core.files import write_json
from llm_summ.core.terminal import shown_on_stderr

SIDES = ("ours", "ignite", "lightning")
EXAMPLES = Path(__file__).parents[1] / "examples"
LOSSES_COMPARED = 20


@dataclass(frozen=True)
class Training:
    """A training of one side.

    Attributes:
        losses: of every step.
        seconds: with evaluations, without loading the model.
        score: of the picked weights on the evaluated dialogues of dev, 0 to 100; None: nothing was evaluated.
        tokens: that were trained on.
    """

    losses: tuple[float, ...]
    seconds: float
    score: float | None
    tokens: int


def main() -> int:
    """Run the sides, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", help="a recipe, such as recipes/qlora.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="another value in the recipe"
    )
    parser.add_argument("--rounds", type=int, default=1, help="trainings of each side")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--one", metavar="FILE", type=Path, help=argparse.SUPPRESS)  # a process of one side
    given = parser.parse_args()
    try:
        if given.one:
            with tempfile.TemporaryDirectory() as folder:
                training = train(given.sides[0], given.recipe, given.set, Path(folder))
            write_json(given.one, asdict(training))
            return 0
        llm_summ.load_recipe(llm_summ.find_recipe(given.recipe), given.set)
        found: dict[str, list[Training]] = {side: [] for side in given.sides}
        for number in range(given.rounds):
            for side in given.sides[:: -1 if number % 2 else 1]:
                found[side].append(run(side, given.recipe, given.set))
    except LlmSummError as error:
        print(f"bench_loops.py: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(table(found)))
    if given.json:
        write_json(given.json, {side: [asdict(one) for one in rounds] for side, rounds in found.items()})
    return 0


def run(side: str, recipe: str, overrides: list[str]) -> Training:
    """Train in a process of its own.

    Raises:
        InputError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "training.json"
        settings = [word for override in overrides for word in ("--set", override)]
        command = [sys.executable, __file__, recipe, *settings, "--one", str(out), "--sides", side]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"{side}: {next(reversed(done.stderr.strip().splitlines()), 'failed')}")
        return Training(**json.loads(out.read_text(encoding="utf-8")))


def train(side: str, recipe_name: str, overrides: list[str], folder: Path) -> Training:
    """Train one side in this process; `folder` is for its files."""
    path = llm_summ.find_recipe(recipe_name)
    recipe = llm_summ.load_recipe(path, [*overrides, "train.log_every=1"])
    if side == "ours":
        finished = llm_summ.sft(recipe, runs=folder, name="ours", stem=path.stem)
        log = [json.loads(line) for line in finished.run.log_path.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in log if "loss" in line]
        losses = tuple(line["loss"] for line in lines)
        return Training(losses, finished.seconds, finished.score, lines[-1]["tokens"])
    spec = spec_from_file_location(f"{side}_loop", EXAMPLES / f"{side}_loop.py")
    assert spec is not None
    assert spec.loader is not None
    loop = module_from_spec(spec)
    spec.loader.exec_module(loop)
    parts = llm_summ.training_parts(recipe)
    began = time.monotonic()
    losses = tuple(loop.train(parts, folder))
    seconds = time.monotonic() - began
    score = loop.evaluate(parts, parts.dev)["dev_score"] if parts.dev else None
    return Training(losses, seconds, score, trained_tokens(parts, len(losses)))


def trained_tokens(parts: llm_summ.TrainingParts, steps: int) -> int:
    """Return the tokens of the rows of the first steps."""
    loader, total, done = parts.loader(), 0, 0
    for epoch in range(steps):
        loader.set_epoch(epoch)
        for examples in loader:
            if done == steps:
                return total
            total, done = total + sum(map(len, examples)), done + 1
    return total


def table(found: dict[str, list[Training]]) -> list[str]:
    """Return the figures as a Markdown table; medians over the rounds."""
    first = next(iter(found.values()))[0]
    lines = [
        f"| side | tokens/s | score | last loss | first {LOSSES_COMPARED} losses differ by at most |",
        "|---|---|---|---|---|",
    ]
    for side, rounds in found.items():
        speed = statistics.median(one.tokens / one.seconds for one in rounds)
        pairs = zip(first.losses[:LOSSES_COMPARED], rounds[0].losses[:LOSSES_COMPARED], strict=True)
        far = max(abs(one - other) for one, other in pairs)
        score = rounds[0].score
        shown = "-" if score is None else f"{score:.2f}"
        lines.append(f"| {side} | {speed:.0f} | {shown} | {rounds[0].losses[-1]:.4f} | {far:.1e} |")
    return lines


if __name__ == "__main__":
    with shown_on_stderr():
        sys.exit(main())
