"""Begin a training, or go on with one."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from pathlib import Path

from llm_summ.check.report import CheckReport, check_recipe
from llm_summ.core.errors import InputError, RunError
from llm_summ.core.files import file_sha256, text_sha256
from llm_summ.core.locks import FOLDER
from llm_summ.core.progress import say
from llm_summ.data.source import resolve_source
from llm_summ.models.content_stamp import base_stamp
from llm_summ.models.device import one_gpu
from llm_summ.models.start_adapter import find_start, refuse_another_start, start_stamp
from llm_summ.prompt.saved_prompt import keep, kept_sha256
from llm_summ.recipe import Recipe, dump_recipe
from llm_summ.runs.manifest import DataPart, DeviceRecord, Manifest, PromptRecord, Resumption
from llm_summ.runs.run import Run, create_run, environment, reserve_run, run_path
from llm_summ.train.checkpoint import Checkpoint, newest_whole
from llm_summ.train.distributed import ALONE, ProcessGroup
from llm_summ.train.fit import FinishedTraining, fit
from llm_summ.train.resume import (
    hold_unfinished,
    now,
    refuse_another_base,
    refuse_another_recipe,
    refuse_what_changed,
)
from llm_summ.train.shard import is_sharded, refuse_what_cannot_be_sharded
from llm_summ.train.time_budget import FixedSteps

__all__ = ["dry_run", "resume", "sft"]


@one_gpu()
def dry_run(
    recipe: Recipe, *, runs: Path, name: str | None, stem: str, force: bool = False, devices: int = 1
) -> list[str]:
    """What a training would do on so many devices; nothing is trained, and no run is made.

    Other arguments as for `sft`.

    Raises:
        InputError: the training could not start.
    """
    run_path(runs, name, stem)
    report = _check(recipe, force, ProcessGroup(0, devices), runs)
    return [*report.lines(), *(f"note: {note}" for note in report.notes)]


@one_gpu()
def sft(
    recipe: Recipe,
    *,
    runs: Path,
    name: str | None,
    stem: str,
    force: bool = False,
    processes: ProcessGroup = ALONE,
) -> FinishedTraining:
    """Train an adapter.

    Args:
        recipe: what to train, on what, how.
        runs: the folder of all runs.
        name: the run's name; None makes one from `stem` and the time.
        stem: the recipe file's name without its ending.
        force: train even if the memory is estimated not to do.
        processes: the processes that train together; all of them call this.

    Returns:
        the finished training; its run is the latest from now on.

    Raises:
        InputError: the training could not start; nothing was written.
        TrainingError: it failed; what there is of its log and its checkpoints stays.
        StoppedError: a signal came; `resume` goes on.
    """
    began = time.monotonic()
    processes.of_first(lambda: run_path(runs, name, stem))
    report = processes.agree(lambda: _check(recipe, force, processes, runs))
    _tell(report)
    plan = report.plan
    manifest = _manifest(report, processes)
    with contextlib.ExitStack() as stack:

        def begin() -> Run:
            reserved = reserve_run(runs, name, stem)
            stack.enter_context(reserved.lock_training())  # before `--resume` of another process can see it
            return create_run(reserved.path, recipe, plan.renderer.template.text, manifest)

        run = processes.of_first(begin)
        try:
            if processes.is_first:
                keep(run, plan.length, plan.pool, plan.limit_predictor())
                manifest.kept = kept_sha256(run)
                run.write_manifest(manifest)
            return fit(run, report, manifest, None, processes, began)
        except BaseException:  # Ctrl-C too
            if (
                processes.is_first
                and not run.checkpoints.is_dir()
                and not (run.log_path.is_file() and run.log_path.stat().st_size)
            ):
                shutil.rmtree(run.path)  # nothing was saved or logged: the name is free again
            raise


@one_gpu()
def resume(
    runs: Path, name: str | None, given: Recipe | None = None, processes: ProcessGroup = ALONE
) -> FinishedTraining:
    """Go on with a training where its last whole checkpoint left it; the end is that of an uninterrupted one.

    Args:
        runs: the folder of all runs.
        name: of a run that did not finish; None takes the one that was begun last.
        given: a recipe that it should have been begun with; None: whatever it was.
        processes: the processes that train together; all of them call this, and see the same files.

    Returns:
        the finished training; its run is the latest from now on.

    Raises:
        InputError: it is finished, is being trained, or what it was begun with has changed.
        TrainingError: as of `sft`.
        StoppedError: as of `sft`.
    """
    with contextlib.ExitStack() as stack:
        run = processes.of_first(lambda: stack.enter_context(hold_unfinished(runs, name)))
        if given is not None:
            processes.of_first(lambda: refuse_another_recipe(run, given))
        manifest = processes.agree(run.manifest)
        recipe = processes.agree(lambda: refuse_what_changed(run, manifest))
        # The estimate was believed, or not, when the training began.
        report = processes.agree(lambda: _check(recipe, True, processes, None))
        processes.agree(lambda: refuse_what_changed(run, manifest, _data(report)))
        processes.agree(lambda: refuse_another_base(run, manifest, base_stamp(recipe.model, report.plan.location)))
        begin = processes.of_first(lambda: _where_to_begin(run, report, manifest, processes))
        if begin is None:
            start = processes.agree(lambda: find_start(recipe, runs, report.plan.location))
            processes.agree(lambda: refuse_another_start(run, start, manifest))
            report = dataclasses.replace(report, start=start)
        return fit(run, report, manifest, begin, processes)


def _where_to_begin(
    run: Run, report: CheckReport, manifest: Manifest, processes: ProcessGroup
) -> Checkpoint | None:
    """The checkpoint to go on from; None: there is none. It is said, and noted in the manifest."""
    for leftover in run.path.glob(".*"):  # whatever a kill left half done
        if leftover.name == FOLDER:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink()
    plan = report.plan
    if manifest.kept is None:
        keep(run, plan.length, plan.pool, plan.limit_predictor())
        manifest.kept = kept_sha256(run)
    elif kept_sha256(run) != manifest.kept:
        raise RunError(
            f"{run.path}: {' or '.join(manifest.kept)} was changed after the training began; put it back, or "
            "begin a new run"
        )
    begin = newest_whole(run.checkpoints)
    fixed = FixedSteps.of(manifest)
    steps = report.plan.steps if fixed is None else fixed.steps
    where = f"step {begin.step} of {steps}" if begin else "the first step: there is no checkpoint"
    say(f"Going on with {run.path} from {where}")
    before = 1 if manifest.device is None else manifest.device.count
    if before != processes.world:
        say(
            f"note: begun on {before} devices, now on {processes.world}: the end may differ in rounding and in "
            "what dropout draws"
        )
    manifest.resumed = [*manifest.resumed, Resumption(at=now(), step=begin.step if begin else 0)]
    run.write_manifest(manifest)
    return begin


def _check(recipe: Recipe, memory_may_not_do: bool, processes: ProcessGroup, runs: Path | None) -> CheckReport:
    """Check a recipe; `runs` is where `train.from_run` is, None if that is not needed.

    Raises:
        InputError: a training would fail; a line for each reason.
    """
    if recipe.track:
        from llm_summ.train.tracking import require_trackers

        require_trackers(recipe.track)
    if recipe.train.batch_size < processes.world:
        raise InputError(
            f"train.batch_size: {recipe.train.batch_size} rows are fewer than {processes.world} devices; raise "
            "it, or take fewer devices"
        )
    sharded = is_sharded(recipe, processes)
    report = check_recipe(
        recipe, memory_may_not_do=memory_may_not_do or sharded, devices=processes.world, runs=runs
    )
    if report.failures:
        raise InputError("\n".join(report.failures))
    if sharded:
        refuse_what_cannot_be_sharded(recipe, on_gpu=report.device.kind == "cuda")
    return report


def _tell(report: CheckReport) -> None:
    for line in (*report.lines(), *(f"note: {note}" for note in report.notes)):
        say(line)


def _manifest(report: CheckReport, processes: ProcessGroup) -> Manifest:
    plan = report.plan
    recipe, template, device = plan.recipe, plan.renderer.template, report.device
    manifest = Manifest(
        started=now(),
        seed=recipe.seed,
        device=DeviceRecord(kind=device.kind, name=device.name, dtype=report.dtype, count=processes.world),
        recipe_sha256=text_sha256(dump_recipe(recipe)),
        prompt=PromptRecord(name=template.name, sha256=template.sha256),
        data=_data(report),
        base=base_stamp(recipe.model, plan.location),
        stop_id=plan.renderer.stop_id,
        shortened=plan.shortened,
        **environment(),
    )
    if report.start is not None:
        manifest.from_run = start_stamp(report.start)
    return manifest


def _data(report: CheckReport) -> dict[str, DataPart]:
    """Return the rows of each part of the data, and the hash of every file."""
    plan = report.plan
    data = plan.recipe.data
    sources = {"train": data.train_sources, "dev": [data.dev or ""], "test": [data.test or ""]}
    return {
        part: DataPart(
            rows=len(plan.data[part]),
            sha256={source: file_sha256(resolve_source(source)) for source in sources[part]},
        )
        for part in plan.data
    }
