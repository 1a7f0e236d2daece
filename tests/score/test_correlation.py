"""Spearman's rank correlation: literal cases, its exact p, and what holds for any two orders."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.score.correlation import spearman


@pytest.mark.parametrize(
    ("xs", "ys", "rho", "p"),
    [
        ([1, 2, 3], [1, 2, 3], 1.0, 2 / 6),
        ([1, 2, 3], [9, 5, 4], -1.0, 2 / 6),
        ([1, 2, 3, 4], [10, 20, 40, 30], 0.8, 8 / 24),
        # 1 - 6 * 6 / (5 * 24); the exact p is between 0.1 and 0.2 in the tables of Zar 1972.
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8, 16 / 120),
        ([1, 2, 3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8, 9, 10], 1.0, 2 / 40320),
        # Ties share the mean of their ranks: 1.5, 1.5, 3 against 1, 2, 3.
        ([47.0, 47.0, 50.0], [1, 2, 3], 3**0.5 / 2, 4 / 6),
        ([0, 1], [0, 1], 1.0, 1.0),
    ],
)
def test_rank_correlations(xs: list[float], ys: list[float], rho: float, p: float) -> None:
    found = spearman(xs, ys)
    assert found is not None
    assert (found.rho, found.p, found.n) == pytest.approx((rho, p, len(xs)))


def test_nine_values_have_no_exact_p() -> None:
    found = spearman(range(9), [value**3 for value in range(9)])
    assert found is not None
    assert found.to_json() == {"rho": pytest.approx(1.0), "p": None, "n": 9}


@pytest.mark.parametrize(("xs", "ys"), [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([4], [2])])
def test_a_constant_side_has_no_order(xs: list[float], ys: list[float]) -> None:
    assert spearman(xs, ys) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6))
def test_what_holds_for_any_two_orders(data: list[tuple[int, int]]) -> None:
    xs, ys = [x for x, _ in data], [y for _, y in data]
    found = spearman(xs, ys)
    assert (found is None) == (len(set(xs)) == 1 or len(set(ys)) == 1)
    if found is not None:
        assert -1 <= found.rho <= 1
        assert found.p is not None
        assert 0 < found.p <= 1
        assert spearman(ys, xs) == found
        turned = spearman(xs, [-y for y in ys])
        assert turned is not None
        assert (turned.rho, turned.p) == pytest.approx((-found.rho, found.p))
        grown = spearman([x**3 for x in xs], ys)
        assert grown == found


def test_unequal_numbers_of_values_are_refused() -> None:
    with raises(ValueError) as error:
        spearman([1.0, 2.0], [1.0, 2.0, 3.0])
    assert error.message == snapshot("found 2 and 3 values: expected one of each for every row, in one order")
