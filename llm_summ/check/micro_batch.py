"""Find the micro batch that takes most memory.

The steps of the training are drawn (`llm_summ.plan.step_batches`), and each is cut into micro batches, as the
trainer does. With `group_by_length` the longest rows are in one micro batch. Without it that is unlikely, and the
worst of a few hundred micro batches is far from the longest rows of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm_summ.plan.step_batches import draw_steps, micro_batches
from llm_summ.recipe import TrainFields

__all__ = ["MicroBatch", "worst_micro_batch"]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """The shape of a micro batch.

    Attributes:
        rows: b.
        length: s, of its longest row, to which the others are padded.
        target_tokens: n, the labels of all its rows.
        packed: whether its one row consists of several rows of the data; it then needs a mask of (s, s).
    """

    rows: int
    length: int
    target_tokens: int
    packed: bool = False


_EPOCHS = 3


def worst_micro_batch(
    lengths: Sequence[tuple[int, int]],
    train: TrainFields,
    size: int,
    seed: int,
    cost: Callable[[MicroBatch], float],
) -> MicroBatch:
    """Return the most expensive micro batch of the first three epochs; later epochs hardly have worse ones.

    Args:
        lengths: tokens of the prompt and of the completion (with its stop token) of every row; at least one.
        train: sets the rows of a step, the epochs, and whether rows are grouped by length and packed.
        size: rows of a micro batch.
        seed: of the order.
        cost: returns a number that grows with the memory of a micro batch.
    """
    epochs, totals = train.epochs, [sum(row) for row in lengths]
    if train.max_steps is not None:
        epochs = train.max_steps / math.ceil(len(lengths) / train.batch_size)
    batches = {
        _shape(part, packing=train.packing)
        for epoch in range(min(math.ceil(epochs), _EPOCHS))
        for step in draw_steps(totals, train.batch_size, seed=seed, epoch=epoch, grouped=train.group_by_length)
        for part in micro_batches([lengths[row] for row in step], size, sum)
    }
    return max(batches, key=lambda batch: (cost(batch), batch.rows, batch.length, batch.target_tokens))


def _shape(rows: Sequence[tuple[int, int]], *, packing: bool) -> MicroBatch:
    target_tokens = sum(completion for _, completion in rows)
    if packing:
        return MicroBatch(1, sum(map(sum, rows)), target_tokens, packed=len(rows) > 1)
    return MicroBatch(len(rows), max(map(sum, rows)), target_tokens)
