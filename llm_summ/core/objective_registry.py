"""The registry of objectives: the values of a recipe's `train.objective`. No objective is imported here.

A new objective is a module with a class or function that takes `ObjectiveInputs` and returns an `Objective`
(`llm_summ.train.objectives`), and one entry in `OBJECTIVES`. An objective of another package is not named here:
that package declares an entry point of the group ``llm_summ.objectives`` whose value is an `ObjectiveSpec`, or a
program calls `OBJECTIVES.register`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_summ.core.registry import Registry, load_late

__all__ = ["OBJECTIVES", "ObjectiveSpec"]


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """An objective that can be named in a recipe.

    Attributes:
        name: used in recipes.
        constructor: ``module:name`` of what takes `ObjectiveInputs` and returns an `Objective`; imported when a
            training begins.
    """

    name: str
    constructor: str

    def load(self) -> Any:
        """Import and return the constructor.

        Raises:
            InputError: it does not exist.
        """
        return load_late(self.constructor, f"train.objective: {self.name}", "class of an Objective")


OBJECTIVES = Registry(
    "objective",
    "llm_summ.objectives",
    ObjectiveSpec,
    [ObjectiveSpec("sft", "llm_summ.train.objectives.completion_loss:sft")],
)
"""All objectives."""
