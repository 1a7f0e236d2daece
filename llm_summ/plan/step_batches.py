"""Draw the rows of optimizer steps, and cut a step's rows into micro batches.

The rows of a step are drawn here, by seed and epoch alone, so that neither the micro batch, nor the number of
devices, nor a resumption changes which rows are in which step.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

__all__ = ["StepBatchSampler", "draw_steps", "micro_batches"]

T = TypeVar("T")

_STEPS_SORTED_TOGETHER = 50


def draw_steps(
    lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int, grouped: bool
) -> list[list[int]]:
    """Return the rows of every step of an epoch.

    Args:
        lengths: tokens of each row, shape (n,).
        batch_size: rows of a step; the last step has the rest.
        seed: of the order.
        epoch: from 0; every epoch has a different order.
        grouped: whether to group rows by length: the rows of 50 steps, drawn at random, are sorted by length and
            cut into steps, and the steps are shuffled again. The first step of all then has the longest row, so
            that out-of-memory surfaces at once.

    Returns:
        indexes of rows, shape (ceil(n / batch_size), batch_size); every row is in it once.
    """
    generator = random.Random(f"{seed}/{epoch}")
    order = generator.sample(range(len(lengths)), len(lengths))
    if not grouped:
        return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    steps = []
    for first in range(0, len(order), _STEPS_SORTED_TOGETHER * batch_size):
        group = sorted(order[first : first + _STEPS_SORTED_TOGETHER * batch_size], key=lambda row: -lengths[row])
        steps += [group[start : start + batch_size] for start in range(0, len(group), batch_size)]
    # A step with fewer rows was cut last, and stays the last one.
    last = [steps.pop()] if len(steps[-1]) < batch_size else []
    generator.shuffle(steps)
    if epoch == 0 and steps:
        longest = max(range(len(steps)), key=lambda step: max(lengths[row] for row in steps[step]))
        steps.insert(0, steps.pop(longest))
    return steps + last


class StepBatchSampler:
    """A batch sampler for PyTorch's `DataLoader` that yields one step's rows at a time.

    Args:
        lengths: tokens of each row; at least one.
        batch_size: rows of a step, over all devices.
        seed: of the order.
        grouped: as for `draw_steps`.
        rank: of this process, from 0.
        world: number of processes; each gets every `world`-th row of a step, and of a short step maybe none.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, *, seed: int, grouped: bool, rank: int = 0, world: int = 1
    ) -> None:
        self._lengths, self._batch_size, self._seed, self._grouped = lengths, batch_size, seed, grouped
        self._rank, self._world, self._epoch = rank, world, 0

    def __len__(self) -> int:
        return math.ceil(len(self._lengths) / self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        steps = draw_steps(
            self._lengths, self._batch_size, seed=self._seed, epoch=self._epoch, grouped=self._grouped
        )
        for step in steps:
            yield step[self._rank :: self._world]

    def set_epoch(self, epoch: int) -> None:
        """Use the order of this epoch from now on."""
        self._epoch = epoch


def micro_batches(rows: Sequence[T], size: int, length: Callable[[Any], int] = len) -> list[list[T]]:
    """Cut a step's rows into micro batches of rows of similar length, the longest first.

    Args:
        rows: rows of one step.
        size: rows of a micro batch.
        length: tokens of a row.
    """
    ordered = sorted(rows, key=lambda row: -length(row))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
