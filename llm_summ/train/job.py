"""Start a training, or resume one."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llm_summ.check.job import check_recipe
from llm_summ.core.errors import InputError, RunError
from llm_summ.core.files import file_sha256, text_sha256
from llm_summ.core.formatting import utc_now
from llm_summ.core.locks import FOLDER
from llm_summ.core.optional_packages import quiet_libraries, require_training
from llm_summ.core.progress import say
from llm_summ.data.source import resolve_source
from llm_summ.models.content_stamp import base_stamp
from llm_summ.models.device import find_device, one_gpu
from llm_summ.models.start_adapter import find_start, refuse_another_start, start_stamp
from llm_summ.plan.training_plan import TrainingPlan
from llm_summ.plan.training_setup import TrainingSetup, set_up
from llm_summ.prompt.saved_prompt import keep, kept_sha256
from llm_summ.recipe import Recipe, dump_recipe
from llm_summ.runs.manifest import DataPart, DeviceRecord, Manifest, PromptRecord, Resumption
from llm_summ.runs.run import Run, create_run, environment, reserve_run, run_path
from llm_summ.train.checkpoint import Checkpoint, newest_whole
from llm_summ.train.fit import fit
from llm_summ.train.process_group import ALONE, ProcessGroup
from llm_summ.train.result import FinishedTraining
from llm_summ.train.resume import (
    hold_unfinished,
    refuse_another_base,
    refuse_another_recipe,
    refuse_what_changed,
)
from llm_summ.train.shard import is_sharded, refuse_what_cannot_be_sharded
from llm_summ.train.time_budget import FixedSteps

if TYPE_CHECKING:
    from llm_summ.train.user_callbacks import UserCallbacks

__all__ = ["dry_run", "load_callbacks", "resume", "sft"]


@one_gpu()
def dry_run(
    recipe: Recipe, *, runs: Path, name: str | None, stem: str, force: bool = False, devices: int = 1
) -> list[str]:
    """Return the lines of the check of a training on `devices` devices; no run is created, nothing is trained.

    Other arguments as for `sft`.

    Raises:
        InputError: the training could not start.
    """
    run_path(runs, name, stem)
    load_callbacks(recipe)
    return _set_up(recipe, runs, ProcessGroup(0, devices), check=True, force=force)[1]


@one_gpu()
def sft(
    recipe: Recipe,
    *,
    runs: Path,
    name: str | None,
    stem: str,
    check: bool = True,
    force: bool = False,
    processes: ProcessGroup = ALONE,
) -> FinishedTraining:
    """Train an adapter, or the whole model.

    Args:
        recipe: model, data and settings of the training.
        runs: the folder of all runs.
        name: the run's name; None makes one from `stem` and the time.
        stem: the recipe file's name without its extension.
        check: whether to check the recipe first, as `check_recipe` does, and to say what was found. Without it
            `train.micro_batch_size: auto` is 1, because no memory is estimated.
        force: train even if the memory estimate exceeds the device.
        processes: the processes that train together; all of them call this.

    Returns:
        the finished training; its run is the latest from now on.

    Raises:
        InputError: the training could not start; nothing was written.
        TrainingError: it failed; its log and its checkpoints are kept.
        StoppedError: a signal came; `resume` continues the training.
    """
    began = time.monotonic()
    processes.of_first(lambda: run_path(runs, name, stem))
    callbacks = processes.agree(lambda: load_callbacks(recipe))
    setup, lines = processes.agree(lambda: _set_up(recipe, runs, processes, check=check, force=force))
    for line in lines:
        say(line)
    plan = setup.plan
    manifest = _manifest(setup, processes)
    if callbacks is not None:
        manifest.callbacks = callbacks.hashes
    with contextlib.ExitStack() as stack:

        def begin() -> Run:
            reserved = reserve_run(runs, name, stem)
            stack.enter_context(reserved.lock_training())  # before `--resume` of another process can see it
            stack.enter_context(_removed_if_nothing_is_saved(reserved))
            keep(reserved, plan.length, plan.pool, plan.limit_predictor(), plan.renderer.frame)
            manifest.kept = kept_sha256(reserved)
            return create_run(reserved.path, recipe, plan.renderer.template.text, manifest)

        run = processes.of_first(begin)
        return fit(run, setup, manifest, None, processes, began, callbacks)


@contextlib.contextmanager
def _removed_if_nothing_is_saved(run: Run) -> Iterator[None]:
    """Remove a run's folder if its training fails before anything was saved or logged: the name is free again."""
    try:
        yield
    except BaseException:  # Ctrl-C too
        is_logged = run.log_path.is_file() and run.log_path.stat().st_size
        if not run.checkpoints.is_dir() and not is_logged:
            shutil.rmtree(run.path)
        raise


@one_gpu()
def resume(
    runs: Path,
    name: str | None,
    given: Recipe | None = None,
    processes: ProcessGroup = ALONE,
    *,
    check: bool = True,
) -> FinishedTraining:
    """Resume a training from its last undamaged checkpoint; the result is that of an uninterrupted training.

    Args:
        runs: the folder of all runs.
        name: of a run that did not finish; None takes the one that was started last.
        given: the recipe that the run is expected to have; None accepts any.
        processes: the processes that train together; all of them call this, and see the same files.
        check: as for `sft`.

    Returns:
        the finished training; its run is the latest from now on.

    Raises:
        InputError: the run is finished, is being trained, or its recipe, prompt, data or base has changed.
        TrainingError: as for `sft`.
        StoppedError: as for `sft`.
    """
    with contextlib.ExitStack() as stack:
        run = processes.of_first(lambda: stack.enter_context(hold_unfinished(runs, name)))
        if given is not None:
            processes.of_first(lambda: refuse_another_recipe(run, given))
        manifest = processes.agree(run.manifest)
        recipe = processes.agree(lambda: refuse_what_changed(run, manifest))
        callbacks = processes.agree(lambda: load_callbacks(recipe))
        if callbacks is not None:
            callbacks.note_changed_files(manifest.callbacks)
        # The memory estimate was accepted, or overruled with --force, when the training started.
        setup, _ = processes.agree(lambda: _set_up(recipe, None, processes, check=check, force=True))
        plan = setup.plan
        processes.agree(lambda: refuse_what_changed(run, manifest, _data(plan)))
        processes.agree(lambda: refuse_another_base(run, manifest, base_stamp(recipe.model, plan.location)))
        begin = processes.of_first(lambda: _prepare_to_resume(run, plan, manifest, processes))
        if begin is None:
            start = processes.agree(lambda: find_start(recipe, runs, plan.location))
            processes.agree(lambda: refuse_another_start(run, start, manifest))
            setup = dataclasses.replace(setup, start=start)
        return fit(run, setup, manifest, begin, processes, callbacks=callbacks)


def _prepare_to_resume(
    run: Run, plan: TrainingPlan, manifest: Manifest, processes: ProcessGroup
) -> Checkpoint | None:
    """Return the checkpoint to resume from, or None; print it, and record it in the manifest."""
    for leftover in run.path.glob(".*"):  # half-written files of a killed process
        if leftover.name == FOLDER:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink()
    if manifest.kept is None:
        keep(run, plan.length, plan.pool, plan.limit_predictor(), plan.renderer.frame)
        manifest.kept = kept_sha256(run)
    elif kept_sha256(run) != manifest.kept:
        raise RunError(
            f"{run.path}: {' or '.join(manifest.kept)} was changed after the training began; restore it, or "
            "start a new run"
        )
    begin = newest_whole(run.checkpoints)
    fixed = FixedSteps.of(manifest)
    steps = plan.steps if fixed is None else fixed.steps
    where = f"step {begin.step} of {steps}" if begin else "the first step (no checkpoint found)"
    say(f"Resuming {run.path} from {where}")
    before = 1 if manifest.device is None else manifest.device.count
    if before != processes.world:
        say(
            f"note: started on {before} devices, resumed on {processes.world}: the result may differ in rounding "
            "and in the units that dropout drops"
        )
    manifest.resumed = [*manifest.resumed, Resumption(at=utc_now(), step=begin.step if begin else 0)]
    run.write_manifest(manifest)
    return begin


def _set_up(
    recipe: Recipe, runs: Path | None, processes: ProcessGroup, *, check: bool, force: bool
) -> tuple[TrainingSetup, list[str]]:
    """Return the setup of a training, and what a check says of it.

    Args:
        recipe: of the training.
        runs: the folder to find `train.from_run` in; None: it is not needed.
        processes: the processes that train together.
        check: whether to check the recipe.
        force: whether too little memory is accepted.

    Raises:
        InputError: a training would fail; a line for each reason.
    """
    if recipe.track:
        from llm_summ.train.tracking import require_trackers

        require_trackers(recipe.track)
    if recipe.train.batch_size < processes.world:
        raise InputError(
            f"train.batch_size: {recipe.train.batch_size} rows are fewer than {processes.world} devices; raise "
            "it, or use fewer devices"
        )
    sharded = is_sharded(recipe, processes)
    if sharded:
        refuse_what_cannot_be_sharded(recipe, on_gpu=find_device().kind == "cuda")
    if check:
        report = check_recipe(recipe, allow_low_memory=force or sharded, devices=processes.world, runs=runs)
        if report.failures:
            raise InputError("\n".join(report.failures))
        return report.setup, [*report.lines(), *(f"note: {note}" for note in report.notes)]
    return set_up(recipe, runs), []


def load_callbacks(recipe: Recipe) -> UserCallbacks | None:
    """Import `train.callbacks`; return None if there are none.

    Raises:
        InputError: some cannot be imported or made; a line for each.
    """
    if not recipe.train.callbacks:
        return None
    require_training()
    quiet_libraries()
    from llm_summ.train.user_callbacks import load_user_callbacks

    return load_user_callbacks(recipe.train.callbacks)


def _manifest(setup: TrainingSetup, processes: ProcessGroup) -> Manifest:
    plan = setup.plan
    recipe, template, device = plan.recipe, plan.renderer.template, plan.device
    manifest = Manifest(
        started=utc_now(),
        seed=recipe.seed,
        device=DeviceRecord(kind=device.kind, name=device.name, dtype=plan.dtype, count=processes.world),
        data=_data(plan),
        recipe_sha256=text_sha256(dump_recipe(recipe)),
        prompt=PromptRecord(name=template.name, sha256=template.sha256),
        base=base_stamp(recipe.model, plan.location),
        stop_id=plan.renderer.stop_id,
        shortened=plan.shortened,
        **environment(),
    )
    if setup.start is not None:
        manifest.from_run = start_stamp(setup.start)
    return manifest


def _data(plan: TrainingPlan) -> dict[str, DataPart]:
    """Return the rows of each part of the data, and the hash of every file."""
    data = plan.recipe.data
    sources = {"train": data.train_sources, "dev": [data.dev or ""], "test": [data.test or ""]}
    return {
        part: DataPart(
            rows=len(plan.data[part]),
            sha256={source: file_sha256(resolve_source(source)) for source in sources[part]},
        )
        for part in plan.data
    }
