"""Intervals, comparisons of two systems, rank correlation: literal cases, and properties of all scores."""

from __future__ import annotations

import json
import random
from math import inf, nan
from statistics import NormalDist, fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.score.significance import Interval, interval, paired

scores = st.floats(0, 100, allow_nan=False).map(lambda value: round(value, 3))
rows = st.lists(scores, min_size=1, max_size=30)
pairs = st.lists(st.tuples(scores, scores), min_size=1, max_size=30)


def columns(data: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in data], [b for _, b in data]


def drawn(rows: int, seed: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [rng.uniform(20, 80) for _ in range(rows)]


def test_the_interval_of_a_known_spread() -> None:
    # The quantiles of a normal distribution, as 400 rows: the interval is mean ± 1.96 sd / sqrt(400).
    values = [NormalDist(50, 10).inv_cdf((n + 0.5) / 400) for n in range(400)]
    found = interval(values)
    assert (found.low, found.high) == pytest.approx((50 - 0.98, 50 + 0.98), abs=0.04)
    wider = interval(values, confidence=0.99)
    assert (wider.low, wider.high) == pytest.approx((50 - 1.29, 50 + 1.29), abs=0.08)


@pytest.mark.parametrize("values", [[37.1], [37.1, 37.1], [37.1] * 7, [0.0, 0.0], [100.0] * 3])
def test_rows_without_a_spread_give_their_own_score(values: list[float]) -> None:
    assert interval(values) == Interval(values[0], values[0], 0.95, 10_000)


def test_two_rows_give_their_two_scores() -> None:
    # Of four equally likely resamples one is the lower row twice, and one the higher.
    found = interval([10.0, 30.0])
    assert (found.low, found.high) == (10.0, 30.0)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_the_interval_contains_the_mean_and_is_within_the_rows(values: list[float]) -> None:
    found = interval(values, resamples=2000)
    assert found.low - 1e-9 <= fmean(values) <= found.high + 1e-9
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


@settings(max_examples=40, deadline=None)
@given(rows, st.floats(-50, 50), st.floats(0.1, 10))
def test_moved_and_stretched_rows_move_and_stretch_the_interval(
    values: list[float], by: float, factor: float
) -> None:
    found = interval(values, resamples=500)
    other = interval([value * factor + by for value in values], resamples=500)
    assert (other.low, other.high) == pytest.approx((found.low * factor + by, found.high * factor + by), abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_four_times_the_rows_halve_the_interval(seed: int) -> None:
    values = drawn(50, seed)
    once, four = interval(values), interval(values * 4)
    assert (four.high - four.low) / (once.high - once.low) == pytest.approx(0.5, abs=0.03)


def test_the_same_input_gives_the_same_interval_and_another_seed_nearly() -> None:
    values = drawn(200)
    assert interval(values) == interval(tuple(values))
    other = interval(values, seed=1)
    assert other != interval(values)
    assert (other.low, other.high) == pytest.approx((interval(values).low, interval(values).high), abs=0.15)


def test_the_interval_holds_the_true_score_in_about_95_percent() -> None:
    rng = random.Random(11)
    held = 0
    for _ in range(400):
        found = interval([rng.gauss(50, 15) for _ in range(60)], resamples=1000)
        held += found.low <= 50 <= found.high
    assert 0.91 <= held / 400 <= 0.98


def test_more_rows_than_are_drawn_at_once() -> None:
    # 300,000 rows of 0 and 100 in turn: 50 ± 1.96 * 50 / sqrt(300,000).
    found = interval([0.0, 100.0] * 150_000, resamples=40)
    assert 0.05 < 50 - found.low < 0.4
    assert 0.05 < found.high - 50 < 0.4


def test_figures_for_programs() -> None:
    assert json.loads(json.dumps(interval([40.0]).to_json())) == {
        "low": 40.0,
        "high": 40.0,
        "confidence": 0.95,
        "resamples": 10_000,
    }
    found = paired([40.0, 40.0], [41.0, 41.0], resamples=99).to_json()
    assert list(json.loads(json.dumps(found))) == [
        *("difference", "low", "high", "confidence", "resamples"),
        *("p_bootstrap", "p_randomisation", "wins", "ties", "losses"),
    ]


def test_two_equal_systems() -> None:
    values = drawn(40)
    found = paired(values, values)
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert (found.p_bootstrap, found.p_randomisation) == (1, 1)
    assert (found.wins, found.ties, found.losses) == (0, 40, 0)


def test_a_difference_of_rounding_is_a_tie() -> None:
    found = paired([0.1 + 0.2, 50.0, 10.0], [0.3, 50.0 + 1e-12, 10.0])
    assert (found.wins, found.ties, found.losses) == (0, 3, 0)
    assert (found.p_bootstrap, found.p_randomisation) == (1, 1)


def test_one_row_proves_nothing() -> None:
    found = paired([10.0], [60.0])
    assert (found.difference, found.wins) == (50, 1)
    assert (found.p_bootstrap, found.p_randomisation) == (1, 1)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # Of all 2**n exchanges, those whose sum is at least as large, counted by hand.
        ([1.0, 1.0], 2 / 4),
        ([1.0, 1.0, 1.0], 2 / 8),
        ([3.0, 1.0, -1.0], 6 / 8),
        ([1.0] * 5, 2 / 32),
        ([2.0, 0.0], 1.0),
    ],
)
def test_randomisation_counts_exchanges(differences: list[float], p: float) -> None:
    found = paired([50.0] * len(differences), [50 + value for value in differences])
    assert found.p_randomisation == pytest.approx(p, abs=0.015)


def test_the_paired_bootstrap_counts_resamples_in_which_the_leader_does_not_lead() -> None:
    # Of 27 resamples of (+5, +1, -4), 10 are below 0 and none is 0: p is 2 * 10 / 27.
    found = paired([50.0, 50.0, 50.0], [55.0, 51.0, 46.0])
    assert found.p_bootstrap == pytest.approx(20 / 27, abs=0.02)
    assert (found.wins, found.ties, found.losses) == (2, 0, 1)


def test_a_clear_lead_and_no_lead() -> None:
    rng = random.Random(7)
    first = [rng.uniform(20, 80) for _ in range(300)]
    better = paired(first, [value + rng.gauss(2, 10) for value in first])
    assert better.low > 0
    assert better.p_bootstrap < 0.05
    assert better.p_randomisation < 0.05
    best = paired(first, [value + 1 for value in first])
    assert (best.low, best.high) == pytest.approx((1, 1))
    assert best.p_bootstrap == pytest.approx(2 / 10_001)
    assert best.p_randomisation == pytest.approx(1 / 10_001)


def test_both_p_are_near_those_of_a_normal_distribution() -> None:
    # Differences with mean 1 and standard error 0.5: z = 2, p = 0.0455.
    noise = [NormalDist(0, 10).inv_cdf((n + 0.5) / 400) for n in range(400)]
    found = paired([50.0] * 400, [51 + value for value in noise])
    assert found.p_bootstrap == pytest.approx(0.0455, abs=0.01)
    assert found.p_randomisation == pytest.approx(0.0455, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_swapping_the_systems_changes_nothing_but_the_sign(data: list[tuple[float, float]]) -> None:
    a, b = columns(data)
    one, other = paired(a, b, resamples=500), paired(b, a, resamples=500)
    assert other.difference == pytest.approx(-one.difference, abs=1e-9)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-9)
    assert (other.p_bootstrap, other.p_randomisation) == (one.p_bootstrap, one.p_randomisation)
    assert (other.wins, other.ties, other.losses) == (one.losses, one.ties, one.wins)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_what_holds_for_any_two_systems(data: list[tuple[float, float]]) -> None:
    a, b = columns(data)
    found = paired(a, b, resamples=500)
    assert 0 < found.p_bootstrap <= 1
    assert 0 < found.p_randomisation <= 1
    assert found.wins + found.ties + found.losses == len(data)
    assert found.difference == pytest.approx(fmean(b) - fmean(a), abs=1e-9)
    assert found.low - 1e-9 <= found.difference <= found.high + 1e-9


def test_randomisation_rejects_a_true_null_in_about_5_percent() -> None:
    rng = random.Random(2)
    rejected = 0
    for _ in range(400):
        found = paired([50.0] * 12, [rng.gauss(50, 10) for _ in range(12)], resamples=400)
        rejected += found.p_randomisation <= 0.05
    assert 0.02 <= rejected / 400 <= 0.08


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, snapshot("no values: expected the score of at least one row")),
        ([1.0, nan], {}, snapshot("row 1: found nan; expected a finite number")),
        ([inf], {}, snapshot("row 0: found inf; expected a finite number")),
        ([1.0], {"confidence": 95}, snapshot("confidence: found 95; expected more than 0 and less than 1")),
        ([1.0], {"confidence": 0}, snapshot("confidence: found 0; expected more than 0 and less than 1")),
        ([1.0], {"resamples": 0}, snapshot("resamples: found 0; expected at least 1")),
    ],
)
def test_what_cannot_be_is_refused(values: list[float], options: dict[str, int], message: str) -> None:
    with raises(ValueError) as error:
        interval(values, **options)
    assert error.message == message
    with raises(ValueError) as error:
        paired(values, values, **options)
    assert error.message == message


def test_unequal_numbers_of_rows_are_refused() -> None:
    with raises(ValueError) as error:
        paired([1.0, 2.0], [1.0])
    assert error.message == snapshot("found 2 and 1 values: expected one of each for every row, in one order")
