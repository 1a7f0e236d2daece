"""All that a training needs: the plan, and how it is carried out on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.errors import InputError
from llm_summ.core.optional_packages import quiet_libraries, require_training
from llm_summ.models.start_adapter import find_start
from llm_summ.plan.duration import TrainingTime
from llm_summ.plan.training_plan import TrainingPlan, make_plan
from llm_summ.recipe import Recipe
from llm_summ.runs.run import Run

__all__ = ["TrainingSetup", "set_up"]


@dataclass(frozen=True)
class TrainingSetup:
    """A plan, and how it is carried out.

    Attributes:
        plan: the training's data, examples, steps and device.
        micro_batch_size: rows at a time at the start.
        dequantized: bytes of 4-bit weights that are kept dequantized on a CPU.
        time: the estimated duration; None: there is none.
        start: the run whose adapter the training starts with; None: it starts with a new one.
    """

    plan: TrainingPlan
    micro_batch_size: int
    dequantized: int = 0
    time: TrainingTime | None = None
    start: Run | None = None


def set_up(recipe: Recipe, runs: Path | None) -> TrainingSetup:
    """Return the setup of a training that is not checked: neither memory nor duration is estimated.

    Args:
        recipe: the recipe.
        runs: the folder of all runs, which has `train.from_run`; None: `train.from_run` is ignored.

    Raises:
        InputError: the training could not start; a line for each reason.
    """
    require_training()
    quiet_libraries()
    plan = make_plan(recipe)
    if plan.failures:
        raise InputError("\n".join(plan.failures))
    start = None if runs is None else find_start(recipe, runs, plan.location)
    return TrainingSetup(plan, plan.micro_batch_size, start=start)
