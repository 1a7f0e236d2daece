"""When a training saves, evaluates and stops."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback

from llm_summ.recipe import Recipe
from llm_summ.runs.run import Run
from llm_summ.train import checkpoint
from llm_summ.train.evaluation import DevSet
from llm_summ.train.history import Evaluated, evaluations, pick, stops_early
from llm_summ.train.log import LogCallback
from llm_summ.train.signals import StopSignals
from llm_summ.train.time_budget import StepLimit
from llm_summ.train.tracking import GuardedTracker

__all__ = ["CheckpointCallback", "DevEvaluations"]


@dataclass(frozen=True, slots=True)
class DevEvaluations:
    """The evaluations of a training.

    Attributes:
        dev_set: what is evaluated; None: nothing.
        interval: steps between evaluations; 0: there are none.
        trackers: are shown the generated summaries.
    """

    dev_set: DevSet | None
    interval: int
    trackers: Sequence[GuardedTracker] = ()


class CheckpointCallback(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint, then evaluates it: a kill during an evaluation costs the evaluation alone.

    Args:
        run: where checkpoints, evaluations and the log go.
        recipe: how often.
        limit: the number of optimizer steps.
        evaluates: what is evaluated, and how often.
        log: the log, and its clock.
        stops: signals that ask for a stop.
        begin: the checkpoint that the training resumes from, or None.
    """

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        *,
        limit: StepLimit,
        evaluates: DevEvaluations,
        log: LogCallback,
        stops: StopSignals,
        begin: checkpoint.Checkpoint | None,
    ) -> None:
        self.run, self.limit, self._recipe = run, limit, recipe
        self._dev_set, self._interval, self._trackers = evaluates.dev_set, evaluates.interval, evaluates.trackers
        self._log, self._stops, self._begin = log, stops, begin
        self._saved_at = time.monotonic()
        self.trainer: Any = None

    def attach(self, trainer: Any) -> None:
        """Attach to a trainer: write its checkpoints, and set its number of steps if that is known."""
        self.trainer = trainer
        trainer.write_checkpoint = self._write
        self.limit.attach(trainer)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Restore the trainer's progress from the checkpoint."""
        self._saved_at = time.monotonic()
        if self._begin is not None:
            self.trainer.restore(self._begin.progress())
        return control

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Request a checkpoint if one is due, and a stop after a signal."""
        self.limit.note_step(self.trainer, may_shrink=lambda: not self._evaluations())
        train = self._recipe.train
        minutes = train.save_minutes
        time_is_up = minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes
        stop, save = self.trainer.processes.sum(self._stops.received is not None, time_is_up)
        if stop:
            control.should_save = control.should_training_stop = True
        elif (
            save
            or state.global_step >= self.limit.steps
            or self._evaluation_is_due()
            or (train.save_steps is not None and state.global_step % train.save_steps == 0)
        ):
            control.should_save = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Evaluate the saved checkpoint, if an evaluation is due."""
        self.catch_up()
        if self.stops_here():
            control.should_training_stop = True
        return control

    def catch_up(self) -> None:
        """Evaluate the current model if an evaluation is due and is not in the log yet."""
        step = self.trainer.state.global_step
        if self._evaluation_is_due() and not any(evaluated.step == step for evaluated in self._evaluations()):
            self._evaluate(step)
        self._prune()

    def stops_here(self) -> bool:
        """Return whether no further step follows: all are made, early stopping applies, or a signal came."""
        return (
            self._stop_is_requested()
            or self.trainer.state.global_step >= self.limit.steps
            or stops_early(self._evaluations(), self._recipe.evaluation)
        )

    def is_complete(self) -> bool:
        """Return whether no step and no evaluation is left to do."""
        logged = self._evaluations()
        step = self.trainer.state.global_step
        if stops_early(logged, self._recipe.evaluation):
            return True
        return step >= self.limit.steps and (
            not self._evaluation_is_due() or any(evaluated.step == step for evaluated in logged)
        )

    def _evaluations(self) -> list[Evaluated]:
        return self.trainer.processes.of_first(lambda: evaluations(self.run.log_path))

    def _stop_is_requested(self) -> bool:
        return self.trainer.processes.any(self._stops.received is not None)

    def _evaluation_is_due(self) -> bool:
        step = self.trainer.state.global_step
        if self._dev_set is None or not self._interval or not step:
            return False
        return step % self._interval == 0 or step >= self.limit.steps

    def _evaluate(self, step: int) -> None:
        if self._dev_set is None or self._stop_is_requested():
            return
        path = self.run.evaluations / f"{checkpoint.checkpoint_path(self.run.checkpoints, step).name}.jsonl"
        for tracker in self._trackers:  # after a resume the evaluation may come before the library starts them
            tracker.on_train_begin(self.trainer.args, self.trainer.state, self.trainer.control)
        began = time.monotonic()
        # Random numbers drawn by an evaluation must not change the training that continues after it.
        with torch.random.fork_rng():
            result = self._rows_of_dev().evaluate(self.trainer, path, self._stop_is_requested)
        if result is not None:
            figures, samples = result
            self.trainer.log(dict(figures))
            self._log.flush()  # before a checkpoint is removed because of this evaluation
            for tracker in self._trackers:
                tracker.show_samples(step, samples)
            trainer = self.trainer
            trainer.callback_handler.on_evaluate(trainer.args, trainer.state, trainer.control, dict(figures))
        self._pause(time.monotonic() - began)

    def _pause(self, seconds: float) -> None:
        self.trainer.paused += seconds
        self.trainer.paused_in_all += seconds

    @property
    def evaluates_all(self) -> bool:
        """Whether evaluations have all the rows that the recipe asks for."""
        return (
            self._dev_set is None
            or self.limit.fixed is None
            or self.limit.fixed.rows == len(self._dev_set.prompts)
        )

    def _rows_of_dev(self) -> DevSet:
        """Return the dialogues to evaluate: fewer if the budget has no time for all of them."""
        assert self._dev_set is not None
        fixed = self.limit.fixed
        return self._dev_set if fixed is None else self._dev_set.first(fixed.rows)

    def _write(self) -> None:
        began = time.monotonic()
        self._log.flush()
        checkpoint.save(self.run.checkpoints, self.trainer, self.trainer.progress())
        self._prune()
        self._saved_at = time.monotonic()
        self._pause(self._saved_at - began)

    def _prune(self) -> None:
        if not self.trainer.processes.is_first:
            return
        kept = {saved.step for saved in checkpoint.checkpoints(self.run.checkpoints)}
        candidates = [evaluated for evaluated in evaluations(self.run.log_path) if evaluated.step in kept]
        best = pick(candidates, self._recipe.evaluation)
        checkpoint.prune(
            self.run.checkpoints, self._recipe.train.keep_checkpoints, set() if best is None else {best}
        )
