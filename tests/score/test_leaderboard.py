"""Random splits into a public and a private part: the gaps of a score, and how often a lead is reversed."""

from __future__ import annotations

import json
import random
from itertools import combinations
from math import nan, sqrt
from statistics import NormalDist, fmean, stdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.score.leaderboard import simulate, simulate_lead, worth

scores = st.floats(0, 100, allow_nan=False).map(lambda value: round(value, 3))
rows = st.lists(scores, min_size=2, max_size=30)
pairs = st.lists(st.tuples(scores, scores), min_size=2, max_size=30)


def drawn(rows: int, mean: float, spread: float, seed: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(mean, spread) for _ in range(rows)]


@pytest.mark.parametrize(("rows", "public"), [(499, 250), (500, 250), (3, 2), (2, 1)])
def test_half_of_the_rows_are_public_rounded_up(rows: int, public: int) -> None:
    found = simulate(drawn(rows, 50, 10), draws=20)
    assert (found.public_rows, found.private_rows) == (public, rows - public)
    lead = simulate_lead(drawn(rows, 50, 10), drawn(rows, 50, 10, 1), draws=20)
    assert (lead.public_rows, lead.private_rows) == (public, rows - public)


def test_the_gap_of_two_rows_is_always_their_difference() -> None:
    found = simulate([40.0, 70.0], draws=50)
    assert found.score == 55
    assert (found.median_gap, found.gap95, found.worst) == pytest.approx((30, 30, 30))
    assert found.spread == pytest.approx(30, abs=3)  # half of the draws +30, half -30


def test_equal_rows_have_no_gap() -> None:
    found = simulate([37.1] * 9, draws=50)
    assert (found.spread, found.median_gap, found.gap95, found.worst) == (0, 0, 0, 0)
    assert found.score == pytest.approx(37.1)


@pytest.mark.parametrize("public", [None, 100, 400])
def test_the_spread_is_that_of_sampling_without_replacement(public: int | None) -> None:
    values = drawn(499, 50, 15)
    found = simulate(values, public=public)
    expected = stdev(values) * sqrt(1 / found.public_rows + 1 / found.private_rows)
    assert found.spread == pytest.approx(expected, rel=0.03)
    assert found.gap95 == pytest.approx(1.96 * expected, rel=0.04)
    assert found.median_gap == pytest.approx(0.6745 * expected, rel=0.05)
    assert found.score == pytest.approx(fmean(values))


def test_splits_of_a_few_rows_are_equally_likely() -> None:
    values = [10.0, 20.0, 40.0, 80.0]
    gaps = [abs(sum(part) / 2 - (150 - sum(part)) / 2) for part in combinations(values, 2)]
    found = simulate(values)
    assert found.worst == pytest.approx(max(gaps))
    assert found.spread == pytest.approx(sqrt(fmean(gap * gap for gap in gaps)), rel=0.02)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_what_holds_for_any_scores(values: list[float]) -> None:
    found = simulate(values, draws=200)
    assert 0 <= found.median_gap <= found.gap95 <= found.worst + 1e-9
    assert found.worst <= max(values) - min(values) + 1e-9
    assert found.public_rows + found.private_rows == len(values)
    assert found == simulate(values, draws=200)


def test_a_system_that_is_better_everywhere_never_loses_its_lead() -> None:
    first = drawn(99, 50, 15)
    lead = simulate_lead(first, [value + 0.5 for value in first])
    assert (lead.kept, lead.turned, lead.tied) == (1, 0, 0)
    assert lead.difference == pytest.approx(0.5)
    assert lead.spread == pytest.approx(0, abs=1e-9)


def test_two_equal_systems_are_tied() -> None:
    values = drawn(99, 50, 15)
    lead = simulate_lead(values, values)
    assert (lead.difference, lead.kept, lead.turned, lead.tied) == (0, 0, 0, 1)


def test_one_row_each_that_the_other_wins_always_turns_the_lead() -> None:
    lead = simulate_lead([50.0, 50.0], [60.0, 45.0])
    assert (lead.kept, lead.turned, lead.tied) == (0, 1, 0)


def test_a_tie_in_one_part_is_a_tie() -> None:
    lead = simulate_lead([50.0, 50.0], [60.0, 50.0])
    assert (lead.kept, lead.turned, lead.tied) == (0, 0, 1)


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_what_holds_for_any_two_systems(data: list[tuple[float, float]]) -> None:
    a, b = [first for first, _ in data], [second for _, second in data]
    lead, swapped = simulate_lead(a, b, draws=200), simulate_lead(b, a, draws=200)
    assert lead.kept + lead.turned + lead.tied == pytest.approx(1)
    assert (swapped.kept, swapped.turned, swapped.tied) == (lead.kept, lead.turned, lead.tied)
    assert swapped.difference == pytest.approx(-lead.difference, abs=1e-9)
    assert worth(a, b, draws=200) == worth(b, a, draws=200)
    turns = [item.turns for item in worth(a, b, draws=200)]
    assert turns == sorted(turns, reverse=True)
    assert all(0 <= share <= 0.5 for share in turns)


def test_a_lead_is_reversed_as_often_as_in_a_normal_distribution() -> None:
    first = drawn(499, 50, 15)
    second = [value + noise for value, noise in zip(first, drawn(499, 0.4, 9, seed=1), strict=True)]
    differences = [b - a for a, b in zip(first, second, strict=True)]
    spread = stdev(differences) * sqrt(1 / 250 + 1 / 249)
    found = worth(first, second)
    assert [item.lead for item in found] == [0.1, 0.3, 0.5, 1.0]
    for item in found:
        assert item.turns == pytest.approx(NormalDist().cdf(-item.lead / spread), abs=0.02)
    # Only the spread counts: the same systems further apart.
    further = worth(first, [value + 5 for value in second])
    assert [item.turns for item in further] == pytest.approx([item.turns for item in found], abs=1e-3)


def test_worth_predicts_the_share_of_reversed_leads_where_its_assumptions_hold() -> None:
    # True differences from a wide range, then a public and a private part: among the public leads near 1 point,
    # the share of reversed ones is predicted from any such pair of systems.
    rng = random.Random(4)
    leads = turned = 0
    while leads < 1500:
        true = rng.uniform(-8, 8)
        public, private = (rng.gauss(true, 9 / sqrt(50)) for _ in range(2))
        if 0.9 <= abs(public) <= 1.1:
            leads += 1
            turned += public * private < 0
    noise = [NormalDist(0, 9).inv_cdf((n + 0.5) / 100) for n in range(100)]
    (predicted,) = worth([50.0] * 100, [50 + value for value in noise], [1.0])
    assert turned / leads == pytest.approx(predicted.turns, abs=0.04)
    assert 0.2 < predicted.turns < 0.4


def test_figures_for_programs() -> None:
    first, second = drawn(20, 50, 15), drawn(20, 50, 15, 1)
    assert list(json.loads(json.dumps(simulate(first, draws=9).to_json()))) == [
        *("score", "public_rows", "private_rows", "draws", "spread", "median_gap", "gap95", "worst")
    ]
    assert list(json.loads(json.dumps(simulate_lead(first, second, draws=9).to_json()))) == [
        *("difference", "public_rows", "private_rows", "draws", "spread", "kept", "turned", "tied")
    ]
    (found,) = worth(first, second, [1000.0], draws=9)
    assert json.loads(json.dumps(found.to_json())) == {"lead": 1000.0, "turns": 0.0}


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, snapshot("no values: expected the score of at least one row")),
        ([50.0], {}, snapshot("1 row: expected at least two, one of them public and one private")),
        ([50.0, nan], {}, snapshot("row 1: found nan; expected a finite number")),
        ([50.0, 51.0], {"public": 2}, snapshot("public: found 2; expected 1 to 1 of the 2 rows")),
        ([50.0, 51.0], {"public": 0}, snapshot("public: found 0; expected 1 to 1 of the 2 rows")),
        ([50.0, 51.0], {"draws": 0}, snapshot("draws: found 0; expected at least 1")),
    ],
)
def test_what_cannot_be_is_refused(values: list[float], options: dict[str, Any], message: str) -> None:
    with raises(ValueError) as error:
        simulate(values, **options)
    assert error.message == message
    with raises(ValueError) as error:
        simulate_lead(values, values, **options)
    assert error.message == message
    with raises(ValueError) as error:
        worth(values, values, **options)
    assert error.message == message


def test_leads_are_above_zero_and_rows_are_the_same() -> None:
    with raises(ValueError) as error:
        worth([50.0, 51.0], [51.0, 50.0], [0])
    assert error.message == snapshot("leads: found 0; expected points above 0")
    with raises(ValueError) as error:
        simulate_lead([50.0, 51.0], [51.0, 50.0, 49.0])
    assert error.message == snapshot("found 2 and 3 values: expected one of each for every row, in one order")
