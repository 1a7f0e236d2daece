"""Compare a score with trivial baselines (floors), and find rows that are matched to the wrong dialogue.

Floors: the score of one sentence for all dialogues, and of these summaries as those of other dialogues.

Misaligned rows: where the summaries of neighbouring rows fit better some rows further on, ids were counted
although they have gaps, or a row was lost or duplicated. A summary's gain is its score with the dialogue ``k``
rows further on, minus its score with its own. For each ``k`` the run of rows with the largest sum of gains above 5
points is found (Kadane's algorithm; Bentley, "Programming Pearls", column 8). It is accepted if it has at least 10
rows and the mean of its gains is at least 5 standard errors, by the deviation of the run's gains or of the other
rows', whichever is larger. On real predictions of 32 to 499 rows, of which the last were off by one, it found 16
rows in 79 to 99 % of the cases, 12 in 42 to 74 %, 10 in 3 to 16 %, and nothing in aligned or shuffled files.

For another order of all summaries or of batches, see `orders.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance
from typing import Any

from llm_summ.core.formatting import counted
from llm_summ.core.records import JsonRecord, field_values
from llm_summ.core.tables import TextTable
from llm_summ.core.word_tokenizers import Tokenizer
from llm_summ.evaluate.orders import (
    FEWEST,
    LEAST_GAIN,
    PairFinals,
    Reordered,
    Swapped,
    is_gain,
    known_orders,
    nearly_by_length,
    swapped_batches,
)
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.score.corpus import Aggregate
from llm_summ.score.rouge import Variant

__all__ = ["TEMPLATE", "Baselines", "Misaligned", "Reordered", "find_baselines"]

TEMPLATE = "#Person1#은 #Person2#에게 질문을 하고, #Person2#는 이에 대해 설명합니다."
"""A summary of any dialogue: Person1 asks Person2 something, Person2 explains it."""

_NEAR = 3.0  # points
_SHIFTS = (1, -1, 2, -2, 3, -3)


@dataclass(frozen=True, slots=True)
class Misaligned:
    """Neighbouring rows whose summaries fit other rows better than their own.

    Attributes:
        shift: how many rows further on (below 0: back) they fit better.
        first: id of the first; the misalignment begins there, to within a row or two.
        last: id of the last.
        rows: how many they are.
        final: their mean score in the present order, from 0 to 100.
        shifted: their mean score where they fit better.
    """

    shift: int
    first: str
    last: str
    rows: int
    final: float
    shifted: float

    def __str__(self) -> str:
        count = counted(abs(self.shift), "row")
        return (
            f"misaligned: {self.rows:,} summaries, from {self.first} to {self.last}, fit the dialogues {count} "
            f"further {'on' if self.shift > 0 else 'back'} ({self.shifted:.1f}) better than their own "
            f"({self.final:.1f}); were ids counted although some do not exist, or was a row lost or duplicated? "
            "Take each id from the data"
        )


@dataclass(frozen=True, slots=True)
class Baselines(JsonRecord):
    """The score of a file compared with trivial baselines; all from 0 to 100.

    Attributes:
        final: of the summaries.
        template: of the same sentence for every dialogue, `TEMPLATE`.
        shifted: of these summaries, each as the next dialogue's; None for a single row.
        misaligned: runs of rows that are matched to the wrong dialogue.
        reordered: an order in which all rows fit better; None if no tried order does.
        swapped: batches of rows that fit each other's dialogues better; None if no batches do.
    """

    final: float
    template: float
    shifted: float | None
    misaligned: tuple[Misaligned, ...]
    reordered: Reordered | None = None
    swapped: Swapped | None = None

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {**field_values(self), "notes": self.notes(), "warnings": self.warnings()}

    def table(self) -> TextTable:
        """Return, for people, the floors under the score."""
        rows = [["these summaries", f"{self.final:.2f}"], ["one sentence for all", f"{self.template:.2f}"]]
        if self.shifted is not None:
            rows.append(["these, shifted by a row", f"{self.shifted:.2f}"])
        return TextTable(["floors", "final"], rows)

    def notes(self) -> list[str]:
        """Return which floor the score is near, if any: not a warning, since weak summaries are near it too."""
        notes = []
        if self.final < self.template + _NEAR:
            notes.append(
                f"{self.final:.1f} is near the floor, or below it: one sentence for all dialogues scores "
                f"{self.template:.1f}"
            )
        if self.shifted is not None and not self.warnings() and self.final < self.shifted + _NEAR:
            notes.append(
                f"{self.final:.1f} is near the summaries' score with other dialogues ({self.shifted:.1f}): they "
                "are not specific to their dialogues, or are in another order"
            )
        return notes

    def warnings(self) -> list[str]:
        """Return the problems of the rows, a line each."""
        if self.reordered is not None:
            return [str(self.reordered)]
        found = list(map(str, self.misaligned))
        return found if self.swapped is None or found else [str(self.swapped)]


def find_baselines(
    rows: Sequence[ScoredRow], *, variant: Variant, aggregate: Aggregate, tokenizer: Tokenizer
) -> Baselines:
    """Find the floors under a score, and rows that are matched to the wrong dialogue.

    Args:
        rows: in the order of the data, shape ``[at least 1]``.
        variant: the ROUGE package to agree with; it, `aggregate` and `tokenizer` as for the scores of the rows.
        aggregate: how to combine a dialogue's references.
        tokenizer: splits the texts.

    Raises:
        ValueError: `rows` is empty.
    """
    if not rows:
        raise ValueError("no rows: expected at least one")
    references = [row.dialogue.references for row in rows]
    score = PairFinals([*(row.summary for row in rows), TEMPLATE], references, variant, aggregate, tokenizer)
    final = fmean(row.score.final for row in rows)
    template = fmean(score([(len(rows), row) for row in range(len(rows))]))
    elsewhere: list[float] = []
    misaligned = []
    for shift in _SHIFTS:
        # Rows from the first to the last of the block have a row `shift` further on.
        block = range(max(0, -shift), min(len(rows), len(rows) - shift))
        there = score([(row, row + shift) for row in block]).tolist()
        if shift == 1:
            elsewhere = there
        if block and (found := _misaligned(rows[block.start : block.stop], there, shift)) is not None:
            misaligned.append(found)
    reordered: Reordered | None = None
    for name, order in known_orders(rows).items():
        there = score(list(enumerate(order))).tolist()
        gains = [other - row.score.final for row, other in zip(rows, there, strict=True)]
        if len(rows) >= FEWEST and is_gain(gains, pvariance(gains)):
            gained = Reordered(name, final, fmean(there))
            reordered = max(filter(None, (reordered, gained)), key=lambda found: found.ordered)
    if reordered is None and not misaligned:
        reordered = nearly_by_length(rows, score)
    swapped = None
    if reordered is None and not misaligned and elsewhere:
        swapped = swapped_batches(rows, elsewhere, score)
    return Baselines(
        final, template, fmean(elsewhere) if elsewhere else None, tuple(misaligned), reordered, swapped
    )


def _misaligned(rows: Sequence[ScoredRow], there: Sequence[float], shift: int) -> Misaligned | None:
    """Return the run of rows that gain most, if it passes the test for chance."""
    here = [row.score.final for row in rows]
    gains = [other - own for own, other in zip(here, there, strict=True)]
    first, end = _largest_sum([gain - LEAST_GAIN for gain in gains])
    run = gains[first:end]
    # Not of all gains together: that would include the step between the run and the other rows, which is sought.
    variance = max(pvariance(part) for part in (run, gains[:first] + gains[end:]) if part)
    if len(run) < FEWEST or not is_gain(run, variance):
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
    """Return begin and end of the neighbouring values with the largest sum; ``(0, 0)`` if no value is above 0."""
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
