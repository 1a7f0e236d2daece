"""Objectives: the losses that a training minimises, one module each.

To add one, write a module here, and a line in `OBJECTIVES` of `llm_summ.core.objective_registry`.
`StepTrainer` runs any of them: it draws the steps, cuts them into micro batches, halves these when memory runs
out, adds up the processes' gradients, and resumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llm_summ.core.objective_registry import OBJECTIVES
from llm_summ.models.families import ModelFamily
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import TrainFields

__all__ = ["Objective", "ObjectiveInputs", "make_objective"]


class Objective(Protocol):
    """A loss over examples.

    The loss of a step is the weighted mean over its examples: `loss` of all micro batches and processes, added up,
    and divided by the sum of the weights. So the gradient does not depend on how a step is cut.

    Attributes:
        examples: the training examples, from which steps are drawn; an example may be of any type.
    """

    examples: Sequence[Any]

    def length(self, example: Any) -> int:
        """Return the number of an example's tokens: examples of similar length are batched together."""

    def weight(self, example: Any) -> float:
        """Return how much an example counts; it must be known before the forward pass."""

    def prepare(self, model: Any) -> None:
        """Change the model before the first step, if that is needed; called once."""

    def loss(self, model: Any, examples: Sequence[Any]) -> Any:
        """Return the summed loss of a micro batch, a tensor of shape () with a gradient.

        Args:
            model: in training mode the loss has dropout and label smoothing; in evaluation mode it has neither.
            examples: at least one.
        """

    def log_fields(self) -> dict[str, float]:
        """Return further figures of the steps since the last call, for a line of the log."""


@dataclass(frozen=True, slots=True)
class ObjectiveInputs:
    """The inputs of an objective's constructor.

    Attributes:
        fields: the recipe's section `train`.
        examples: the training rows.
        family: of the base.
        pad_id: fills shorter rows.
        device: a torch device, of the model.
        sharded: whether each process holds a part of the base.
    """

    fields: TrainFields
    examples: Sequence[TokenizedExample]
    family: ModelFamily
    pad_id: int
    device: Any
    sharded: bool = False


def make_objective(inputs: ObjectiveInputs) -> Objective:
    """Return the objective that a recipe names.

    Raises:
        InputError: its code cannot be loaded.
    """
    objective: Objective = OBJECTIVES.get(inputs.fields.objective).load()(inputs)
    return objective
