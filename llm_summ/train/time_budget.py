"""The number of steps that fit into `train.max_minutes`, computed after a few steps and at half of the time.

The number is stored with the run, so that a resumed training ends where it would have ended. A training that was
killed before half of its time keeps the first number.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llm_summ.models.duration import ModelSize
from llm_summ.models.machine_speed import MachineSpeed
from llm_summ.plan.duration import TrainingTime
from llm_summ.plan.step_batches import draw_steps
from llm_summ.plan.training_plan import TrainingPlan
from llm_summ.prompt import TokenizedExample
from llm_summ.runs.manifest import Budget, Manifest

__all__ = ["FixedSteps", "StepLimit", "TimeBudget", "at_evaluation", "by_tokens", "fitting"]

_MEASURED_STEPS, _MEASURED_SHARE = 3, 0.08  # the first of them warms up, and does not count
# Shares of the budget after which the steps are computed again, and of the steps that a change must exceed.
_AGAIN, _APART = 0.5, 0.05
_FOR_EVALUATIONS = 0.3  # of the budget: if evaluations need more, fewer dialogues are evaluated
_FEWEST_ROWS = 4
_FEW_STEPS = 0.25  # of the interval between evaluations
_TO_FINISH, _TO_FINISH_SHARE = 3.0, 0.01  # seconds, and a share of the budget, for the result's files
_TO_SAVE = 1.0  # seconds to write a checkpoint


@dataclass(frozen=True, slots=True)
class FixedSteps:
    """The steps and evaluations that fit into a budget.

    Attributes:
        steps: optimizer steps of the training.
        rows: dialogues of an evaluation.
        fixed_at: the step after which this was computed. Up to there the learning rate was that of a training of
            `all_steps`.
        all_steps: of the training without a budget.
        earlier: `fixed_at` and `steps` of earlier results that were replaced.
    """

    steps: int
    rows: int
    fixed_at: int
    all_steps: int
    earlier: tuple[tuple[int, int], ...] = ()

    def stages(self) -> list[tuple[float, int]]:
        """Return the planned totals of steps in turn, each with the last step for which it was planned."""
        changes = [*self.earlier, (self.fixed_at, self.steps)]
        totals = [self.all_steps, *(steps for _, steps in changes)]
        return list(zip([*(step for step, _ in changes), math.inf], totals, strict=True))

    @classmethod
    def of(cls, manifest: Manifest) -> FixedSteps | None:
        """Return what a run's manifest records; None: nothing was fixed."""
        budget = manifest.budget
        if budget is None:
            return None
        return cls(budget.steps, budget.rows, budget.fixed_at, budget.all_steps, budget.earlier)

    def to_manifest(self, minutes: float) -> Budget:
        """Return the manifest's record."""
        return Budget(minutes=minutes, **asdict(self))


class TimeBudget:
    """Measures the first steps of a training, and computes how many fit.

    Args:
        minutes: for everything from `began` to the result.
        began: the start, on the clock of `time.monotonic`.
        plan: of the training.
        expected: the durations of steps and evaluations in relation to each other.
        prompts: of the dialogues that are evaluated; empty: nothing is evaluated.
        completions: their references.
    """

    def __init__(
        self,
        minutes: float,
        began: float,
        plan: TrainingPlan,
        expected: TrainingTime,
        prompts: Sequence[TokenizedExample],
        completions: Sequence[Sequence[TokenizedExample]],
    ) -> None:
        self._seconds, self._began, self._plan, self._expected = 60 * minutes, began, plan, expected
        self._prompts, self._completions = prompts, completions
        self._first, self._first_at, self._steps = 0, 0.0, 0
        self._fixed: FixedSteps | None = None
        self._is_final = False

    def note_step(self, step: int, paused: float) -> None:
        """Note that a step was made.

        Args:
            step: its number, from 1.
            paused: seconds since the training began in which nothing was trained.
        """
        self._steps += 1
        if self._steps == 1:
            self._first, self._first_at = step, time.monotonic() - paused

    def is_due(self) -> bool:
        """Return whether to call `fix`: at first when enough steps are measured, then at half of the time."""
        spent = time.monotonic() - self._began
        if self._fixed is None:
            return self._steps >= _MEASURED_STEPS and spent >= _MEASURED_SHARE * self._seconds
        return not self._is_final and spent >= _AGAIN * self._seconds

    def fix(self, step: int, paused: float, *, may_shrink: bool) -> FixedSteps:
        """Return what fits into the rest of the time; the second call may return the first result unchanged.

        Args:
            step: the number of steps made.
            paused: as for `note_step`.
            may_shrink: whether fewer dialogues may be evaluated; only before the first evaluation, so that all
                scores can be compared.
        """
        expected = list(itertools.islice(self._step_seconds(), self._plan.all_steps))
        measured = time.monotonic() - paused - self._first_at
        # The measured speed compared with the expected one.
        factor = measured / max(sum(expected[self._first : step]), 1e-9)
        left = self._seconds * (1 - _TO_FINISH_SHARE) - _TO_FINISH - (time.monotonic() - self._began)
        before = self._fixed
        rows = len(self._prompts) if before is None else before.rows
        while True:
            evaluation = _TO_SAVE
            if rows:
                evaluation += factor * self._expected.evaluation(self._prompts[:rows], self._completions[:rows])
            steps, evaluations = fitting(
                left,
                [factor * seconds for seconds in expected[step:]],
                evaluation=evaluation,
                interval=self._plan.evaluation_interval,
                done=step,
            )
            # 0 evaluations: not even the next step and an evaluation of all rows fit.
            share = max(1, evaluations) * evaluation / self._seconds
            is_enough = share <= _FOR_EVALUATIONS and evaluations > 0
            if is_enough or rows <= _FEWEST_ROWS or not may_shrink or before is not None:
                if steps < self._plan.all_steps:
                    steps = at_evaluation(steps, self._plan.evaluation_interval, step)
                return self._keep(steps, rows, step)
            rows = max(_FEWEST_ROWS, min(rows - 1, int(rows * min(1.0, _FOR_EVALUATIONS / share))))

    def _keep(self, steps: int, rows: int, step: int) -> FixedSteps:
        """Return the new result, or the earlier one if that is nearly the same."""
        before = self._fixed
        if before is None:
            self._fixed = FixedSteps(steps, rows, step, self._plan.all_steps)
            return self._fixed
        self._is_final = True
        if abs(steps - before.steps) > _APART * before.steps:
            self._fixed = FixedSteps(
                steps, rows, step, before.all_steps, (*before.earlier, (before.fixed_at, before.steps))
            )
        return self._fixed or before

    def _step_seconds(self) -> Iterator[float]:
        """Yield the expected duration of each step, in the order of the training."""
        plan = self._plan
        train, lengths = plan.recipe.train, [len(row) for row in plan.rows]
        for epoch in itertools.count():
            for indexes in draw_steps(
                lengths, train.batch_size, seed=plan.recipe.seed, epoch=epoch, grouped=train.group_by_length
            ):
                yield self._expected.step([plan.rows[index] for index in indexes])


class StepLimit:
    """The number of steps of a training; a time budget may fix another one while the training runs.

    Args:
        steps: optimizer steps of the whole training.
        fixed: what fits into a budget of time, if that is known already.
        budget: computes what fits; None: the recipe has no budget, or what fits is known and no longer changes.
        keep: called with what was computed.
    """

    def __init__(
        self, steps: int, fixed: FixedSteps | None, budget: TimeBudget | None, keep: Callable[[FixedSteps], None]
    ) -> None:
        self.steps, self.fixed = steps, fixed
        self._budget, self._keep = budget, keep

    def attach(self, trainer: Any) -> None:
        """Set a trainer's number of steps, if what fits is known."""
        if self.fixed is not None:
            trainer.fix_steps(self.fixed)

    def note_step(self, trainer: Any, *, may_shrink: Callable[[], bool]) -> None:
        """Note that a step was made, and fix the number of steps as soon as the number that fits is known.

        Args:
            trainer: made the step.
            may_shrink: as for `TimeBudget.fix`; every process calls it.
        """
        budget, step, paused = self._budget, trainer.state.global_step, trainer.paused_in_all
        if budget is None or step >= self.steps:  # at the last step the library has already ended its loop
            return
        budget.note_step(step, paused)
        if not trainer.processes.of_first(budget.is_due):
            return
        shrinks = may_shrink()
        fixed = trainer.processes.of_first(lambda: budget.fix(step, paused, may_shrink=shrinks))
        if fixed == self.fixed:
            return
        self.fixed, self.steps = fixed, fixed.steps
        trainer.fix_steps(fixed)
        self._keep(fixed)


def fitting(
    left: float, steps: Sequence[float], *, evaluation: float, interval: int, done: int
) -> tuple[int, int]:
    """Return the total of steps that fit into a time, and the number of evaluations in it.

    Args:
        left: seconds that are left.
        steps: seconds of every step that could follow.
        evaluation: seconds of one evaluation; the last step always has one.
        interval: steps between evaluations; 0: only the last step has one.
        done: the number of steps made.
    """
    fits, evaluations, used = done, 0, 0.0
    for step, seconds in enumerate(steps, done + 1):
        used += seconds
        # At every multiple of the interval before this step, and at this step if it is the last.
        count = 1 + ((step - 1) // interval - done // interval if interval else 0)
        # Once a step does not fit, no later one does: the time that is needed only grows.
        if used + count * evaluation > left:
            break
        fits, evaluations = step, count
    return fits, evaluations


def at_evaluation(steps: int, interval: int, done: int) -> int:
    """Return the step to end at instead of `steps`: at an evaluation, if that was a few steps before.

    The last step always is evaluated, and an evaluation takes longer than a few steps.

    Args:
        steps: the total that fits.
        interval: steps between evaluations; 0: there are none.
        done: the number of steps made.
    """
    beyond = steps % interval if interval else 0
    return steps - beyond if beyond <= _FEW_STEPS * interval and steps - beyond > done else steps


def by_tokens(plan: TrainingPlan) -> TrainingTime:
    """Return relative durations by the number of tokens alone, for a model of unknown size."""
    return TrainingTime(
        plan.recipe, ModelSize(1, 0), MachineSpeed("", 1, 1.0, 1.0, 0.3, 1.0), "", 1, False, False, 1
    )
