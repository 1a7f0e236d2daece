"""The result of a finished training: the picked checkpoint's weights, and the manifest's record."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_summ.core.errors import TrainingError
from llm_summ.core.files import whole_directory, write_json
from llm_summ.core.formatting import utc_now
from llm_summ.core.progress import say
from llm_summ.models.base import save_tokenizer
from llm_summ.models.machine_speed import note_duration
from llm_summ.models.trained_weights import trained_weights, weights_sha256
from llm_summ.plan.training_plan import TrainingPlan
from llm_summ.plan.training_setup import TrainingSetup
from llm_summ.recipe import Recipe
from llm_summ.runs.manifest import Manifest, TrainingResult
from llm_summ.runs.run import Run, mark_latest
from llm_summ.train.checkpoint import CHECKSUMS, Checkpoint, checkpoint_path, checkpoints, explain_write_errors
from llm_summ.train.history import Evaluated, evaluations, pick, stops_early, table

if TYPE_CHECKING:
    from llm_summ.train.callbacks import CheckpointCallback
    from llm_summ.train.log import LogCallback

__all__ = ["FinishedTraining", "finish"]

_MIN_SECONDS_TO_NOTE = 60.0  # a shorter training does not predict how long others take
# Files of a checkpoint that only a resumed training needs.
_STATE_FILES = ("optimizer.pt", "scheduler.pt", "scaler.pt", "trainer_state.json", "progress.json", CHECKSUMS)


@dataclass(frozen=True, slots=True)
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


def finish(
    trainer: Any,
    callback: CheckpointCallback,
    setup: TrainingSetup,
    manifest: Manifest,
    log: LogCallback,
    begin: Checkpoint | None,
) -> FinishedTraining:
    """Write the result from the picked checkpoint, and record in the manifest that the training is finished.

    Args:
        trainer: made the steps.
        callback: saved and evaluated the checkpoints.
        setup: of the training.
        manifest: of the run; gets the key `training`.
        log: of the training.
        begin: the checkpoint that the training was resumed from, or None.

    Raises:
        TrainingError: the result cannot be written, or no undamaged checkpoint is left.
    """
    from llm_summ.train.log import memory_gib

    run, plan, step = callback.run, setup.plan, int(trainer.state.global_step)
    recipe = plan.recipe
    folder = trained_weights(recipe).folder(run)
    logged = evaluations(run.log_path)
    curve = table(logged, recipe.evaluation) if logged else []
    stopped_early = step < callback.limit.steps and stops_early(logged, recipe.evaluation)
    picked = _pick_undamaged(run, recipe, logged, step)
    score = next((evaluated.dev_score for evaluated in logged if evaluated.step == picked), math.nan)
    with explain_write_errors(run, trainer.processes, "the result cannot be written"):
        _keep_result(run, plan, picked)
        manifest.training = TrainingResult(
            finished=utc_now(),
            seconds=round(log.seconds, 1),
            steps=step,
            stopped_early=stopped_early,
            picked_step=picked,
            picked_score=score if math.isfinite(score) else None,
            tokens=trainer.tokens,
            last_loss=log.last_loss if math.isfinite(log.last_loss) else None,
            memory_gib=round(memory_gib(), 2),
            adapter_sha256=weights_sha256(folder),
        )
        write_json(folder / run.manifest_path.name, manifest.to_json())
        mark_latest(run)
        run.write_manifest(manifest)  # written last: it marks the training as finished
    expected = setup.time
    if expected and begin is None and callback.evaluates_all and log.seconds >= _MIN_SECONDS_TO_NOTE:
        note_duration(expected.kind, sum(expected.total(plan.ending_at(step))), log.seconds)
    for line in curve:
        say(line)
    rate = trainer.tokens / max(log.seconds, 1e-9)
    say(
        f"Trained {step} steps in {log.seconds:.0f} s, {rate:.0f} tokens/s, last loss "
        f"{log.last_loss:.3f} -> {folder}" + (f" (of step {picked})" if picked != step else "")
    )
    return FinishedTraining(run, step, picked, manifest.training.picked_score, log.seconds)


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


def _keep_result(run: Run, plan: TrainingPlan, step: int) -> None:
    """Copy the weights of a checkpoint, with the tokenizer and the recipe."""
    source = checkpoint_path(run.checkpoints, step)
    with whole_directory(trained_weights(plan.recipe).folder(run)) as building:
        for path in source.iterdir():
            if path.name not in _STATE_FILES and not path.name.startswith("rng_state"):
                shutil.copyfile(path, building / path.name)
        save_tokenizer(plan.tokenizer, building)
        shutil.copyfile(run.recipe_path, building / "recipe.yaml")
