"""The token-limit predictor: the fit, and the JSON round trip."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue
from llm_summ.prompt.token_limit import TokenLimitPredictor


def dialogue(characters: int, turns: int = 2) -> Dialogue:
    each = max(1, characters // turns)
    return Dialogue(f"d{characters}", "\n".join(["가" * each] * turns))


def test_lengths_that_follow_the_dialogue_are_met_exactly() -> None:
    sizes = [40, 80, 160, 320, 640]
    limit_predictor = TokenLimitPredictor.fit([dialogue(size) for size in sizes], [size // 4 for size in sizes])
    assert [limit_predictor.limit(dialogue(size)) for size in (40, 160, 1280)] == [10, 40, 320]


@given(st.lists(st.tuples(st.integers(2, 900), st.integers(1, 12), st.integers(1, 400)), min_size=1, max_size=60))
def test_almost_no_training_completion_would_be_cut(rows: list[tuple[int, int, int]]) -> None:
    """With up to 200 rows, none would be cut."""
    dialogues = [dialogue(characters, turns) for characters, turns, _ in rows]
    tokens = [count for _, _, count in rows]
    limit_predictor = TokenLimitPredictor.fit(dialogues, tokens)
    assert all(limit_predictor.limit(one) >= count for one, count in zip(dialogues, tokens, strict=True))
    assert TokenLimitPredictor.from_json(limit_predictor.to_json()) == limit_predictor


def test_one_in_two_hundred_may_be_cut() -> None:
    tokens = [20] * 996 + [300] * 4
    limit_predictor = TokenLimitPredictor.fit([dialogue(200)] * 1000, tokens)
    assert 20 <= limit_predictor.limit(dialogue(200)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", snapshot("budget.json: not valid JSON (…); train the run again, or set generate.limit to fixed")),
        (
            "[]",
            snapshot(
                "budget.json: expected an object with weights, slack, characters, summary_characters, tagged; "
                "train the run again, or set generate.limit to fixed"
            ),
        ),
        (
            "{}",
            snapshot(
                "budget.json: expected an object with weights, slack, characters, summary_characters, tagged; "
                "train the run again, or set generate.limit to fixed"
            ),
        ),
        (
            "3",
            snapshot(
                "budget.json: expected an object with weights, slack, characters, summary_characters, tagged; "
                "train the run again, or set generate.limit to fixed"
            ),
        ),
        (
            '{"weights": [1, 2], "slack": 0}',
            snapshot(
                "budget.json: weights: expected 3 finite numbers; train the run again, or set generate.limit to "
                "fixed"
            ),
        ),
        (
            '{"weights": [1, 2, "a"], "slack": 0}',
            snapshot(
                "budget.json: weights: expected 3 finite numbers; train the run again, or set generate.limit to "
                "fixed"
            ),
        ),
        (
            '{"weights": [1, 2, 3]}',
            snapshot(
                "budget.json: expected an object with weights, slack, characters, summary_characters, tagged; "
                "train the run again, or set generate.limit to fixed"
            ),
        ),
        (
            '{"weights": [1, 2, NaN], "slack": 0}',
            snapshot(
                "budget.json: weights: expected 3 finite numbers; train the run again, or set generate.limit to "
                "fixed"
            ),
        ),
        (
            '{"weights": 1, "slack": 0}',
            snapshot(
                "budget.json: weights: expected 3 finite numbers; train the run again, or set generate.limit to "
                "fixed"
            ),
        ),
        (
            '{"weights": [1, 2, 3], "slack": 0, "tagged": 3}',
            snapshot(
                "budget.json: tagged: expected true or false; train the run again, or set generate.limit to fixed"
            ),
        ),
    ],
)
def test_an_invalid_file_is_reported(text: str, message: str) -> None:
    with raises(PromptError) as error:
        TokenLimitPredictor.from_json(text, "budget.json")
    assert error.message == message


def test_it_knows_how_long_a_usual_training_dialogue_is() -> None:
    fitted = TokenLimitPredictor.fit([dialogue(size) for size in (100, 200, 900)], [10, 20, 90])
    assert fitted.characters == len(dialogue(200).text)
    older = '{"weights": [1, 2, 3], "slack": 0}'  # written by a version that did not store it
    assert TokenLimitPredictor.from_json(older).characters is None


def test_it_knows_the_lengths_of_training_summaries_and_whether_dialogues_have_tags() -> None:
    rows = [Dialogue(f"{size}", "#Person1#: 네", ("가" * size, "나" * size)) for size in range(10, 71)]
    fitted = TokenLimitPredictor.fit(rows, [9] * len(rows))
    assert (fitted.summary_characters, fitted.tagged) == ((20, 40, 60), True)
    assert TokenLimitPredictor.from_json(fitted.to_json()) == fitted
    names = [Dialogue("a", "민지: 네"), Dialogue("b", "도윤: 네"), rows[0]]
    assert TokenLimitPredictor.fit(names, [9] * 3).tagged is False
    older = TokenLimitPredictor.from_json('{"weights": [1, 2, 3], "slack": 0, "characters": 9}')
    assert (older.summary_characters, older.tagged) == (None, None)


def test_a_limit_is_never_below_one() -> None:
    assert TokenLimitPredictor((-50.0, 0.0, 0.0), 0.0).limit(dialogue(10)) == 1
    assert TokenLimitPredictor((math.log(12), 0.0, 0.0), 0.0).limit(dialogue(10)) == 12
