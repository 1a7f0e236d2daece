"""Lengths of summaries compared with those of the references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises
from scored import row

from llm_summ.evaluate.lengths import compare_lengths


def test_by_hand() -> None:
    rows = [
        row("dev_0", "네", "가" * 4),  # 0.4 of the reference's 10 letters
        row("dev_1", "네", "가" * 5),  # a half is not short
        row("dev_2", "네", "가" * 30, ["나" * 10, "나" * 20]),  # twice the mean reference is not long
        row("dev_3", "네", "가" * 31, ["나" * 10, "나" * 20]),
        row("dev_4", "네", ""),
    ]
    found = compare_lengths(rows)
    assert found.summary == 14.0  # 70 letters
    assert found.reference == pytest.approx(90 / 7)
    assert found.ratio == pytest.approx(14 * 7 / 90)
    assert found.short == ("dev_0", "dev_4")
    assert found.long == ("dev_3",)
    # Of 0, 0.4, 0.5, 2 and 31/15.
    assert (found.ratios.min, found.ratios.p25, found.ratios.median, found.ratios.p75) == (0.0, 0.4, 0.5, 2.0)
    assert found.ratios.max == pytest.approx(31 / 15)
    assert found.table().rows == [
        ["a summary, mean", "14.0"],
        ["a reference, mean", "12.9"],
        ["summary / reference", "1.09"],
        ["… of a row: median", "0.50"],
        ["… 25–75 %", "0.40–2.00"],
        ["… 5–95 %", "0.08–2.05"],
        ["shorter than 0.5x", "2 (40.0%)"],
        ["longer than 2x", "1 (20.0%)"],
    ]
    assert found.to_json()["short"] == {"below": 0.5, "share": 0.4, "ids": ["dev_0", "dev_4"]}


def test_without_rows_there_is_nothing_to_compare() -> None:
    with raises(ValueError) as error:
        compare_lengths([])
    assert error.message == snapshot("no rows: expected at least one")


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 99)), min_size=1))
def test_no_row_is_both_short_and_long(lengths: list[tuple[int, int]]) -> None:
    rows = [row(f"dev_{n}", "네", "가" * own, ["나" * other]) for n, (own, other) in enumerate(lengths)]
    found = compare_lengths(rows)
    assert not set(found.short) & set(found.long)
    assert len(found.short) == sum(2 * own < other for own, other in lengths)
    assert len(found.long) == sum(own > 2 * other for own, other in lengths)
