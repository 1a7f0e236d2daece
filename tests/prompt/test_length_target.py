"""Target lengths: the fit, predictions that do not use the reference, and the JSON round trip."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue
from llm_summ.prompt import LengthTarget

_TEXTS = st.text("가나 .\n\r#Person1:", max_size=60)
_DIALOGUES = st.builds(
    Dialogue,
    st.just("x"),
    _TEXTS,
    st.lists(st.integers(1, 300).map(lambda length: "가" * length), max_size=3).map(tuple),
)
_TRAINING = st.lists(_DIALOGUES, min_size=1, max_size=20).filter(lambda all_: any(d.references for d in all_))
_BUCKETS = st.integers(1, 20)


def _of_lengths(*lengths: int) -> list[Dialogue]:
    return [Dialogue(str(number), "#Person1#: 네", ("가" * length,)) for number, length in enumerate(lengths)]


@pytest.mark.parametrize(
    ("lengths", "buckets", "edges", "targets"),
    [
        (range(10, 110, 10), 2, (60,), (30, 80)),
        (range(10, 110, 10), 5, (30, 50, 70, 90), (20, 40, 60, 80, 100)),
        ([80] * 9, 5, (), (80,)),
        ([84], 5, (), (80,)),
        ([85], 5, (), (90,)),
        ([3], 5, (), (10,)),
        ([10, 20], 5, (20,), (10, 20)),
        ([50] * 8 + [90, 130], 5, (90,), (50, 110)),
        ([50, 90], 1, (), (70,)),
    ],
)
def test_buckets(lengths: Any, buckets: int, edges: tuple[int, ...], targets: tuple[int, ...]) -> None:
    target = LengthTarget.fit(_of_lengths(*lengths), buckets)
    assert (target.edges, target.targets) == (edges, targets)


def test_a_summary_is_in_the_bucket_of_its_length() -> None:
    target = LengthTarget(edges=(30, 60), targets=(20, 40, 80), weights=(0.0, 0.0, 0.0))
    found = {size: target.of_summary("가" * size) for size in (1, 29, 30, 59, 60, 999)}
    assert found == {1: 20, 29: 20, 30: 40, 59: 40, 60: 80, 999: 80}
    assert target.of_summary("  " + "가" * 29 + "\n") == 20
    assert target.of_summary("") == 20


def test_a_chosen_length_is_the_nearest_target_for_every_dialogue() -> None:
    target = LengthTarget(edges=(30, 60), targets=(20, 40, 80), weights=(0.0, 9.0, 0.0))
    for length, nearest in ((1, 20), (31, 40), (61, 80), (500, 80)):
        only = target.only(length)
        assert only.targets == (nearest,)
        assert {only.predict(Dialogue("a", "가" * size)) for size in (1, 90, 4000)} == {nearest}


def test_the_prediction_grows_with_the_dialogue() -> None:
    """Summaries with a tenth of their dialogues' length: the fit is exact, and so is every bucket."""
    dialogues = [
        Dialogue(str(turns), "\n".join(["#Person1#: " + "가" * 39] * turns), ("가" * (5 * turns),))
        for turns in range(2, 42)
    ]
    target = LengthTarget.fit(dialogues, 4)
    assert target.weights[1] + target.weights[2] == pytest.approx(1)
    # A length that is an edge may fall to either side of it, by the last bit of the fit.
    inside = [dialogue for dialogue in dialogues if len(dialogue.references[0]) not in target.edges]
    assert [target.predict(dialogue) for dialogue in inside] == [
        target.of_summary(dialogue.references[0]) for dialogue in inside
    ]
    assert len({target.predict(dialogue) for dialogue in inside}) == 4


@given(training=_TRAINING, buckets=_BUCKETS, dialogue=_DIALOGUES)
def test_every_fit(training: list[Dialogue], buckets: int, dialogue: Dialogue) -> None:
    target = LengthTarget.fit(training, buckets)
    summaries = [summary for dialogue in training for summary in dialogue.references]
    assert 1 <= len(target.targets) == len(target.edges) + 1 <= max(buckets, 1)
    assert list(target.targets) == sorted(target.targets)
    assert all(asked >= 10 and asked % 10 == 0 for asked in target.targets)
    # No bucket is empty, and every target occurs.
    assert {target.of_summary(summary) for summary in summaries} == set(target.targets)
    assert target == LengthTarget.fit(training, buckets)
    # A prediction is one of the targets, and depends only on the text.
    predicted = target.predict(dialogue)
    assert predicted in target.targets
    assert predicted == target.predict(Dialogue("other", dialogue.text, ("가" * 500,), topic="주제"))
    for line_end in ("\n", "\r\n", "\r", "\n \n"):
        lines = re.split("\r\n|\r|\n", dialogue.text)
        assert predicted == target.predict(replace(dialogue, text=line_end.join(lines)))
    # The JSON round trip is exact to the last bit.
    assert LengthTarget.from_json(target.to_json()) == target


@given(
    edges=st.sets(st.integers(1, 10**9)).map(sorted),
    data=st.data(),
    weights=st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3),
)
def test_json_round_trip(edges: list[int], data: st.DataObject, weights: tuple[float, float, float]) -> None:
    size = len(edges) + 1
    targets = data.draw(st.lists(st.integers(1, 10**6), min_size=size, max_size=size))
    target = LengthTarget(tuple(edges), tuple(targets), weights)
    text = target.to_json()
    assert "\n" not in text
    again = LengthTarget.from_json(text)
    assert again == target
    assert list(map(math.copysign, [1.0] * 3, again.weights)) == list(map(math.copysign, [1.0] * 3, weights))


GOOD = {"edges": [30, 60], "targets": [20, 40, 80], "weights": [0.5, 1, -2.5]}


def test_good_json() -> None:
    target = LengthTarget.from_json(json.dumps(GOOD))
    assert target == LengthTarget((30, 60), (20, 40, 80), (0.5, 1.0, -2.5))


EDGES, TARGETS, WEIGHTS = (
    snapshot("length.json: edges: expected whole numbers above 0, ascending; train the run again"),
    snapshot("length.json: targets: expected whole numbers above 0, one more than edges; train the run again"),
    snapshot("length.json: weights: expected 3 finite numbers; train the run again"),
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", snapshot("length.json: not valid JSON (…); train the run again")),
        ("{", snapshot("length.json: not valid JSON (…); train the run again")),
        ("[" * 100_000, snapshot("length.json: not valid JSON (…); train the run again")),
        ("[]", snapshot("length.json: expected an object with edges, targets, weights; train the run again")),
        ("null", snapshot("length.json: expected an object with edges, targets, weights; train the run again")),
        (
            json.dumps(GOOD | {"more": 1}),
            snapshot("length.json: expected an object with edges, targets, weights; train the run again"),
        ),
        (
            json.dumps({"edges": []}),
            snapshot("length.json: expected an object with edges, targets, weights; train the run again"),
        ),
        *(
            (json.dumps(GOOD | {"edges": found}), EDGES)
            for found in (3, [60, 30], [30, 30], [0, 60], [30.0, 60], ["30", 60], [True, 60], {"a": 1}, None)
        ),
        *(
            (
                json.dumps(GOOD | {"targets": found}),
                TARGETS,
            )
            for found in ([20, 40], [20, 40, 80, 90], [20, -40, 80], [20, 40.5, 80], [20, None, 80], "204080")
        ),
        *(
            (json.dumps(GOOD | {"weights": found}), WEIGHTS)
            for found in (
                [1, 2],
                [1, 2, 3, 4],
                [1, 2, math.nan],
                [1, 2, -math.inf],
                [1, 2, 10**400],
                [1, 2, "3"],
                1,
            )
        ),
    ],
)
def test_what_is_wrong_with_json(text: str, message: str) -> None:
    with raises(PromptError) as error:
        LengthTarget.from_json(text, "length.json")
    assert error.message == message


@pytest.mark.parametrize("dialogues", [[], [Dialogue("x", "#Person1#: 네")]])
def test_lengths_need_summaries(dialogues: list[Dialogue]) -> None:
    with raises(PromptError) as error:
        LengthTarget.fit(dialogues, 5)
    assert error.message == snapshot(
        "no summary to take lengths from; prompt variable length needs training summaries"
    )
