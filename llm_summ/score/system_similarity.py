"""Find systems that write the same or nearly the same: an ensemble of them is hardly better than one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from llm_summ.core.records import JsonRecord
from llm_summ.score.batch import TextBatch
from llm_summ.score.metric import Metric

__all__ = ["SystemSimilarity", "find_similarities", "similarity_lines"]

_NEARLY, _MOST_EQUAL = 90.0, 0.5  # points, and the share of equal summaries


@dataclass(frozen=True, slots=True)
class SystemSimilarity(JsonRecord):
    """How similar two systems' summaries are.

    Attributes:
        first: name of the one, with its label.
        second: name of the other, likewise.
        equal: how many summaries are equal except for white space.
        agreement: the final score of the one with the other as its reference, mean of both ways, from 0 to 100.
        rows: how many summaries there are.
    """

    first: str
    second: str
    equal: int
    agreement: float
    rows: int

    def __str__(self) -> str:
        pair = f"{self.first} and {self.second}"
        if self.equal == self.rows:
            return f"{pair} are the same: all {self.rows:,} summaries are equal"
        equal = f"{self.equal:,} of {self.rows:,} summaries are equal"
        if self.nearly_same:
            return f"{pair} are nearly the same: {equal}, and they agree to {self.agreement:.1f}"
        return f"most similar: {pair} agree to {self.agreement:.1f}; {equal}"

    def json_fields(self) -> dict[str, Any]:
        """Return the pair for programs, the same wherever systems are compared."""
        return {
            "systems": [self.first, self.second],
            "equal": self.equal,
            "agreement": self.agreement,
            "nearly_same": self.nearly_same,
        }

    @property
    def nearly_same(self) -> bool:
        """Whether an ensemble of the two is hardly better than one of them."""
        return self.agreement >= _NEARLY or self.equal >= _MOST_EQUAL * self.rows


def similarity_lines(similarities: Sequence[SystemSimilarity], most: int) -> list[str]:
    """Return, for people, which systems are nearly the same, or else the most similar pair.

    That pair is shown with the range of the other pairs, for context.

    Args:
        similarities: every pair, the most similar first, as `find_similarities` gives them.
        most: the largest number of pairs to show.
    """
    if same := [pair for pair in similarities if pair.nearly_same]:
        return list(map(str, same[:most]))
    if len(similarities) < 2:
        return list(map(str, similarities))
    # None of them is the same, so they are in the order of their agreement.
    ends = dict.fromkeys(f"{pair.agreement:.1f}" for pair in (similarities[-1], similarities[1]))
    return [f"{similarities[0]}; the other pairs {' to '.join(ends)}"]


def find_similarities(
    names: Sequence[str], texts: Sequence[Sequence[str]], metric: Metric
) -> tuple[SystemSimilarity, ...]:
    """Compare every pair of systems: equal pairs first, then the others by descending agreement.

    Args:
        names: of the systems.
        texts: their summaries of the same dialogues, shape ``[systems][rows]``.
        metric: how to measure their agreement.
    """
    rows = len(texts[0])
    plain = [[" ".join(text.split()) for text in one] for one in texts]
    tokenizer = metric.tokenizer
    batch = TextBatch([tokenizer(text) for one in texts for text in one], metric.variant)
    found = []
    for first, second in combinations(range(len(names)), 2):
        equal = sum(one == other for one, other in zip(plain[first], plain[second], strict=True))
        own, other = (range(system * rows, (system + 1) * rows) for system in (first, second))
        agreement = 100 * float(batch.compare([*own, *other], [*other, *own]).f1.mean())
        found.append(SystemSimilarity(names[first], names[second], equal, agreement, rows))
    return tuple(sorted(found, key=lambda pair: (pair.equal < pair.rows, -pair.agreement)))
