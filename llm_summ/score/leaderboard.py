"""How reliable a public leaderboard is, where one part of the test set is public and the rest decides.

Only the organisers know which dialogues are public. So the rows are split at random, many times, into a public and
a private part, and the scores of the two parts are compared. This needs references for the rows that are split, so
the development set is used in place of the test set. With fewer references a row, scores spread more, and gaps are
wider than the test set's: on real predictions, 95 % were within 2.9 points with one reference and within 1.9 with
three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_summ.core.records import JsonRecord
from llm_summ.score.significance import SEED, TIE, as_array, row_differences

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["DRAWS", "Lead", "Leaderboard", "Worth", "simulate", "simulate_lead", "worth"]

DRAWS = 10_000

_AT_ONCE = 2**18  # numbers shuffled at once: memory does not grow with the rows


@dataclass(frozen=True, slots=True)
class Leaderboard(JsonRecord):
    """How far apart one system's public and private scores are, over random splits of its rows.

    Attributes:
        score: mean of all rows.
        public_rows: how many rows are public.
        private_rows: how many are not.
        draws: how many splits were drawn.
        spread: standard deviation of private minus public, in points.
        median_gap: the median distance of the two scores, in points.
        gap95: 95 % of the splits have at most this distance.
        worst: the largest distance of all splits.
    """

    score: float
    public_rows: int
    private_rows: int
    draws: int
    spread: float
    median_gap: float
    gap95: float
    worst: float


@dataclass(frozen=True, slots=True)
class Lead(JsonRecord):
    """Whether the public leader of two systems leads in private too, over random splits of their rows.

    Attributes:
        difference: mean of all rows, the second system minus the first.
        public_rows: how many rows are public.
        private_rows: how many are not.
        draws: how many splits were drawn.
        spread: standard deviation of the private lead minus the public one, in points.
        kept: share of the splits in which the public leader leads in private.
        turned: share of the splits in which the other system leads in private.
        tied: share of the splits in which neither leads, in public or in private.
    """

    difference: float
    public_rows: int
    private_rows: int
    draws: int
    spread: float
    kept: float
    turned: float
    tied: float


@dataclass(frozen=True, slots=True)
class Worth(JsonRecord):
    """How often a public lead is reversed.

    Attributes:
        lead: on the public board, in points.
        turns: how often it is reversed in private, from 0 to 1.
    """

    lead: float
    turns: float


def simulate(values: Sequence[float], *, public: int | None = None, draws: int = DRAWS) -> Leaderboard:
    """Split one system's rows at random, and measure how far apart the two scores are.

    Args:
        values: the scores of the rows, shape ``[rows]``.
        public: how many rows are public; None takes half of them, rounded up: 250 of 499.
        draws: how many splits; they are the same in every call.

    Raises:
        ValueError: there are fewer than two rows, one is not a finite number, or an option is out of range.
    """
    import numpy as np

    array = as_array(values)
    public = _public_rows(len(array), public)
    inside, outside = _split_means(array, public, draws)
    gaps = outside - inside
    median_gap, gap95 = np.quantile(abs(gaps), (0.5, 0.95))
    return Leaderboard(
        score=float(array.mean()),
        public_rows=public,
        private_rows=len(array) - public,
        draws=draws,
        spread=float(gaps.std()),
        median_gap=float(median_gap),
        gap95=float(gap95),
        worst=float(abs(gaps).max()),
    )


def simulate_lead(
    a: Sequence[float],
    b: Sequence[float],
    *,
    public: int | None = None,
    draws: int = DRAWS,
) -> Lead:
    """Split two systems' rows at random, and count how often the public leader leads in private too.

    Only these rows are split: the system that leads over all of them leads in most splits. For how often a lead on
    the public board is reversed, see `worth`; for whether it would hold on other dialogues,
    :func:`~llm_summ.score.significance.paired`.

    Args:
        a: the first system's scores of the rows, shape ``[rows]``.
        b: the second system's, of the same rows in the same order.
        public: how many rows are public; None takes half of them, rounded up.
        draws: how many splits.

    Raises:
        ValueError: the systems have different numbers of rows, or `simulate` would raise.
    """
    differences = row_differences(a, b)
    public = _public_rows(len(differences), public)
    inside, outside = _split_means(differences, public, draws)
    tied = (abs(inside) <= TIE) | (abs(outside) <= TIE)
    kept = ~tied & ((inside > 0) == (outside > 0))
    return Lead(
        difference=float(differences.mean()),
        public_rows=public,
        private_rows=len(differences) - public,
        draws=draws,
        spread=float((outside - inside).std()),
        kept=float(kept.mean()),
        turned=float((~tied & ~kept).mean()),
        tied=float(tied.mean()),
    )


def worth(
    a: Sequence[float],
    b: Sequence[float],
    leads: Sequence[float] = (0.1, 0.3, 0.5, 1.0),
    *,
    public: int | None = None,
    draws: int = DRAWS,
) -> tuple[Worth, ...]:
    """Return how often public leads of the given sizes are reversed in private.

    Only the spread of the two systems' row differences is used, not which of them is better. A lead of x is
    reversed where the private difference is more than x below the public one: the result is the share of random
    splits in which this happens, counted from both sides.

    Assumptions: public and private rows are parts of one set, divided at random; the two systems differ from row
    to row as these do; and only this lead is known of them (a flat prior: all true differences were equally
    likely before). The leader of many systems is partly the luckiest: its lead is reversed more often than this.

    Args:
        a: the first system's scores of the rows, shape ``[rows]``.
        b: the second system's, of the same rows in the same order.
        leads: public leads in points, each above 0.
        public: how many rows are public; None takes half of them, rounded up.
        draws: how many splits.

    Raises:
        ValueError: a lead is not above 0, or `simulate_lead` would raise.
    """
    for lead in leads:
        if not lead > 0:
            raise ValueError(f"leads: found {lead}; expected points above 0")
    differences = row_differences(a, b)
    inside, outside = _split_means(differences, _public_rows(len(differences), public), draws)
    gaps = abs(outside - inside)
    return tuple(Worth(float(lead), float((gaps > lead + TIE).mean() / 2)) for lead in leads)


def _public_rows(rows: int, public: int | None) -> int:
    if rows < 2:
        raise ValueError(f"{rows} row: expected at least two, one of them public and one private")
    if public is None:
        return -(-rows // 2)
    if not 0 < public < rows:
        raise ValueError(f"public: found {public}; expected 1 to {rows - 1} of the {rows} rows")
    return public


def _split_means(values: Floats, public: int, draws: int) -> tuple[Floats, Floats]:
    """Return the means of a random part of the rows, and of the others; both of shape ``[draws]``."""
    import numpy as np

    if draws < 1:
        raise ValueError(f"draws: found {draws}; expected at least 1")
    rng = np.random.default_rng(SEED)
    rows = len(values)
    inside, outside = np.empty(draws), np.empty(draws)
    centred = values - values[0]  # so that equal rows give no gap at all
    each = max(1, _AT_ONCE // rows)
    for start in range(0, draws, each):
        stop = min(start + each, draws)
        shuffled = rng.permuted(np.broadcast_to(centred, (stop - start, rows)), axis=1)
        inside[start:stop] = shuffled[:, :public].mean(axis=1)
        outside[start:stop] = shuffled[:, public:].mean(axis=1)
    return inside + values[0], outside + values[0]
