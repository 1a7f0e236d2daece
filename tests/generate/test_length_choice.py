"""The length that a user asks for: of those that were trained, or as the nearest candidate."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import PromptError
from llm_summ.data import Dialogue
from llm_summ.generate.engine import Decoding
from llm_summ.generate.length_choice import (
    Length,
    NearestLength,
    check_candidates,
    several_candidates,
    trained_length,
)
from llm_summ.generate.settings import GenerationSettings
from llm_summ.predictions.prediction import FinishReason, Prediction

TALK = Dialogue("a", "가" * 400)


def candidates(texts: list[str], reasons: str = "") -> list[Prediction]:
    kinds: list[FinishReason] = ["length" if mark == "l" else "stop" for mark in reasons.ljust(len(texts))]
    return [
        Prediction("a", "", text, 3, kind, number)
        for number, (text, kind) in enumerate(zip(texts, kinds, strict=True))
    ]


@pytest.mark.parametrize(
    ("length", "targets", "found"),
    [
        (58, (10, 30, 60), 60),
        (1, (10, 30, 60), 10),
        ("short", (10, 30, 60), 10),
        ("medium", (10, 30, 60), 30),
        ("long", (10, 30, 60), 60),
        ("short", (1, 2, 3, 4, 5, 6), 2),
        ("medium", (1, 2, 3, 4, 5, 6), 4),
        ("long", (1, 2, 3, 4, 5, 6), 6),
        ("long", (1, 2, 3, 4), 4),
        ("medium", (7,), 7),
    ],
)
def test_the_length_to_ask_for_is_one_that_was_trained(
    length: Length, targets: tuple[int, ...], found: int
) -> None:
    assert trained_length(length, targets) == found


def test_names_are_lengths_of_the_training_or_depend_on_the_dialogue() -> None:
    names: tuple[Length, ...] = ("short", "medium", "long")
    assert [NearestLength(name, (20, 50, 90)).target(TALK) for name in names] == [20, 50, 90]
    assert [NearestLength(name).target(TALK) for name in names] == [56, 80, 112]
    assert NearestLength(33, (20, 50, 90)).target(TALK) == 33


def test_the_nearest_candidate_is_chosen() -> None:
    texts = ["가" * 10, "나" * 30, " " + "다" * 22 + " ", "라" * 60]
    assert [NearestLength(length).choose(TALK, candidates(texts), texts) for length in (1, 21, 44, 99)] == [
        0,
        2,
        1,
        3,
    ]
    # A text that was cut off is taken only if all were.
    assert NearestLength(30).choose(TALK, candidates(texts, " l"), texts) == 2
    assert NearestLength(30).choose(TALK, candidates(texts, "llll"), texts) == 1


def test_of_candidates_that_are_as_near_the_one_that_agrees_best_is_chosen() -> None:
    texts = ["도윤은 집에 간다.", "민지는 학교 간다.", "민지는 학교 왔다.", "민지는 매우 긴 문장을 쓴다."]
    assert NearestLength(10).choose(TALK, candidates(texts), texts) == 1


def test_an_engine_that_writes_one_text_is_refused() -> None:
    check_candidates("hf", 80, "prompt.md")
    messages = []
    for engine in ("echo", "unknown"):
        with raises(PromptError) as raised:
            check_candidates(engine, 80, "prompt.md")
        messages.append(raised.message)
    assert messages == snapshot(
        [
            "length 80: prompt.md asks for no length, and the engine echo writes one text for each dialogue; "
            "use vllm or hf or openai, or train a run with prompt.template length",
            "length 80: prompt.md asks for no length, and the engine unknown writes one text for each "
            "dialogue; use vllm or hf or openai, or train a run with prompt.template length",
        ]
    )


def test_candidates_are_sampled_unless_there_are_several() -> None:
    settings = GenerationSettings(lambda dialogue: 9, Decoding(beams=4, length_penalty=2.0))
    assert several_candidates(settings).decoding == Decoding(n=4, temperature=0.7)
    several = GenerationSettings(lambda dialogue: 9, Decoding(n=8, temperature=0.3))
    assert several_candidates(several) is several
