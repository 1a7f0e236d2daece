"""Prompts that join a batch on a CPU are computed in groups of similar lengths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llm_summ.generate.engine import Request
from llm_summ.generate.engines.hf_rows import Row, similar_lengths


def groups_of(lengths: list[int]) -> list[list[int]]:
    rows = [Row(Request([1] * length, 8), index, 0) for index, length in enumerate(lengths)]
    groups = similar_lengths(rows)
    assert sorted(row.index for group in groups for row in group) == list(range(len(rows)))
    return [[len(row.request.prompt_ids) for row in group] for group in groups]


def tokens(groups: list[list[int]]) -> int:
    return sum(max(group) * len(group) + 128 for group in groups)


def test_lengths_that_differ_much_are_computed_apart() -> None:
    assert groups_of([300, 310, 80, 290, 75]) == [[75, 80], [290, 300, 310]]
    assert groups_of([100, 100, 100]) == [[100, 100, 100]]
    assert groups_of([10, 20, 30]) == [[10, 20, 30]]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=12))
def test_no_row_is_lost_and_no_simple_way_takes_less(lengths: list[int]) -> None:
    found = groups_of(lengths)
    ordered = sorted(lengths)
    ways = [[ordered], [[length] for length in ordered]]
    ways += [[ordered[:cut], ordered[cut:]] for cut in range(1, len(ordered))]
    assert tokens(found) <= min(map(tokens, ways))
