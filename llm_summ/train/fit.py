"""The training loop from the first step, or from a checkpoint, to the trained adapter or model."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.core.errors import StoppedError
from llm_summ.core.files import append_lines
from llm_summ.core.progress import Progress, say
from llm_summ.models.start_adapter import load_start
from llm_summ.plan.training_setup import TrainingSetup
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run
from llm_summ.train.checkpoint import Checkpoint, explain_write_errors, how_to_resume
from llm_summ.train.eva import begin_with_components
from llm_summ.train.evaluation import DevSet, make_dev_set
from llm_summ.train.history import cut_log
from llm_summ.train.model_and_trainer import load_trained, make_trainer
from llm_summ.train.process_group import ALONE, ProcessGroup
from llm_summ.train.result import FinishedTraining, finish
from llm_summ.train.signals import StopSignals
from llm_summ.train.time_budget import FixedSteps, StepLimit, TimeBudget, by_tokens

if TYPE_CHECKING:
    from llm_summ.train.callbacks import CheckpointCallback
    from llm_summ.train.user_callbacks import UserCallbacks

__all__ = ["fit"]


def fit(
    run: Run,
    setup: TrainingSetup,
    manifest: Manifest,
    begin: Checkpoint | None,
    processes: ProcessGroup = ALONE,
    began: float | None = None,
    callbacks: UserCallbacks | None = None,
) -> FinishedTraining:
    """Train, and leave `adapter/` (or `model/`) with the picked checkpoint's weights.

    Args:
        run: its folder, with recipe, prompt and manifest.
        setup: of the training.
        manifest: of the run; gets the key `training` when everything is done.
        begin: the checkpoint to resume from; None starts at the first step.
        processes: the processes that train together; all of them call this, and the first one writes.
        began: when the command started, on the clock of `time.monotonic`; `train.max_minutes` counts from then.
        callbacks: the user's, of `train.callbacks`.

    Returns:
        the result; the same in all processes.

    Raises:
        StoppedError: a signal came; the finished steps are saved.
        TrainingError: it failed; the last checkpoint is unchanged.
    """
    fixed = FixedSteps.of(manifest)
    if fixed is not None:
        setup = dataclasses.replace(setup, plan=setup.plan.ending_at(fixed.steps))
    plan = setup.plan
    recipe = plan.recipe
    last = processes.of_first(lambda: cut_log(run.log_path, begin.step if begin else 0))
    model = load_trained(setup, processes)
    from llm_summ.train.callbacks import CheckpointCallback, DevEvaluations
    from llm_summ.train.log import LogCallback
    from llm_summ.train.tracking import tracking_callbacks

    dev_set = make_dev_set(plan)
    done = begin.step if begin else 0
    with (
        StopSignals() as stops,
        append_lines(run.log_path) if processes.is_first else contextlib.nullcontext() as out,
        Progress("Training", plan.steps, done) as progress,
    ):
        log = LogCallback(out, progress, last)
        trackers = []
        if processes.is_first:
            trackers = tracking_callbacks(recipe.track, run, recipe, resumed=bool(manifest.resumed))

        def keep_fixed(new: FixedSteps) -> None:
            progress.resize(new.steps)
            if processes.is_first:
                manifest.budget = new.to_manifest(recipe.train.max_minutes or 0.0)
                run.write_manifest(manifest)
                say(_budget_line(new, setup, dev_set))

        budget = None if fixed else _budget(setup, dev_set, time.monotonic() if began is None else began)
        callback = CheckpointCallback(
            run,
            recipe,
            limit=StepLimit(plan.steps, fixed, budget, keep_fixed),
            evaluates=DevEvaluations(dev_set, plan.evaluation_interval, trackers),
            log=log,
            stops=stops,
            begin=begin,
        )
        scratch_in = run.path if processes.is_first else None
        try:
            with tempfile.TemporaryDirectory(dir=scratch_in, prefix=".trainer.") as scratch:
                own: list[Any] = [callback, *trackers]
                if callbacks is not None:
                    callbacks.attach(run, processes)
                    own.insert(0, callbacks)  # before ours, which act on the flags that it sets
                trainer = make_trainer(setup, model, [log, *own], Path(scratch), processes)
                callback.attach(trainer)
                _train(trainer, callback, setup, begin)
        finally:
            for tracker in trackers:
                tracker.close()
        step = int(trainer.state.global_step)
        received = max(processes.gather(stops.received or 0))
        if received and not callback.is_complete():
            raise StoppedError(
                f"stopped at step {step} of {callback.limit.steps} by {signal.Signals(received).name}; "
                f"{how_to_resume(run, processes.world)}",
                received,
            )
    result = finish(trainer, callback, setup, manifest, log, begin) if processes.is_first else None
    return processes.gather(result)[0]  # type: ignore[return-value]


def _budget(setup: TrainingSetup, dev_set: DevSet | None, began: float) -> TimeBudget | None:
    """Return the time budget; None if the recipe has no `train.max_minutes`."""
    plan = setup.plan
    minutes = plan.recipe.train.max_minutes
    if minutes is None:
        return None
    prompts, completions = ([], []) if dev_set is None else (dev_set.prompts, dev_set.completions)
    return TimeBudget(minutes, began, plan, setup.time or by_tokens(plan), prompts, completions)


def _budget_line(fixed: FixedSteps, setup: TrainingSetup, dev_set: DevSet | None) -> str:
    """Return a line that says what fits into the budget."""
    line = f"{fixed.steps} of {fixed.all_steps} steps fit into {setup.plan.recipe.train.max_minutes:g} minutes"
    if dev_set is not None and fixed.rows < len(dev_set.prompts):
        line += f"; evaluations of {fixed.rows} dialogues instead of {len(dev_set.prompts)}"
    return line


def _begin_adapter(trainer: Any, setup: TrainingSetup) -> None:
    """Load another run's adapter, or initialise with the principal components of the layers' inputs (EVA)."""
    if setup.start is not None:
        say(f"Beginning with {setup.start.adapter}")
        load_start(trainer.model, setup.start)
    if setup.plan.recipe.lora.init == "eva":
        say("Initialising the adapter from the training rows (EVA)")
        begin_with_components(
            trainer.model, setup.plan, device=trainer.args.device, rows_at_a_time=trainer.micro_batch_size
        )


def _train(trainer: Any, callback: CheckpointCallback, setup: TrainingSetup, begin: Checkpoint | None) -> None:
    if begin is None:
        _begin_adapter(trainer, setup)
        trainer.processes.begin_alike(trainer.model)
    else:
        # Before the library's loop, which makes a step before it checks whether to stop.
        trainer.restore_checkpoint(begin)
        callback.catch_up()
        if callback.stops_here():
            return
    with explain_write_errors(callback.run, trainer.processes, lambda: f"step {trainer.state.global_step}"):
        trainer.train(resume_from_checkpoint=None if begin is None else str(begin.path))
