"""Find orders in which all summaries, or whole batches of them, fit the dialogues better than in the present one.

Known orders: all summaries are tried in the orders that ids may have been sorted into, that outputs may have been
generated in (by length), and that several workers may have written.

Nearly by length: programs that generate in the order of lengths count tokens, which are not known here. Where the
lengths of the summaries follow their rows, each is compared with the dialogues of about the length that its row
has in such an order, and with the same number of dialogues of other lengths: the best of the former must score
higher.

Batches: blocks of neighbouring rows that fit their own dialogues only as well as chance are compared with each
other's dialogues, row by row in their order. Two blocks count as swapped if the mean gain of both is at least 5.5
standard errors; a single block counts as moved from 4.5 standard errors on if there is another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, pvariance
from typing import TYPE_CHECKING, Any

from llm_summ.core.word_tokenizers import Tokenizer
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.score.batch import TextBatch
from llm_summ.score.corpus import Aggregate, combine
from llm_summ.score.rouge import Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "FEWEST",
    "LEAST_GAIN",
    "PairFinals",
    "Reordered",
    "Swapped",
    "is_gain",
    "known_orders",
    "nearly_by_length",
    "swapped_batches",
]

FEWEST, LEAST_GAIN, _STANDARD_ERRORS = 10, 5.0, 5.0
_WORKERS = (2, 3, 4, 8)
_HINT = 3.0  # standard errors of a rank correlation
_COMPARED_ROWS = 200  # of a file, for lengths
_BATCHES = (8, 10, 12)  # rows; a batch of 16 or 32 is two or four of 8
_MOST_BLOCKS = 64
_DRAWN = 2000  # random blocks, for the gain by chance
_SURE_SWAP, _SURE_MOVE = 5.5, 4.5  # standard errors


@dataclass(frozen=True, slots=True)
class Reordered:
    """Summaries that fit better in another order.

    Attributes:
        order: a description of that order.
        final: their mean score in the present order, from 0 to 100.
        ordered: their mean score in that order.
    """

    order: str
    final: float
    ordered: float

    def __str__(self) -> str:
        return (
            f"in another order: the summaries fit the dialogues {self.order} ({self.ordered:.1f}) better than in "
            f"the present order ({self.final:.1f}); take each id from the data"
        )


@dataclass(frozen=True, slots=True)
class Swapped:
    """Batches of summaries that are matched to the dialogues of other batches.

    Attributes:
        rows: how many summaries are concerned, at least.
        first: id of the first of them.
        there: id of the dialogue that it fits.
        final: their mean score in the present order, from 0 to 100.
        swapped: their mean score where they fit.
    """

    rows: int
    first: str
    there: str
    final: float
    swapped: float

    def __str__(self) -> str:
        return (
            f"batches in another order: at least {self.rows:,} summaries, in blocks, from {self.first} on, fit "
            f"other blocks' dialogues ({self.swapped:.1f}), there from {self.there} on, better than their own "
            f"({self.final:.1f}); restore the order after generating, or take each id from the data"
        )


class PairFinals:
    """The scores of any summary with any dialogue, as by `score_corpus`; each text is prepared once.

    Args:
        summaries: shape ``[s]``.
        references: of each dialogue, shape ``[rows][at least 1]``.
        variant: the ROUGE package to agree with.
        aggregate: how to combine a dialogue's references.
        tokenizer: splits the texts.
    """

    def __init__(
        self,
        summaries: Sequence[str],
        references: Sequence[Sequence[str]],
        variant: Variant,
        aggregate: Aggregate,
        tokenizer: Tokenizer,
    ) -> None:
        import numpy as np

        texts = [*summaries, *(text for row in references for text in row)]
        self._counts = np.array(list(map(len, references)))
        self._places = np.split(np.arange(len(summaries), len(texts)), self._counts.cumsum()[:-1])
        self._batch = TextBatch([tokenizer(text) for text in texts], variant)
        self._aggregate: Aggregate = aggregate

    def __call__(self, pairs: Sequence[tuple[int, int]] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the final scores of pairs of a summary and a dialogue, from 0 to 100; shape ``[pairs]``."""
        import numpy as np

        if not len(pairs):
            return np.zeros(0)
        own, other = np.array(pairs).T
        counts = self._counts[other]
        compared = self._batch.compare(own.repeat(counts), np.concatenate([self._places[row] for row in other]))
        found: NDArray[np.float64] = 100 * combine(compared.f1, counts, self._aggregate).mean(axis=1)
        return found


def is_gain(gains: Sequence[float], variance: float) -> bool:
    """Return whether the mean gain is large enough, and larger than by chance."""
    return fmean(gains) >= max(LEAST_GAIN, _STANDARD_ERRORS * sqrt(variance / len(gains)))


def known_orders(rows: Sequence[ScoredRow]) -> dict[str, list[int]]:
    """Return, for each known order, which row's dialogue each summary would belong to if it was in that order."""
    ids = [row.dialogue.id for row in rows]
    texts = [row.dialogue.text for row in rows]
    places = range(len(rows))
    found: dict[str, list[int]] = {"in reverse order": list(reversed(places))}

    def sort(key: Callable[[int], Any], name: str, other_way: str) -> None:
        order = sorted(places, key=key)
        found[name] = order
        # The summaries are in the data's order, and their ids are sorted.
        found[other_way] = sorted(places, key=order.__getitem__)

    keys: dict[str, Callable[[str], Any]] = {"as texts": str, "by their numbers": _natural}
    for how, key in keys.items():
        sort(
            [key(identity) for identity in ids].__getitem__,
            f"in the order of ids that are sorted {how}",
            f"at the positions of their ids when sorted {how}",
        )
    for sign, end in ((1, ""), (-1, ", the longest first")):
        for unit, counts in (("characters", map(len, texts)), ("words", (len(text.split()) for text in texts))):
            lengths = [sign * count for count in counts]
            how = f"sorted by {unit}{end}"
            sort(lengths.__getitem__, how, f"at the positions of their rows when {how}")
    for workers in _WORKERS:
        if len(rows) > workers:
            found[f"in the order that {workers} workers write, if rows are assigned to them in turn"] = [
                row for worker in range(workers) for row in range(worker, len(rows), workers)
            ]
    return {name: order for name, order in found.items() if order != list(places)}


def _natural(identity: str) -> list[tuple[int, str]]:
    """Return a key that puts test_9 before test_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", identity)]


def nearly_by_length(rows: Sequence[ScoredRow], finals: PairFinals) -> Reordered | None:
    """Return whether the summaries are in the order of their dialogues' lengths, or nearly so."""
    import numpy as np

    n = len(rows)
    if n < FEWEST:
        return None
    summaries = np.array([len(row.summary.strip()) for row in rows])
    trend = _rank_correlation(np.arange(n), summaries)
    if abs(trend) * sqrt(n - 1) < _HINT:
        return None
    lengths = np.array([len(row.dialogue.text) for row in rows])
    order = np.argsort(lengths if trend > 0 else -lengths, kind="stable")
    width = max(3, n // 16)
    taken = np.arange(0, n, 1 + n // _COMPARED_ROWS)
    best = []
    for away in (0, n // 3, 2 * n // 3):
        near = order[(taken[:, None] + away + np.arange(-width, width + 1)) % n]
        pairs = np.stack([np.broadcast_to(taken[:, None], near.shape), near], axis=2).reshape(-1, 2)
        scores = finals(pairs).reshape(near.shape)
        best.append(np.where(near == taken[:, None], 0.0, scores).max(axis=1))
    gains = (best[0] - (best[1] + best[2]) / 2).tolist()
    if not is_gain(gains, pvariance(gains)):
        return None
    final = fmean(row.score.final for row in rows)
    return Reordered(
        f"in the order of their lengths, or nearly so{'' if trend > 0 else ', the longest first'}",
        final,
        final + fmean(gains),
    )


def _rank_correlation(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return Spearman's coefficient; ties are ranked in their order, which is harmless if there are few."""
    import numpy as np

    first, second = (np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def swapped_batches(rows: Sequence[ScoredRow], elsewhere: Sequence[float], finals: PairFinals) -> Swapped | None:
    """Return which blocks of rows are matched to each other's dialogues.

    Args:
        rows: in the order of the data.
        elsewhere: the summaries' scores with other dialogues.
        finals: the scores of other pairs.
    """
    results = [result for size in _BATCHES if (result := _swapped(rows, size, elsewhere, finals)) is not None]
    return max(results, key=lambda result: result.rows, default=None)


def _swapped(
    rows: Sequence[ScoredRow], size: int, elsewhere: Sequence[float], finals: PairFinals
) -> Swapped | None:
    import numpy as np

    own = np.array([row.score.final for row in rows])
    count = len(rows) // size
    if count < 2:
        return None
    blocks = own[: count * size].reshape(count, size)
    # A block that is matched to the wrong dialogues scores like other blocks with wrong dialogues.
    odd = np.flatnonzero(blocks.mean(axis=1) < (own.mean() + fmean(elsewhere)) / 2 + LEAST_GAIN)
    if len(odd) > _MOST_BLOCKS:
        odd = odd[np.argsort(blocks[odd].mean(axis=1), kind="stable")[:_MOST_BLOCKS]]
        odd.sort()
    if len(odd) < 2:
        return None
    first = odd * size
    step = np.arange(size)
    summaries = np.broadcast_to((first[:, None] + step)[:, None, :], (len(odd), len(odd), size))
    dialogues = np.broadcast_to((first[:, None] + step)[None, :, :], summaries.shape)
    there = finals(np.stack([summaries, dialogues], axis=3).reshape(-1, 2)).reshape(summaries.shape)
    gains = there - own[summaries]
    other = ~np.eye(len(odd), dtype=bool)
    mean = np.where(other, gains.mean(axis=2), -np.inf)
    # The gain of a block by chance, from scores with other dialogues
    drawn = np.random.default_rng(0).choice(np.array(elsewhere), (_DRAWN, size, 2))
    chance = _without_largest(drawn[:, :, 0] - drawn[:, :, 1])
    sure = np.where(other, (_without_largest(gains) - chance.mean()) / max(1e-9, chance.std()), -np.inf)
    moved: dict[int, int] = {}
    for block in range(len(odd)):
        to = int(sure[block].argmax())
        both = (sure[block, to] + sure[to, block]) / sqrt(2)
        swap = both >= _SURE_SWAP and mean[to, block] >= LEAST_GAIN
        if mean[block, to] >= LEAST_GAIN and (swap or sure[block, to] >= _SURE_MOVE):
            moved[block] = to
    # Where all rows are shuffled, two of very many blocks may fit by chance; where batches are, most blocks fit.
    fewest = 2 if own.mean() >= fmean(elsewhere) + LEAST_GAIN else max(2, len(odd) / 3)
    if len(moved) < fewest or len(set(moved.values())) < 2:
        return None
    return Swapped(
        rows=size * len(moved),
        first=rows[first[min(moved)]].dialogue.id,
        there=rows[first[moved[min(moved)]]].dialogue.id,
        final=float(np.mean([blocks[odd[block]].mean() for block in moved])),
        swapped=float(np.mean([there[block, to].mean() for block, to in moved.items()])),
    )


def _without_largest(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of blocks without their largest quarter, in which a row may be right by chance."""
    import numpy as np

    size = gains.shape[-1]
    found: NDArray[np.float64] = np.sort(gains, axis=-1)[..., : size - size // 4].mean(axis=-1)
    return found
