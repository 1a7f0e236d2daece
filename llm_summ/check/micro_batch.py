"""The micro batch that takes most memory.

An order such as the trainer draws is drawn for all epochs: with `group_by_length` the longest rows come together,
without it that is unlikely, and the worst of a few hundred micro batches is far from the longest rows of all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from llm_summ.recipe import TrainFields

__all__ = ["MicroBatch", "worst_micro_batch"]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """The shape of a micro batch.

    Attributes:
        rows: b.
        length: s, of its longest row, to which the others are padded.
        positions: k, the positions at which any of its rows has a label.
        learnt: n, the labels of all its rows.
    """

    rows: int
    length: int
    positions: int
    learnt: int


_EPOCHS = 3


def worst_micro_batch(
    lengths: Sequence[tuple[int, int]], train: TrainFields, seed: int, cost: Callable[[MicroBatch], float]
) -> MicroBatch:
    """The micro batch that costs most among those of the first three epochs: more find little that is worse.

    Args:
        lengths: tokens of the prompt and of the answer (with its stop token) of every row; at least one.
        train: sizes of batches, epochs, and whether rows of like length come together.
        seed: of the order.
        cost: what a micro batch takes.
    """
    generator = random.Random(seed)
    batches = [
        batch
        for _ in range(min(math.ceil(train.epochs), _EPOCHS))
        for batch in _micro_batches(lengths, train, generator)
    ]
    return max(batches, key=cost)


def _micro_batches(
    lengths: Sequence[tuple[int, int]], train: TrainFields, generator: random.Random
) -> Iterator[MicroBatch]:
    order = generator.sample(lengths, len(lengths))
    if train.group_by_length:  # as transformers' LengthGroupedSampler does it
        group = train.batch_size * max(1, min(len(order) // (4 * train.batch_size), 50))
        groups = [sorted(order[at : at + group], key=sum, reverse=True) for at in range(0, len(order), group)]
        longest = max(range(len(groups)), key=lambda index: sum(groups[index][0]))
        groups[0][0], groups[longest][0] = groups[longest][0], groups[0][0]
        order = [row for rows in groups for row in rows]
    for at in range(0, len(order), train.micro_batch_size):
        rows = order[at : at + train.micro_batch_size]
        yield MicroBatch(
            rows=len(rows),
            length=max(map(sum, rows)),
            # Rows are padded on the right: a label stands where it stands in its own row.
            positions=len({place for prompt, answer in rows for place in range(prompt, prompt + answer)}),
            learnt=sum(answer for _, answer in rows),
        )
