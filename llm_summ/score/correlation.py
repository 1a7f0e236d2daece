"""Whether two measures put systems in the same order: Spearman's rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import fsum, sqrt

from llm_summ.core.records import JsonRecord
from llm_summ.score.significance import TIE, as_array, check_lengths

__all__ = ["Correlation", "spearman"]

_EXACT = 8  # values; they have 40,320 orders


@dataclass(frozen=True, slots=True)
class Correlation(JsonRecord):
    """How similar two orders are.

    Attributes:
        rho: Spearman's rank correlation, from -1 to 1.
        p: two-sided: among all orders of one side, the share that correlates at least as much; None for more than
            8 values.
        n: how many values.
    """

    rho: float
    p: float | None
    n: int


def spearman(xs: Sequence[float], ys: Sequence[float]) -> Correlation | None:
    """Return Spearman's rank correlation: do two measures put systems in the same order?

    Equal values share the mean of their ranks. With at most 8 values p is exact: all orders are tried.

    Args:
        xs: one measure, shape ``[n]``.
        ys: the other, of the same things in the same order.

    Returns:
        The correlation; None if one side is constant, since it has no order then.

    Raises:
        ValueError: a measure is empty, a value is not a finite number, or the numbers of values differ.
    """
    import numpy as np

    x, y = (_centred_ranks(as_array(values).tolist()) for values in (xs, ys))
    check_lengths(len(x), len(y))
    norm = sqrt(fsum(rank * rank for rank in x) * fsum(rank * rank for rank in y))
    if not norm:
        return None
    product = fsum(rank * other for rank, other in zip(x, y, strict=True))
    p = None
    if len(x) <= _EXACT:
        products = np.array(list(permutations(y))) @ np.array(x)
        p = float((abs(products) >= abs(product) - TIE).mean())
    return Correlation(rho=max(-1.0, min(1.0, product / norm)), p=p, n=len(x))


def _centred_ranks(values: Sequence[float]) -> list[float]:
    """Return ranks minus their mean; equal values share the mean of their ranks."""
    order = sorted(values)
    first = {value: index for index, value in reversed(list(enumerate(order)))}
    last = {value: index for index, value in enumerate(order)}
    return [(first[value] + last[value] - (len(values) - 1)) / 2 for value in values]
