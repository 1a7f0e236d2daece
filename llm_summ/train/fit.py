"""The training loop from the first step, or from a checkpoint, to the trained adapter or model."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.check.report import CheckReport
from llm_summ.check.training_plan import TrainingPlan
from llm_summ.core.errors import StoppedError, TrainingError
from llm_summ.core.files import append_lines, whole_directory, write_json
from llm_summ.core.formatting import utc_now
from llm_summ.core.progress import Progress, say
from llm_summ.models.base import save_tokenizer
from llm_summ.models.machine_speed import note_duration
from llm_summ.models.start_adapter import load_start
from llm_summ.models.trained_weights import trained_weights, weights_sha256
from llm_summ.recipe import Recipe
from llm_summ.runs.manifest import Manifest, TrainingResult
from llm_summ.runs.run import Run, mark_latest
from llm_summ.train.checkpoint import CHECKSUMS, Checkpoint, checkpoint_path, checkpoints, how_to_resume
from llm_summ.train.distributed import ALONE, ProcessGroup
from llm_summ.train.eva import begin_with_components
from llm_summ.train.evaluation import DevSet, make_dev_set
from llm_summ.train.history import Evaluated, cut_log, evaluations, pick, stops_early, table
from llm_summ.train.setup import load_trained, make_trainer
from llm_summ.train.shard import is_sharded
from llm_summ.train.signals import StopSignals
from llm_summ.train.time_budget import FixedSteps, TimeBudget, by_tokens

if TYPE_CHECKING:
    from llm_summ.train.callbacks import CheckpointCallback
    from llm_summ.train.log import LogCallback

__all__ = ["FinishedTraining", "fit"]

_MIN_SECONDS_TO_NOTE = 60.0  # a shorter training does not predict how long others take
# Files of a checkpoint that only a resumed training needs.
_STATE_FILES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "trainer_state.json", "progress.json", CHECKSUMS)


@dataclasses.dataclass(frozen=True, slots=True)
class FinishedTraining:
    """A finished training.

    Attributes:
        run: its folder.
        steps: the number of optimizer steps made.
        picked_step: the step of the checkpoint that became the result.
        score: of the picked checkpoint on the evaluated dialogues of dev, 0 to 100; None: it was not evaluated.
        seconds: of the training, with evaluations, without loading.
    """

    run: Run
    steps: int
    picked_step: int
    score: float | None
    seconds: float


def fit(
    run: Run,
    report: CheckReport,
    manifest: Manifest,
    begin: Checkpoint | None,
    processes: ProcessGroup = ALONE,
    began: float | None = None,
) -> FinishedTraining:
    """Train, and leave `adapter/` (or `model/`) with the picked checkpoint's weights.

    Args:
        run: its folder, with recipe, prompt and manifest.
        report: the result of the check: the plan, the device, the dtype, the rows at a time.
        manifest: of the run; gets the key `training` when everything is done.
        begin: the checkpoint to resume from; None starts at the first step.
        processes: the processes that train together; all of them call this, and the first one writes.
        began: when the command started, on the clock of `time.monotonic`; `train.max_minutes` counts from then.

    Returns:
        the result; the same in all processes.

    Raises:
        StoppedError: a signal came; the finished steps are saved.
        TrainingError: it failed; the last checkpoint is unchanged.
    """
    fixed = FixedSteps.of(manifest)
    if fixed is not None:
        report = dataclasses.replace(report, plan=_ending_at(report.plan, fixed.steps))
    plan = report.plan
    recipe = plan.recipe
    last = processes.of_first(lambda: cut_log(run.log_path, begin.step if begin else 0))
    sharded = is_sharded(recipe, processes)
    # One process after the other: each loads the whole model before it is divided.
    model = (
        processes.in_turn(lambda: load_trained(report, processes, sharded=True))
        if sharded
        else load_trained(report)
    )
    from llm_summ.train.callbacks import CheckpointCallback
    from llm_summ.train.log import LogCallback
    from llm_summ.train.tracking import tracking_callbacks

    dev_set = None
    if "dev" in plan.prompts:
        dev_set = make_dev_set(recipe, plan.renderer, plan.data["dev"], plan.prompts["dev"], plan.limit_predictor)
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
                say(_budget_line(new, recipe, dev_set))

        callback = CheckpointCallback(
            run,
            recipe,
            steps=plan.steps,
            fixed=fixed,
            budget=None if fixed else _budget(report, dev_set, time.monotonic() if began is None else began),
            keep_fixed=keep_fixed,
            interval=plan.evaluation_interval,
            dev_set=dev_set,
            log=log,
            stops=stops,
            trackers=trackers,
            begin=begin,
            processes=processes,
        )
        scratch_in = run.path if processes.is_first else None
        try:
            with tempfile.TemporaryDirectory(dir=scratch_in, prefix=".trainer.") as scratch:
                trainer = make_trainer(
                    report, model, [log, callback, *trackers], Path(scratch), processes, sharded
                )
                callback.attach(trainer)
                _train(trainer, callback, report, begin)
        finally:
            for tracker in trackers:
                tracker.close()
        step = int(trainer.state.global_step)
        received = max(processes.gather(stops.received or 0))
        if received and not callback.is_complete():
            raise StoppedError(
                f"stopped at step {step} of {callback.steps} by {signal.Signals(received).name}; "
                f"{how_to_resume(run, processes.world)}",
                received,
            )
    result = _finish(trainer, callback, report, manifest, log, begin, step) if processes.is_first else None
    return processes.gather(result)[0]  # type: ignore[return-value]


def _finish(
    trainer: Any,
    callback: CheckpointCallback,
    report: CheckReport,
    manifest: Manifest,
    log: LogCallback,
    begin: Checkpoint | None,
    step: int,
) -> FinishedTraining:
    """Write the result from the picked checkpoint, and record in the manifest that the training is finished."""
    from llm_summ.train.log import memory_gib

    run, processes, plan = callback.run, trainer.processes, report.plan
    recipe = plan.recipe
    logged = evaluations(run.log_path)
    early = step < callback.steps and stops_early(logged, recipe.evaluation)
    picked = _pick_undamaged(run, recipe, logged, step)
    with _explain_write_errors(run, processes, "the result cannot be written"):
        _keep_result(run, plan, picked)
    score = next((evaluated.dev_score for evaluated in logged if evaluated.step == picked), math.nan)
    manifest.training = TrainingResult(
        finished=utc_now(),
        seconds=round(log.seconds, 1),
        steps=step,
        stopped_early=early,
        picked_step=picked,
        picked_score=score if math.isfinite(score) else None,
        tokens=trainer.tokens,
        last_loss=log.last_loss if math.isfinite(log.last_loss) else None,
        memory_gib=round(memory_gib(), 2),
        adapter_sha256=weights_sha256(_result(run, recipe)),
    )
    with _explain_write_errors(run, processes, "the result cannot be written"):
        write_json(_result(run, recipe) / run.manifest_path.name, manifest.to_json())
        mark_latest(run)
        run.write_manifest(manifest)  # written last: it marks the training as finished
    if (
        report.time is not None
        and begin is None
        and callback.evaluates_all
        and log.seconds >= _MIN_SECONDS_TO_NOTE
    ):
        note_duration(report.time.kind, sum(report.time.total(_ending_at(plan, step))), log.seconds)
    for line in table(logged, recipe.evaluation) if logged else []:
        say(line)
    rate = trainer.tokens / max(log.seconds, 1e-9)
    say(
        f"Trained {step} steps in {log.seconds:.0f} s, {rate:.0f} tokens/s, last loss "
        f"{log.last_loss:.3f} -> {_result(run, recipe)}" + (f" (of step {picked})" if picked != step else "")
    )
    return FinishedTraining(run, step, picked, manifest.training.picked_score, log.seconds)


def _ending_at(plan: TrainingPlan, steps: int) -> TrainingPlan:
    """Return the plan of a training that ends after `steps` steps."""
    return dataclasses.replace(plan, fixed_steps=steps)


def _budget(report: CheckReport, dev_set: DevSet | None, began: float) -> TimeBudget | None:
    """Return the time budget; None if the recipe has no `train.max_minutes`."""
    plan = report.plan
    minutes = plan.recipe.train.max_minutes
    if minutes is None:
        return None
    prompts, completions = ([], []) if dev_set is None else (dev_set.prompts, dev_set.completions)
    return TimeBudget(minutes, began, plan, report.time or by_tokens(plan), prompts, completions)


def _budget_line(fixed: FixedSteps, recipe: Recipe, dev_set: DevSet | None) -> str:
    """Return a line that says what fits into the budget."""
    line = f"{fixed.steps} of {fixed.all_steps} steps fit into {recipe.train.max_minutes:g} minutes"
    if dev_set is not None and fixed.rows < len(dev_set.prompts):
        line += f"; evaluations of {fixed.rows} dialogues instead of {len(dev_set.prompts)}"
    return line


def _result(run: Run, recipe: Recipe) -> Path:
    """Return the folder of a training's result."""
    return trained_weights(recipe).folder(run)


def _begin_adapter(trainer: Any, report: CheckReport) -> None:
    """Load another run's adapter, or initialise with the principal components of the layers' inputs (EVA)."""
    recipe = report.plan.recipe
    if report.start is not None:
        say(f"Beginning with {report.start.adapter}")
        load_start(trainer.model, report.start)
    if recipe.lora.init == "eva":
        say("Initialising the adapter from the training rows (EVA)")
        begin_with_components(
            trainer.model,
            report.plan.rows,
            family=report.plan.family,
            pad_id=report.plan.renderer.pad_id,
            device=trainer.args.device,
            rows_at_a_time=trainer.micro_batch_size,
            seed=recipe.seed,
        )


def _train(trainer: Any, callback: CheckpointCallback, report: CheckReport, begin: Checkpoint | None) -> None:
    if begin is None:
        _begin_adapter(trainer, report)
        trainer.processes.begin_alike(trainer.model)
    else:
        # Before the library's loop, which makes a step before it checks whether to stop.
        trainer.restore_checkpoint(begin)
        callback.catch_up()
        if callback.stops_here():
            return
    with _explain_write_errors(callback.run, trainer.processes, lambda: f"step {trainer.state.global_step}"):
        trainer.train(resume_from_checkpoint=None if begin is None else str(begin.path))


@contextlib.contextmanager
def _explain_write_errors(run: Run, processes: ProcessGroup, where: str | Callable[[], str]) -> Iterator[None]:
    """Turn a write error into one line that says how to resume.

    Raises:
        TrainingError: the line.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{where if isinstance(where, str) else where()}: {error.filename or 'a file'}: "
            f"{error.strerror or error}; {how_to_resume(run, processes.world)}"
        ) from error


def _pick_undamaged(run: Run, recipe: Recipe, logged: list[Evaluated], last: int) -> int:
    """Return the step of the best undamaged checkpoint; the last step, if nothing was evaluated.

    Raises:
        TrainingError: there is none.
    """
    kept = {checkpoint.step: checkpoint for checkpoint in checkpoints(run.checkpoints)}
    while kept:
        step = pick([evaluated for evaluated in logged if evaluated.step in kept], recipe.evaluation) or last
        damage = kept[step].damage() if step in kept else "it is missing"
        if not damage:
            return step
        say(f"{checkpoint_path(run.checkpoints, step)}: cannot be used as the result ({damage})")
        if kept.pop(step, None) is None:
            break
    raise TrainingError(f"{run.checkpoints}: no undamaged checkpoint is left for the result; train again")


def _keep_result(run: Run, plan: Any, step: int) -> None:
    """Copy the weights of a checkpoint, with the tokenizer and the recipe."""
    source = checkpoint_path(run.checkpoints, step)
    with whole_directory(_result(run, plan.recipe)) as building:
        for path in source.iterdir():
            if path.name not in _STATE_FILES and not path.name.startswith("rng_state"):
                shutil.copyfile(path, building / path.name)
        save_tokenizer(plan.tokenizer, building)
        shutil.copyfile(run.recipe_path, building / "recipe.yaml")
