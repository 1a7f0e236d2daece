"""What a score is worth: floors that anything reaches, and rows that stand beside the wrong dialogue.

Floors: what a sentence that fits every dialogue scores, and what these summaries score as other dialogues'.

Misaligned rows: where the summaries of neighbouring rows fit better some rows further on, ids were counted though
they have gaps, or a row was lost or doubled. A summary gains what it scores beside the dialogue ``k`` rows further
on, less what it scores beside its own. For each ``k`` the run of rows is found with the largest sum of gains above
5 points (Kadane's algorithm; Bentley, "Programming Pearls", column 8). It is believed if it has at least 10 rows
and the mean of its gains is at least 5 standard errors, by the deviation of the run's gains or of the other rows',
whichever is larger. On real predictions of 32 to 499 rows, of which the last were off by one, it found 16 rows in
79 to 99 % of the cases, 12 in 42 to 74 %, 10 in 3 to 16 %, and nothing in aligned or shuffled files.

Another order: all summaries are also tried in the orders that ids may have been sorted into.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean, pvariance
from typing import Any

from llm_summ.data.stats import SideBySide
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.morphemes import Tokenizer
from llm_summ.score.batch import TextBatch
from llm_summ.score.corpus import Aggregate, combine
from llm_summ.score.rouge import Variant

__all__ = ["TEMPLATE", "Floors", "Misaligned", "Reordered", "find_floors"]

TEMPLATE = "#Person1#은 #Person2#에게 질문을 하고, #Person2#는 이에 대해 설명합니다."
"""A summary of any dialogue: Person1 asks Person2 something, Person2 explains it."""

_NEAR = 3.0  # points
_SHIFTS = (1, -1, 2, -2, 3, -3)
_FEWEST, _LEAST_GAIN, _STANDARD_ERRORS = 10, 5.0, 5.0


@dataclass(frozen=True, slots=True)
class Misaligned:
    """Neighbouring rows whose summaries fit other rows better than their own.

    Attributes:
        shift: how many rows further on (below 0: back) they fit better.
        first: id of the first; where the misalignment begins, give or take a row or two.
        last: id of the last.
        rows: how many they are.
        final: their mean score as they stand, from 0 to 100.
        shifted: their mean score where they fit better.
    """

    shift: int
    first: str
    last: str
    rows: int
    final: float
    shifted: float

    def __str__(self) -> str:
        count = f"{abs(self.shift)} row{'s' * (abs(self.shift) != 1)}"
        return (
            f"misaligned: {self.rows:,} summaries, from {self.first} to {self.last}, fit the dialogues {count} "
            f"further {'on' if self.shift > 0 else 'back'} ({self.shifted:.1f}) better than their own "
            f"({self.final:.1f}); were ids counted although some do not exist, or was a row lost or doubled? "
            "Take each id from the data"
        )


@dataclass(frozen=True, slots=True)
class Reordered:
    """Summaries that fit better in another order.

    Attributes:
        order: which.
        final: their mean score as they stand, from 0 to 100.
        ordered: their mean score in that order.
    """

    order: str
    final: float
    ordered: float

    def __str__(self) -> str:
        return (
            f"in another order: the summaries fit the dialogues {self.order} ({self.ordered:.1f}) better than "
            f"those beside which they stand ({self.final:.1f}); take each id from the data"
        )


@dataclass(frozen=True, slots=True)
class Floors:
    """The score of a file beside what anything would score; all from 0 to 100.

    Attributes:
        final: of the summaries.
        template: of the same sentence for every dialogue, `TEMPLATE`.
        shifted: of these summaries, each as the next dialogue's; None where there is but one row.
        misaligned: runs of rows that are beside the wrong dialogue.
        reordered: an order in which all rows fit better; None if there is none that was tried.
    """

    final: float
    template: float
    shifted: float | None
    misaligned: tuple[Misaligned, ...]
    reordered: Reordered | None = None

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {**asdict(self), "notes": self.notes(), "warnings": self.warnings()}

    def table(self) -> SideBySide:
        """For people: the floors under the score."""
        rows = [["these summaries", f"{self.final:.2f}"], ["one sentence for all", f"{self.template:.2f}"]]
        if self.shifted is not None:
            rows.append(["these, shifted by a row", f"{self.shifted:.2f}"])
        return SideBySide(["floors", "final"], rows)

    def notes(self) -> list[str]:
        """Which floor the score is near, if any: weak summaries are there too, so it is no warning."""
        notes = []
        if self.final < self.template + _NEAR:
            notes.append(
                f"{self.final:.1f} is near the floor, or below it: one sentence for all dialogues scores "
                f"{self.template:.1f}"
            )
        if self.shifted is not None and not self.warnings() and self.final < self.shifted + _NEAR:
            notes.append(
                f"{self.final:.1f} is what the summaries score beside other dialogues, too ({self.shifted:.1f}): "
                "they say little of their own, or are in another order"
            )
        return notes

    def warnings(self) -> list[str]:
        """What is wrong with the rows, a line each."""
        return [str(self.reordered)] if self.reordered is not None else list(map(str, self.misaligned))


def find_floors(
    rows: Sequence[ScoredRow], *, variant: Variant, aggregate: Aggregate, tokenizer: Tokenizer
) -> Floors:
    """Find the floors under a score, and rows that are beside the wrong dialogue.

    Args:
        rows: in the order of the data, shape ``[at least 1]``.
        variant: the ROUGE package to agree with; it, `aggregate` and `tokenizer` as for the scores of the rows.
        aggregate: how to combine a dialogue's references.
        tokenizer: what splits the texts.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("no rows: expected at least one")
    # Rows from the first to the last of a range have a row `shift` further on.
    blocks = {
        shift: range(max(0, -shift), min(len(rows), len(rows) - shift))
        for shift in _SHIFTS
        if abs(shift) < len(rows)
    }
    pairs = [(len(rows), row) for row in range(len(rows))]
    pairs += [(row, row + shift) for shift, block in blocks.items() for row in block]
    orders = _orders([row.dialogue.id for row in rows])
    pairs += [pair for order in orders.values() for pair in enumerate(order)]
    references = [row.dialogue.references for row in rows]
    finals = _finals([*(row.summary for row in rows), TEMPLATE], references, pairs, variant, aggregate, tokenizer)
    final, template = fmean(row.score.final for row in rows), fmean(finals[: len(rows)])
    shifted = None
    misaligned = []
    start = len(rows)
    for shift, block in blocks.items():
        there = finals[start : start + len(block)]
        start += len(block)
        if shift == 1:
            shifted = fmean(there)
        if (found := _misaligned(rows[block.start : block.stop], there, shift)) is not None:
            misaligned.append(found)
    reordered: Reordered | None = None
    for name, order in orders.items():
        there = finals[start : start + len(order)]
        start += len(order)
        gains = [other - row.score.final for row, other in zip(rows, there, strict=True)]
        if len(rows) >= _FEWEST and _is_gain(gains, pvariance(gains)):
            gained = Reordered(name, final, fmean(there))
            reordered = max(filter(None, (reordered, gained)), key=lambda found: found.ordered)
    return Floors(final, template, shifted, tuple(misaligned), reordered)


def _orders(ids: Sequence[str]) -> dict[str, list[int]]:
    """Which row's dialogue each summary would belong to, had the ids been in another order than they are."""
    rows = range(len(ids))
    found: dict[str, list[int]] = {"in reverse order": list(reversed(rows))}
    for name, order in (
        ("as texts", sorted(rows, key=lambda row: ids[row])),
        ("by their numbers", sorted(rows, key=lambda row: _natural(ids[row]))),
    ):
        found[f"in the order of ids that are sorted {name}"] = order
        # The other way round: the summaries are in the data's order, the ids beside them are sorted.
        found[f"whose places their ids have if they are sorted {name}"] = sorted(rows, key=order.__getitem__)
    return {name: order for name, order in found.items() if order != list(rows)}


def _natural(identity: str) -> list[tuple[int, str]]:
    """A key that puts test_9 before test_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", identity)]


def _is_gain(gains: Sequence[float], variance: float) -> bool:
    """Whether rows gain enough, and too much for chance."""
    return fmean(gains) >= max(_LEAST_GAIN, _STANDARD_ERRORS * sqrt(variance / len(gains)))


def _finals(
    summaries: Sequence[str],
    references: Sequence[Sequence[str]],
    pairs: Sequence[tuple[int, int]],
    variant: Variant,
    aggregate: Aggregate,
    tokenizer: Tokenizer,
) -> list[float]:
    """What `score_corpus` gives for pairs of a summary and a row of references; each text is prepared once."""
    import numpy as np

    texts = [*summaries, *(text for row in references for text in row)]
    counts = np.array(list(map(len, references)))
    places = np.split(np.arange(len(summaries), len(texts)), counts.cumsum()[:-1])
    own, other = np.array(pairs).T
    counts = counts[other]
    batch = TextBatch([tokenizer(text) for text in texts], variant)
    f1 = batch.compare(own.repeat(counts), np.concatenate([places[row] for row in other])).f1
    combined = combine(f1, counts, aggregate)
    found: list[float] = (100 * combined.mean(axis=1)).tolist()
    return found


def _misaligned(rows: Sequence[ScoredRow], there: Sequence[float], shift: int) -> Misaligned | None:
    """The run of rows that gain most, if it is to be believed."""
    here = [row.score.final for row in rows]
    gains = [other - own for own, other in zip(here, there, strict=True)]
    first, end = _largest_sum([gain - _LEAST_GAIN for gain in gains])
    run = gains[first:end]
    # Not of all gains together: the step between the run and the other rows is what is looked for.
    variance = max(pvariance(part) for part in (run, gains[:first] + gains[end:]) if part)
    if len(run) < _FEWEST or not _is_gain(run, variance):
        return None
    return Misaligned(
        shift=shift,
        first=rows[first].dialogue.id,
        last=rows[end - 1].dialogue.id,
        rows=len(run),
        final=fmean(here[first:end]),
        shifted=fmean(there[first:end]),
    )


def _largest_sum(values: Sequence[float]) -> tuple[int, int]:
    """Where the neighbouring values begin and end whose sum is largest; ``(0, 0)`` if none is above 0."""
    largest = running = 0.0
    found = (0, 0)
    start = 0
    for place, value in enumerate(values):
        if running <= 0:
            running, start = 0.0, place
        running += value
        if running > largest:
            largest, found = running, (start, place + 1)
    return found
