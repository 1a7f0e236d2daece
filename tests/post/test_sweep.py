"""The sweep: every step is tried in its place, and only steps that gain more than chance are recommended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from llm_summ.post import post_process
from llm_summ.post.sweep import Gain, StepSweep, placed, sweep
from llm_summ.recipe import PostStep

LIST: list[PostStep] = ["strip", "join_lines", "cut_unfinished"]


def gain(before: Sequence[float], after: Sequence[float]) -> Gain:
    """Return a gain that is significant exactly if the means differ by one point or more."""
    difference = (sum(after) - sum(before)) / len(before)
    return Gain(difference, difference, difference, 0.0001 if abs(difference) >= 1 else 0.5)


def finishes(texts: Sequence[str]) -> Callable[[Sequence[PostStep]], list[str]]:
    return lambda steps: post_process(texts, [None] * len(texts), steps, ["#Person1#: 네"] * len(texts)).texts


def tried(texts: Sequence[str], wanted: Sequence[str], steps: Sequence[PostStep] = LIST) -> StepSweep:
    """Sweep with a score of 100 for a text that is equal to the wanted one, and 0 otherwise."""

    def score(rows: Sequence[int], found: Sequence[str]) -> list[float]:
        return [100.0 * (text == wanted[row]) for row, text in zip(rows, found, strict=True)]

    return sweep(finishes(texts), steps, score, gain)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("repair_tags", ["repair_tags", *LIST]),
        ("collapse_whitespace", ["strip", "join_lines", "collapse_whitespace", "cut_unfinished"]),
        ("whole_sentences", [*LIST, "whole_sentences"]),
    ],
)
def test_a_step_is_put_where_it_makes_sense(step: PostStep, expected: list[PostStep]) -> None:
    assert placed(LIST, step) == expected
    assert placed([], step) == [step]


def test_a_step_is_worth_the_score_with_it_less_the_score_without_it() -> None:
    found = tried(
        ["# person 1 #은 갑니다.", "갑니다.", " 웁니다. "], ["#Person1#은 갑니다.", "갑니다.", "웁니다."]
    )
    assert found.final == pytest.approx(200 / 3)
    worths = {one.step: one for one in found.worths}
    added, listed = worths["repair_tags"], worths["strip"]
    assert (added.listed, added.rows, added.final_without, added.final_with) == (
        False,
        1,
        pytest.approx(200 / 3),
        pytest.approx(100),
    )
    # join_lines also removes white space: without strip nothing is lost
    assert (listed.listed, listed.rows, listed.gain, listed.more_than_chance) == (True, 0, Gain(0, 0, 0, 1), False)
    assert found.worths[0].step == "repair_tags"
    assert (found.added, found.removed) == (["repair_tags"], [])
    assert found.recommended == ["repair_tags", *LIST]


def test_a_listed_step_that_costs_is_taken_out() -> None:
    found = tried(["가나다.\n라마바", "하나"], ["가나다.\n라마바", "하나"])
    assert found.removed == ["join_lines"]
    assert found.recommended == ["strip", "cut_unfinished"]


def test_a_gain_that_may_be_chance_is_not_recommended() -> None:
    texts = ["# person 1 #은"] + ["갑니다."] * 199
    found = tried(texts, ["#Person1#은"] + ["갑니다."] * 199)
    assert found.worths[0].gain.difference == pytest.approx(0.5)
    assert (found.added, found.removed, found.recommended) == ([], [], LIST)


def test_of_several_steps_each_must_be_surer_than_one_alone() -> None:
    def compare(before: Sequence[float], after: Sequence[float]) -> Gain:
        return Gain(1.0, 0.1, 2.0, 0.02)

    def score(rows: Sequence[int], texts: Sequence[str]) -> list[float]:
        return [0.0] * len(texts)

    def added(*texts: str) -> list[PostStep]:
        return sweep(finishes(texts), ["strip"], score, compare).added

    assert added("#person1#은 웃습니다.", "둘") == ["repair_tags"]
    assert added("#person1#은 웃습니다.", "둘\u200b", "셋  넷") == []
