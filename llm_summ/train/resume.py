"""Which training to go on with, and what has to be as it was when it began."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_summ.core.errors import RecipeError, RunError, first_line, listed
from llm_summ.core.files import text_sha256
from llm_summ.core.progress import say
from llm_summ.prompt import load_template
from llm_summ.recipe import Recipe, load_recipe
from llm_summ.runs.manifest import DataPart, Manifest
from llm_summ.runs.run import Run, environment, open_run

__all__ = [
    "differences",
    "hold_unfinished",
    "now",
    "refuse_another_base",
    "refuse_another_recipe",
    "refuse_what_changed",
]


@contextlib.contextmanager
def hold_unfinished(runs: Path, name: str | None) -> Iterator[Run]:
    """Hold the named run for its training, or of those that nobody trains the one that was begun last.

    Raises:
        RunError: there is none; or the named one is finished, or is being trained.
    """
    with contextlib.ExitStack() as stack:
        yield _named(runs, name, stack) if name is not None else _latest(runs, stack)


def _named(runs: Path, name: str, stack: contextlib.ExitStack) -> Run:
    run = open_run(runs, name)
    for held in (False, True):  # once more when it is held: the process that trained it may have finished
        if run.manifest().is_finished:
            raise RunError(f"{run.path}: its training is finished; next: llm-summ generate --run {run.argument}")
        if not held:
            stack.enter_context(run.lock_training())
    return run


def _latest(runs: Path, stack: contextlib.ExitStack) -> Run:
    begun = []
    for recipe in runs.glob("*/recipe.yaml"):
        run = Run(recipe.parent)
        if recipe.parent.is_symlink():
            continue
        with contextlib.suppress(RunError):  # a damaged manifest has a line of its own when the run is named
            manifest = run.manifest()
            if not manifest.is_finished:
                begun.append((manifest.started or "", run))
    busy: list[RunError] = []
    for _, run in sorted(begun, key=lambda one: one[0], reverse=True):
        try:
            with contextlib.ExitStack() as held:
                held.enter_context(run.lock_training())
                if not run.manifest().is_finished:
                    stack.push(held.pop_all())
                    return run
        except RunError as error:
            busy.append(error)
    none = RunError(f"{runs}: no training here that did not finish; begin one: llm-summ sft RECIPE")
    raise (busy or [none])[0]


def refuse_another_recipe(run: Run, recipe: Recipe) -> None:
    """Refuse to go on with another recipe than the run was begun with.

    Raises:
        RunError: names the fields that differ.
    """
    found = differences(load_recipe(run.recipe_path), recipe)
    if found:
        raise RunError(
            f"{run.path}: was begun with another recipe ({listed(found)}); leave RECIPE and --set out to go on "
            "as it was begun, or begin a new run"
        )


def refuse_another_base(run: Run, manifest: Manifest, stamp: dict[str, Any]) -> None:
    """Refuse to go on with another base than the run was begun with.

    Args:
        run: the run.
        manifest: what it was begun with; of an older version it does not say which base it was.
        stamp: of the base as it is now.

    Raises:
        RunError: it is another one.
    """
    begun = manifest.base
    both = begun is not None and "files" in begun and "files" in stamp  # then a name says nothing
    if begun is not None and (begun["files"] != stamp["files"] if both else begun != stamp):
        changed = ", ".join(name for name in {**begun, **stamp} if begun.get(name) != stamp.get(name))
        raise RunError(
            f"{run.path}: the base {stamp['base']} is another one than when the training began ({changed}); put "
            "that one back, or begin a new run"
        )


def differences(begun: Recipe, given: Recipe) -> list[str]:
    """The fields in which two recipes differ: ``train.epochs: begun with 2.0, now 3.0``."""
    ours, theirs = _flat(begun.model_dump()), _flat(given.model_dump())
    return [
        f"{name}: begun with {ours.get(name)}, now {theirs.get(name)}"
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    ]


def refuse_what_changed(run: Run, manifest: Manifest, data: dict[str, DataPart] | None = None) -> Recipe:
    """The recipe of a run that is to go on.

    Args:
        run: the run.
        manifest: what it was begun with.
        data: hashes of the data as they are now; None: they are not compared.

    Raises:
        RunError: recipe, prompt or data are not what they were: the end would be another.
    """
    again = "put it back, or begin a new run"
    versions = environment()["versions"]
    if text_sha256(run.recipe_path.read_text(encoding="utf-8")) != manifest.recipe_sha256:
        raise RunError(f"{run.recipe_path}: was changed after the training began; {again}")
    try:
        recipe = load_recipe(run.recipe_path)
    except RecipeError as error:
        raise RunError(
            f"{run.recipe_path}: was written by llm-summ {manifest.versions.get('llm-summ')}, and "
            f"{versions['llm-summ']} does not know all of it ({first_line(error)}); go on with that version, or "
            "begin a new run"
        ) from error
    prompt_sha256 = None if manifest.prompt is None else manifest.prompt.sha256
    if not run.prompt_path.is_file():
        raise RunError(f"{run.prompt_path}: no such file; {again}")
    if load_template(str(run.prompt_path)).sha256 != prompt_sha256:
        raise RunError(f"{run.prompt_path}: was changed after the training began; {again}")
    if data is not None:
        _refuse_other_data(run, manifest.data, data, again)
        changed = [
            f"{name} {old} -> {versions.get(name, 'none')}"
            for name, old in manifest.versions.items()
            if versions.get(name) != old
        ]
        if changed:
            say(f"note: other versions than at the beginning ({listed(changed)}): the end may differ in rounding")
    # The run's own copy, since the original may have changed.
    copied = recipe.prompt.model_copy(update={"template": str(run.prompt_path)})
    return recipe.model_copy(update={"prompt": copied})


def now() -> str:
    """The time, for a manifest."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _refuse_other_data(run: Run, begun: dict[str, DataPart], data: dict[str, DataPart], again: str) -> None:
    # The test data are not looked at by a training.
    for part in ("train", "dev"):
        before, after = (side[part].sha256 if part in side else {} for side in (begun, data))
        for source in before:
            if before[source] != after.get(source):
                raise RunError(f"{source}: was changed after the training of {run.path} began; {again}")


def _flat(section: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[before + name] = value
    return found
