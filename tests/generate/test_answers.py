"""Which replies of a server count as answers."""

from __future__ import annotations

from typing import Any

import pytest

from llm_summ.generate.engines.answers import (
    Answer,
    NoAnswer,
    Tally,
    read_answer,
    unanswered_lines,
    without_thoughts,
)

TEXTS: list[tuple[str, str | None]] = [
    # No block at the beginning: the unchanged text.
    ("요약입니다.", "요약입니다."),
    ("  요약입니다.\n", "  요약입니다.\n"),
    ("", ""),
    ("요약 <think>생각</think> 끝", "요약 <think>생각</think> 끝"),
    ("요약 <think>생각", "요약 <think>생각"),
    ("<thinking>생각</thinking>요약", "<thinking>생각</thinking>요약"),
    ("<think 생각</think>요약", "<think 생각</think>요약"),
    # A closed block, and the white space after it.
    ("<think>생각</think>요약", "요약"),
    ("<think>\n생각\n</think>\n\n요약입니다.\n", "요약입니다.\n"),
    ("<think>\n\n</think>\n\n요약", "요약"),
    ("\n \t<think>생각</think>\u3000요약", "요약"),
    ("<think>생각</think>", ""),
    ("<think>생각</think>\n\n", ""),
    # Several, and blocks that look nested.
    ("<think>하나</think>\n<think>둘</think>\n요약", "요약"),
    ("<think>하나 <think>둘</think> 셋</think>요약", "요약"),
    ("<think>태그 <think>를 쓸까?</think>요약", "요약"),
    ("<think>하나</think>요약에 </think>가 있다", "요약에 </think>가 있다"),
    ("<think>하나</think>요약 <think>둘", "요약 <think>둘"),
    # Not closed.
    ("<think>생각", None),
    ("<think>", None),
    (" \n<think>생각\n요약", None),
    ("<think>생각</think", None),
    ("<think>생각</thinking>요약", None),
    ("<think>하나</think>\n<think>둘", None),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_thoughts_before_the_answer_are_removed(text: str, expected: str | None) -> None:
    assert without_thoughts(text) == expected


@pytest.mark.parametrize(
    ("content", "finish_reason", "expected"),
    [
        ("요약", "stop", Answer("요약", "stop")),
        ("요약", "length", Answer("요약", "length")),
        ("요약", None, Answer("요약", "length")),
        ("<think>생각</think>\n요약", "stop", Answer("요약", "stop", True)),
        ("<think>생각</think>\n요약", "length", Answer("요약", "length", True)),
        ("<think>생각", "length", NoAnswer.OPEN_THOUGHTS),
        ("<think>생각", "stop", NoAnswer.OPEN_THOUGHTS),
        ("<think>생각</think>\n", "stop", NoAnswer.ONLY_THOUGHTS),
        (None, "stop", NoAnswer.NO_TEXT),
        ("", "stop", NoAnswer.NO_TEXT),
        (" \n\u3000", "stop", NoAnswer.NO_TEXT),
        ([{"type": "text", "text": "요약"}], "stop", NoAnswer.NO_TEXT),
        ("요약", "content_filter", NoAnswer.CONTENT_FILTER),
        (None, "content_filter", NoAnswer.CONTENT_FILTER),
        ("요약", "tool_calls", NoAnswer.TOOL_CALL),
        ("요약", "function_call", NoAnswer.TOOL_CALL),
        ("요약", "abort", NoAnswer.BROKEN_OFF),
        ("요약", "error", NoAnswer.BROKEN_OFF),
    ],
)
def test_answers_and_missing_answers(
    content: object, finish_reason: str | None, expected: Answer | NoAnswer
) -> None:
    assert read_answer(content, finish_reason) == expected


@pytest.mark.parametrize(
    ("content", "further", "expected"),
    [
        (None, {"thoughts": "생각"}, NoAnswer.ONLY_THOUGHTS),
        ("", {"thoughts": "생각"}, NoAnswer.ONLY_THOUGHTS),
        ("요약", {"thoughts": "생각"}, Answer("요약", "stop")),
        (None, {"refusal": "할 수 없습니다."}, NoAnswer.REFUSAL),
        ("할 수 없습니다.", {"refusal": "할 수 없습니다."}, NoAnswer.REFUSAL),
        ("요약", {"refusal": ""}, Answer("요약", "stop")),
        ("요약", {"refusal": None, "thoughts": None}, Answer("요약", "stop")),
    ],
)
def test_other_fields_of_the_message(
    content: str | None, further: dict[str, Any], expected: Answer | NoAnswer
) -> None:
    assert read_answer(content, "stop", **further) == expected


def test_dialogues_are_counted_by_reason_and_the_first_of_each_are_named() -> None:
    tally = Tally()
    for index in (9, 1, 0, 5, 3, 2, 7):
        why = NoAnswer.REFUSAL if index == 7 else NoAnswer.NO_TEXT if index > 1 else None
        tally.add(index, why)
    assert (tally.asked, tally.unanswered) == (7, 5)
    assert tally.missing == {NoAnswer.NO_TEXT: [9, 5, 3, 2], NoAnswer.REFUSAL: [7]}
    assert tally.line() == ("5 of 7 dialogues have no answer: 4 no text (no. 3, 4, 6, …), 1 refusal (no. 8)")


def test_each_generation_has_its_line() -> None:
    tallies = [Tally(), Tally(), Tally()]
    for number, tally in enumerate(tallies):
        tally.add(0, None)
        if number != 1:
            tally.add(number, NoAnswer.OPEN_THOUGHTS if number else NoAnswer.NO_TEXT)
    first, third = unanswered_lines("http://host/v1", tallies, stopped=False)
    assert first.startswith("http://host/v1: part 1 of 3: 1 of 2 dialogues")
    assert third.startswith("http://host/v1: part 3 of 3: 1 of 2 dialogues")
    assert "generate.max_new_tokens" in third
    assert "generate.max_new_tokens" not in first
    assert unanswered_lines("http://host/v1", tallies[1:2], stopped=False) == []
