"""Find the training to resume, and check that its inputs are unchanged."""

from __future__ import annotations

import contextlib
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
    "refuse_another_base",
    "refuse_another_recipe",
    "refuse_what_changed",
]


@contextlib.contextmanager
def hold_unfinished(runs: Path, name: str | None) -> Iterator[Run]:
    """Lock the named run for training, or the unfinished run that was started last and is not being trained.

    Raises:
        RunError: there is none; or the named run is finished, or is being trained.
    """
    with contextlib.ExitStack() as stack:
        yield _named(runs, name, stack) if name is not None else _latest(runs, stack)


def _named(runs: Path, name: str, stack: contextlib.ExitStack) -> Run:
    run = open_run(runs, name)
    for held in (False, True):  # checked again under the lock: the process that trained it may have finished
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
        with contextlib.suppress(RunError):  # a damaged manifest is reported only if the run is named
            manifest = run.manifest()
            if not manifest.is_finished:
                begun.append((manifest.started or "", run))
    busy: list[RunError] = []
    for _, run in sorted(begun, key=lambda pair: pair[0], reverse=True):
        try:
            with contextlib.ExitStack() as held:
                held.enter_context(run.lock_training())
                if not run.manifest().is_finished:
                    stack.push(held.pop_all())
                    return run
        except RunError as error:
            busy.append(error)
    none = RunError(f"{runs}: found no unfinished training; start one with: llm-summ sft RECIPE")
    raise (busy or [none])[0]


def refuse_another_recipe(run: Run, recipe: Recipe) -> None:
    """Refuse to resume with another recipe than the run was started with.

    Raises:
        RunError: names the fields that differ.
    """
    changed = differences(load_recipe(run.recipe_path), recipe)
    if changed:
        raise RunError(
            f"{run.path}: was started with another recipe ({listed(changed)}); leave RECIPE and --set out to "
            "resume it as it was, or start a new run"
        )


def refuse_another_base(run: Run, manifest: Manifest, stamp: dict[str, Any]) -> None:
    """Refuse to resume with another base than the run was started with.

    Args:
        run: the run.
        manifest: of the run; one of an older version does not record the base.
        stamp: of the base as it is now.

    Raises:
        RunError: the base differs.
    """
    begun = manifest.base
    both = begun is not None and "files" in begun and "files" in stamp  # then the name does not matter
    if begun is not None and (begun["files"] != stamp["files"] if both else begun != stamp):
        changed = ", ".join(name for name in {**begun, **stamp} if begun.get(name) != stamp.get(name))
        raise RunError(
            f"{run.path}: the base {stamp['base']} is not the one that the training began with ({changed}); "
            "restore that one, or start a new run"
        )


def differences(begun: Recipe, given: Recipe) -> list[str]:
    """Return the fields in which two recipes differ: ``train.epochs: started with 2.0, now 3.0``."""
    before, now = _flat(begun.model_dump()), _flat(given.model_dump())
    return [
        f"{name}: started with {before.get(name)}, now {now.get(name)}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]


def refuse_what_changed(run: Run, manifest: Manifest, data: dict[str, DataPart] | None = None) -> Recipe:
    """Return the recipe of a run to be resumed, after checking that its inputs are unchanged.

    Args:
        run: the run.
        manifest: of the run.
        data: hashes of the data as they are now; None: they are not compared.

    Raises:
        RunError: recipe, prompt or data have changed, so the result would differ.
    """
    again = "restore it, or start a new run"
    versions = environment()["versions"]
    if text_sha256(run.recipe_path.read_text(encoding="utf-8")) != manifest.recipe_sha256:
        raise RunError(f"{run.recipe_path}: was changed after the training began; {again}")
    try:
        recipe = load_recipe(run.recipe_path)
    except RecipeError as error:
        raise RunError(
            f"{run.recipe_path}: was written by llm-summ {manifest.versions.get('llm-summ')}, and "
            f"{versions['llm-summ']} cannot read it ({first_line(error)}); resume with that version, or "
            "start a new run"
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
            say(f"note: versions changed since the training began ({listed(changed)}): rounding may differ")
    # The run's copy of the prompt, since the original may have changed.
    copied = recipe.prompt.model_copy(update={"template": str(run.prompt_path)})
    return recipe.model_copy(update={"prompt": copied})


def _refuse_other_data(run: Run, begun: dict[str, DataPart], data: dict[str, DataPart], again: str) -> None:
    # A training does not read the test data.
    for part in ("train", "dev"):
        before, after = (side[part].sha256 if part in side else {} for side in (begun, data))
        for source in before:
            if before[source] != after.get(source):
                raise RunError(f"{source}: was changed after the training of {run.path} began; {again}")


def _flat(section: dict[str, Any], before: str = "") -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, dict):
            fields |= _flat(value, f"{before}{name}.")
        else:
            fields[before + name] = value
    return fields
