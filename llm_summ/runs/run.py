"""A run's folder, its manifest, and ``runs/latest``.

::

    runs/<name>/recipe.yaml prompt.md manifest.json log.jsonl adapter/ merged/ predictions/ scores/
                candidates/ sweeps/, with several texts or settings
                checkpoints/ evaluations/ tracking/, of the training
                model/ instead of adapter/, if all weights were trained
                budget.json, limits.json, and length.json examples.jsonl if the prompt uses them
                submissions.jsonl, a line for every submission of it
                .locks/, for the processes that change these files (`llm_summ.core.locks`)
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import platform
import re
import secrets
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ import __version__
from llm_summ.core.engine_registry import engines
from llm_summ.core.errors import RunError, first_line, listed
from llm_summ.core.files import write_json, write_text
from llm_summ.core.formatting import did_you_mean, shown
from llm_summ.core.locks import locked
from llm_summ.core.optional_packages import installed_version

if TYPE_CHECKING:
    from llm_summ.recipe import Recipe
    from llm_summ.runs.manifest import Manifest

__all__ = ["RUNS", "Run", "create_run", "environment", "mark_latest", "open_run", "reserve_run", "run_path"]

RUNS = Path("runs")
"""Default folder of all runs, relative to the working directory."""

_SECONDS_FOR_SMALL_FILES = 20.0
_PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "bitsandbytes",
    "datasets",
    "accelerate",
)


class _Inside:
    """The path of a file or folder of a run, by its name there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: Run, _: type[Run]) -> Path:
        return run.path / self._name


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder and its files."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def argument(self) -> str:
        """The value of ``--run`` that finds this run."""
        return self.name if self.path.parent == RUNS else str(self.path)

    recipe_path = _Inside("recipe.yaml")
    """The resolved recipe, with every field."""
    prompt_path = _Inside("prompt.md")
    """The prompt that was trained: a copy, since the original may change."""
    length_path = _Inside("length.json")
    """The length targets that the prompt was trained with, and their predictor."""
    examples_path = _Inside("examples.jsonl")
    """The dialogues that few-shot examples are taken from."""
    frame_path = _Inside("frame.json")
    """The tokens around source and target, of an encoder-decoder."""
    manifest_path = _Inside("manifest.json")
    """The run's inputs and result: hashes, versions, seed, device."""
    budget_path = _Inside("budget.json")
    """The predictor of the largest number of tokens of a summary (`generate.limit`)."""
    limits_path = _Inside("limits.json")
    """The length limits of summaries that `post --learn-limits` fitted."""
    log_path = _Inside("log.jsonl")
    """One JSON object for every logged optimizer step."""
    adapter = _Inside("adapter")
    """The trained adapter, with its tokenizer."""
    model = _Inside("model")
    """The trained model with its tokenizer, in place of an adapter if all weights were trained."""
    checkpoints = _Inside("checkpoints")
    """The checkpoints that a stopped training resumes from."""
    evaluations = _Inside("evaluations")
    """The summaries of each evaluation during the training."""
    tracking = _Inside("tracking")
    """The files that trackers write."""
    merged = _Inside("merged")
    """The base with the adapter merged into it, made when an engine needs it."""
    predictions = _Inside("predictions")
    """Raw predictions, one file for every data file and engine."""
    candidates = _Inside("candidates")
    """Raw predictions where a dialogue has several: one file for every data file, engine and decoding."""
    sweeps = _Inside("sweeps")
    """The results of `sweep`: prediction files, and a JSON file for each sweep."""
    scores = _Inside("scores")
    """Scores, one file for every prediction file."""
    submissions_path = _Inside("submissions.jsonl")
    """The submissions that `submit` wrote for this run, one per line."""

    def lock_training(self) -> AbstractContextManager[None]:
        """Lock the run for a training: checkpoints, log, manifest, and the trained weights.

        Raises:
            RunError: another process trains it; the message names that process.
        """
        return locked(self.path, "training", f"{self.path}: is being trained", wait=0)

    def lock_files(self) -> AbstractContextManager[None]:
        """Lock the small files: scores, limits, submissions, leaderboard scores. Waits up to 20 seconds.

        Raises:
            RunError: another process still holds the lock; the message names that process.
        """
        busy = f"{self.path}: its scores, limits and submissions are being written"
        return locked(self.path, "files", busy, wait=_SECONDS_FOR_SMALL_FILES)

    def lock_merged(self, *, wait: bool) -> AbstractContextManager[None]:
        """Lock the merged model of this run, to write or load it, even if `merge` writes it to another folder.

        Args:
            wait: wait for another process that holds the lock, as long as it takes.

        Raises:
            RunError: another process holds the lock, and `wait` is false; the message names that process.
        """
        busy = f"{self.path}: its merged model is being written or loaded"
        return locked(self.path, "merged", busy, wait=math.inf) if wait else locked(self.path, "merged", busy)

    def manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            RunError: it is missing or damaged.
        """
        # Imported here: commands that only look for a file need not wait for pydantic.
        from pydantic import ValidationError

        from llm_summ.core.stored_model import first_invalid_field
        from llm_summ.runs.manifest import Manifest

        again = "put it back, or train the run again"
        try:
            content = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{self.manifest_path}: cannot be read ({first_line(error)}); {again}") from error
        if not isinstance(content, dict):
            raise RunError(f"{self.manifest_path}: found {type(content).__name__}, expected an object; {again}")
        try:
            return Manifest.model_validate(content)
        except ValidationError as error:
            raise RunError(f"{self.manifest_path}: {first_invalid_field(error)}; {again}") from error

    def write_manifest(self, manifest: Manifest) -> None:
        """Write a manifest to `manifest_path`, whole or not at all."""
        write_json(self.manifest_path, manifest.to_json())

    def recipe(self, overrides: Sequence[str] = ()) -> Recipe:
        """Return the recipe of this run, with the run's copy of the prompt.

        Args:
            overrides: ``generate.KEY=VALUE`` or ``post=[…]``; nothing else can be changed after the training.

        Raises:
            RunError: the folder has no recipe, or an override is for a field that the training fixed.
        """
        if not self.recipe_path.is_file():
            raise RunError(f"{self.path}: no recipe.yaml; expected a folder made by `llm-summ sft`")
        for override in overrides:
            if not override.startswith(("generate.", "post=")):
                raise RunError(
                    f"--set {override}: was fixed by the training; only generate.* and post can be changed now"
                )
        from llm_summ.recipe import load_recipe

        recipe = load_recipe(self.recipe_path, overrides)
        prompt = recipe.prompt.model_copy(update={"template": str(self.prompt_path)})
        return recipe.model_copy(update={"prompt": prompt})


def run_path(runs: Path, name: str | None, stem: str) -> Path:
    """Return the path of a new run; nothing is written.

    Raises:
        RunError: the name is not valid for a folder, or is taken.
    """
    if name is None:
        now = dt.datetime.now().strftime("%Y%m%d-%H%M%S")
        path = runs / f"{stem}-{now}"
        counter = 1
        while os.path.lexists(path):
            counter += 1
            path = runs / f"{stem}-{now}-{counter}"
        return path
    if not re.fullmatch(r"[\w가-힣][\w가-힣.+-]*", name) or name == "latest":
        raise RunError(
            f"--run {shown(name)}: not a run's name; expected letters, digits, '.', '-' and '_' (and not 'latest')"
        )
    path = runs / name
    if os.path.lexists(path):
        raise RunError(f"--run {name}: {path} is there already; choose another name or remove that folder")
    return path


def reserve_run(runs: Path, name: str | None, stem: str) -> Run:
    """Make the empty folder of a new run; if several processes want the same name, only one gets it.

    Arguments and errors are those of `run_path`.
    """
    while True:
        path = run_path(runs, name, stem)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue  # another process was faster: run_path now refuses the name, or returns another one
        return Run(path)


def create_run(path: Path, recipe: Recipe, prompt: str, manifest: Manifest) -> Run:
    """Fill the folder of a new run with its recipe, its prompt (the file's text) and its manifest.

    Raises:
        RunError: the folder is a run already.
    """
    run = Run(path)
    if run.recipe_path.exists():
        raise RunError(f"{path}: is a run already; choose another name")
    from llm_summ.recipe import dump_recipe

    write_text(run.recipe_path, dump_recipe(recipe))
    write_text(run.prompt_path, prompt)
    run.write_manifest(manifest)
    return run


def mark_latest(run: Run) -> None:
    """Point ``runs/latest`` to this run."""
    link = run.path.parent / "latest"
    # A random name: process ids may be equal in two containers that share the folder.
    fresh = run.path.parent / f".latest.{secrets.token_hex(8)}"
    fresh.symlink_to(run.path.name, target_is_directory=True)
    fresh.replace(link)


def open_run(runs: Path, name: str | None, option: str = "--run") -> Run:
    """Return the named run, or the latest.

    Args:
        runs: the folder of all runs.
        name: a run's name or the path of its folder; None and ``latest`` mean the latest.
        option: the option that named it, for the error.

    Raises:
        RunError: the run does not exist, or its folder has no recipe.
    """
    if name is None or name == "latest":
        latest = runs / "latest"
        if latest.is_dir():
            path, here = latest.resolve(), Path.cwd()
            return Run(path.relative_to(here) if path.is_relative_to(here) else path)
        known = _known(runs)
        hint = (
            f"runs here: {listed(known)}; name one: --run {known[0]}"
            if known
            else "make one with `llm-summ sft recipes/qlora.yaml`, or change to the folder that has it"
        )
        raise RunError(f"{runs}: no finished run here; {hint}")
    folders = [path for path in (runs / name, Path(name)) if path.is_dir()]
    for path in folders:
        if (path / "recipe.yaml").is_file():
            return Run(path)
    if folders:
        raise RunError(f"{folders[0]}: no recipe.yaml; expected a folder made by `llm-summ sft`")
    known = _known(runs)
    hint = did_you_mean(name, known, f"runs here: {listed(known) or 'none'}")
    raise RunError(f"{option} {name}: no such run in {runs}; {hint}")


def _known(runs: Path) -> list[str]:
    """Return the names of the runs in a folder, the newest first."""
    recipes = sorted(runs.glob("*/recipe.yaml"), key=lambda recipe: -recipe.stat().st_mtime)
    return [recipe.parent.name for recipe in recipes if not recipe.parent.is_symlink()]


def environment() -> dict[str, Any]:
    """Return versions and the state of the code, for a manifest."""
    versions = {"llm-summ": __version__, "python": platform.python_version()}
    of_engines = [name for spec in engines() for name in spec.distributions]
    versions |= {
        package: version for package in (*_PACKAGES, *of_engines) if (version := installed_version(package))
    }
    return {"versions": versions, "platform": platform.platform(), "git": _git_commit()}


def _git_commit() -> str | None:
    """Return the Git commit of the working directory, with ``+`` if it has changes; None outside a repository."""
    try:
        commit, changes = (
            subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changes else "")
