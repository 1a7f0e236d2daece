"""Whether a score, or the lead of one system over another, could be chance.

All functions take the scores of the rows (``[row.final for row in score.per_row]``), since the corpus score is
their mean. The dialogues are treated as a random sample of those that a system may meet: an interval measures how
far the score would move with other dialogues, not with another seed or another training.

- Bootstrap interval of the mean, by percentiles: Efron and Tibshirani 1993, "An Introduction to the Bootstrap",
  chapter 13.
- Paired bootstrap: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation".
- Approximate randomisation: Noreen 1989, "Computer-Intensive Methods for Testing Hypotheses".

With few rows the bootstrap underestimates the spread: its intervals are too narrow and its p too small. On real
scores a 95 % interval contained the true score in 89 % of 2,000 trials with 10 rows, in 93 % with 30, and in 95 %
from 100 on; the bias-corrected one (BCa) gained less than a point. `Paired.p_randomisation` is valid for any
number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, isfinite
from typing import TYPE_CHECKING

from llm_summ.core.records import JsonRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "FEW_ROWS",
    "RESAMPLES",
    "SEED",
    "TIE",
    "Interval",
    "Paired",
    "as_array",
    "check_lengths",
    "interval",
    "paired",
    "row_differences",
]

RESAMPLES = 10_000
"""With this number, another seed moves an end of the interval by about 1/30 of the mean's standard error."""

SEED = 0

FEW_ROWS = 50
"""With fewer rows the bootstrap's intervals are too narrow, and its p too small."""

TIE = 1e-9
"""Two scores that differ by at most this are equal."""

_AT_ONCE = 2**18  # numbers drawn at once: fits a cache, and keeps the memory small for any number of rows


@dataclass(frozen=True, slots=True)
class Interval(JsonRecord):
    """The confidence interval of a score, on other dialogues of this kind.

    Attributes:
        low: its lower end.
        high: its upper end.
        confidence: the share of such intervals that contain the true score, between 0 and 1.
        resamples: how many resamples it is made from.
    """

    low: float
    high: float
    confidence: float
    resamples: int


@dataclass(frozen=True, slots=True)
class Paired(JsonRecord):
    """A second system compared with a first one, on the same dialogues.

    Attributes:
        difference: mean of the second system minus the first's.
        low: lower end of the difference's bootstrap interval.
        high: its upper end.
        confidence: of that interval.
        resamples: how many resamples, and how many random exchanges, the p are made from.
        p_bootstrap: two-sided paired bootstrap: twice the share of resamples in which the leader does not lead,
            2 (k + 1) / (n + 1), at most 1. Koehn 2004 gives the share of the other resamples, for one side.
            Except for rounding it is below 0.05 where a 95 % interval excludes 0, and nowhere else.
        p_randomisation: two-sided approximate randomisation: how often the difference is at least as large if
            each row's two scores are exchanged at random, (k + 1) / (n + 1).
        wins: rows in which the second system is better.
        ties: rows in which both are equal.
        losses: rows in which the second system is worse.
    """

    difference: float
    low: float
    high: float
    confidence: float
    resamples: int
    p_bootstrap: float
    p_randomisation: float
    wins: int
    ties: int
    losses: int

    def __str__(self) -> str:
        return f"{self.difference:+.2f}, 95 % {self.low:+.2f} to {self.high:+.2f}, p {self.p_randomisation:.3f}"

    @property
    def doubt(self) -> str:
        """A warning that the gain may be chance; empty where the interval is above 0."""
        return "" if self.low > 0 else "; the gain may be chance: the interval is not above 0"

    @property
    def tally(self) -> str:
        """Rows won, equal and lost."""
        return f"{self.wins}/{self.ties}/{self.losses}"


def interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    """Bootstrap interval of the mean, by percentiles.

    Args:
        values: the scores of the rows, shape ``[rows]``. Equal rows have no spread, and neither has a single row:
            both ends are then that score, and the interval is meaningless.
        confidence: between 0 and 1.
        resamples: how many; each has as many rows as there are.
        seed: of the resamples; the same seed gives the same interval.

    Raises:
        ValueError: `values` is empty, one is not a finite number, or an option is out of range.
    """
    array = as_array(values)
    means = _resampled_means(array, resamples, seed)
    low, high = _ends(means, confidence)
    return Interval(low, high, confidence, resamples)


def paired(
    a: Sequence[float],
    b: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Paired:
    """Compare two systems on the same dialogues.

    Args:
        a: the first system's scores of the rows, shape ``[rows]``.
        b: the second system's, of the same rows in the same order.
        confidence: of the difference's interval; between 0 and 1.
        resamples: how many, and how many random exchanges.
        seed: of both.

    Raises:
        ValueError: the systems have different numbers of rows, or `interval` would raise.
    """
    differences = row_differences(a, b)
    difference = fsum(differences) / len(differences)
    means = _resampled_means(differences, resamples, seed)
    low, high = _ends(means, confidence)
    not_ahead = min(int((means <= TIE).sum()), int((means >= -TIE).sum()))
    exchanged = _exchanged_means(differences, resamples, seed)
    as_large = int((abs(exchanged) >= abs(difference) - TIE).sum())
    wins, losses = int((differences > TIE).sum()), int((differences < -TIE).sum())
    return Paired(
        difference=difference,
        low=low,
        high=high,
        confidence=confidence,
        resamples=resamples,
        # Every resample of a single row is that row, which would look like certainty.
        p_bootstrap=min(1.0, 2 * (not_ahead + 1) / (resamples + 1)) if len(differences) > 1 else 1.0,
        p_randomisation=(as_large + 1) / (resamples + 1),
        wins=wins,
        ties=len(differences) - wins - losses,
        losses=losses,
    )


def as_array(values: Sequence[float]) -> Floats:
    """Return the scores of the rows as an array.

    Raises:
        ValueError: there are none, or one is not a finite number.
    """
    import numpy as np

    if not len(values):
        raise ValueError("no values: expected the score of at least one row")
    for index, value in enumerate(values):
        if not isfinite(value):
            raise ValueError(f"row {index}: found {value}; expected a finite number")
    return np.array(values, dtype=np.float64)


def row_differences(a: Sequence[float], b: Sequence[float]) -> Floats:
    """Return the second system's scores minus the first's, row by row.

    Raises:
        ValueError: the lists are empty, a value is not a finite number, or the numbers of rows differ.
    """
    first, second = as_array(a), as_array(b)
    check_lengths(len(first), len(second))
    return second - first


def check_lengths(first: int, second: int) -> None:
    """Check that two lists have a value for every row.

    Raises:
        ValueError: their lengths differ.
    """
    if first != second:
        raise ValueError(f"found {first} and {second} values: expected one of each for every row, in one order")


def _resampled_means(values: Floats, resamples: int, seed: int) -> Floats:
    """Return the means of samples with replacement, as large as the original; shape ``[resamples]``."""
    import numpy as np

    if resamples < 1:
        raise ValueError(f"resamples: found {resamples}; expected at least 1")
    rng = np.random.default_rng(seed)
    rows = len(values)
    means = np.empty(resamples)
    centred = values - values[0]  # so that equal rows have exactly their own mean
    each = max(1, _AT_ONCE // rows)
    for start in range(0, resamples, each):
        stop = min(start + each, resamples)
        drawn = rng.integers(rows, size=(stop - start, rows), dtype=np.uint32)
        means[start:stop] = centred[drawn].mean(axis=1)
    means += values[0]
    return means


def _exchanged_means(differences: Floats, resamples: int, seed: int) -> Floats:
    """Return mean differences after each row's two scores were exchanged at random; shape ``[resamples]``."""
    import numpy as np

    rng = np.random.default_rng(seed)
    rows = len(differences)
    means = np.empty(resamples)
    total = differences.sum()
    each = max(1, _AT_ONCE // rows)
    for start in range(0, resamples, each):
        stop = min(start + each, resamples)
        bits = rng.integers(256, size=(stop - start, -(-rows // 8)), dtype=np.uint8)
        exchanged = np.unpackbits(bits, axis=1, count=rows).astype(np.float64)
        means[start:stop] = (total - 2 * (exchanged @ differences)) / rows
    return means


def _ends(means: Floats, confidence: float) -> tuple[float, float]:
    import numpy as np

    if not 0 < confidence < 1:
        raise ValueError(f"confidence: found {confidence}; expected more than 0 and less than 1")
    low, high = np.quantile(means, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)
