"""The examples of a step at a time, for the library's loop."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader

from llm_summ.plan.step_batches import StepBatchSampler
from llm_summ.recipe import TrainFields
from llm_summ.train.objectives import Objective
from llm_summ.train.process_group import ProcessGroup

__all__ = ["as_they_are", "step_loader"]


class StepLoader(DataLoader):  # type: ignore[misc]
    """Yields the examples of one step at a time, not collated."""

    def set_epoch(self, epoch: int) -> None:
        """Use the order of this epoch from now on."""
        self.batch_sampler.set_epoch(epoch)


def step_loader(objective: Objective, train: TrainFields, seed: int, processes: ProcessGroup) -> StepLoader:
    """Return the steps of an epoch; every process draws the same, and takes its share.

    Args:
        objective: has the examples, and their lengths.
        train: sets the examples of a step, and whether they are grouped by length.
        seed: of the order.
        processes: the processes that train together.
    """
    steps = StepBatchSampler(
        [objective.length(example) for example in objective.examples],
        train.batch_size,
        seed=seed,
        grouped=train.group_by_length,
        rank=processes.rank,
        world=processes.world,
    )
    # A separate generator: PyTorch draws a number for every pass, and would change the dropout otherwise.
    return StepLoader(objective.examples, batch_sampler=steps, collate_fn=as_they_are, generator=torch.Generator())


def as_they_are(examples: list[Any]) -> list[Any]:
    """Return examples not collated: the trainer cuts a step into micro batches first."""
    return examples
