"""Turns: from a text, from a list, with speakers and times; and the text that they make up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.data import Dialogue, Turn, dialogue_hash, read_dialogues
from llm_summ.data.dialogue import text_turns
from llm_summ.data.formats import read_table, write_table
from llm_summ.data.turn_list import read_turns, seconds, turn_texts

pieces = st.sampled_from(
    [
        "#Person1#",
        "#Person2#",
        ":",
        "：",
        " ",
        "\t",
        "\u3000",
        "\n",
        "\r",
        "네",
        "상담사",
        "고객",
        "[",
        "]",
        "3시",
        ".",
    ]
)
dialogue_texts = st.lists(pieces, max_size=25).map("".join)


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("#Person1#: 네\n#Person2#: 예", [Turn("#Person1#", "네"), Turn("#Person2#", "예")]),
        ("상담사: 네\n(침묵)\n고객: 예", [Turn("상담사", "네"), Turn(None, "(침묵)"), Turn("고객", "예")]),
        # written in another way than "speaker: text"
        ("상담사:네\n고객:예", [Turn("상담사", "네", label="상담사:"), Turn("고객", "예", label="고객:")]),
        ("[상담사] 네\n[고객] 예", [Turn("상담사", "네", label="[상담사] "), Turn("고객", "예", label="[고객] ")]),
        (" #Person1# ：  네", [Turn("#Person1#", "네", label=" #Person1# ：  ")]),
        ("#Person1#:\n#Person2#: ", [Turn("#Person1#", "", label="#Person1#:"), Turn("#Person2#", "")]),
        ("네", [Turn(None, "네")]),
        ("", [Turn(None, "")]),
    ],
)
def test_the_lines_of_a_text_are_turns(text: str, turns: list[Turn]) -> None:
    assert Dialogue("a", text).turns == tuple(turns)


@given(dialogue_texts)
def test_turns_make_up_the_text_again(text: str) -> None:
    dialogue = Dialogue("a", text)
    assert "\n".join(map(str, dialogue.turns)) == "\n".join(dialogue.turn_texts) == text
    assert dialogue.speakers == tuple(dict.fromkeys(turn.speaker for turn in dialogue.turns if turn.speaker))
    given = dialogue.with_turns(dialogue.turns)
    assert (given, given.turns, given.speakers) == (dialogue, dialogue.turns, dialogue.speakers)
    assert dialogue_hash(given.text) == dialogue_hash(text)


def test_the_text_is_derived_from_given_turns() -> None:
    turns = (Turn("민지", "네?\n정말요?", 0.5, 2.0), Turn(None, "(웃음)"), Turn("도윤", "예", 2.0))
    dialogue = Dialogue.of_turns("a", turns, ("요약",), "인사")
    assert dialogue == Dialogue("a", "민지: 네?\n정말요?\n(웃음)\n도윤: 예", ("요약",), "인사")
    assert hash(dialogue) == hash(Dialogue("a", dialogue.text, ("요약",), "인사"))
    assert dialogue.turns == turns
    assert dialogue.turn_texts == ("민지: 네?\n정말요?", "(웃음)", "도윤: 예")
    assert dialogue.speakers == ("민지", "도윤")
    assert dialogue.with_turns(turns[:1]) == Dialogue("a", "민지: 네?\n정말요?", ("요약",), "인사")


def test_turns_that_are_not_the_text_are_refused() -> None:
    with raises(ValueError) as error:
        Dialogue("a", "민지: 아니요", given_turns=(Turn("민지", "네"),))
    assert error.message == snapshot("a: the turns differ from the text; make the dialogue with Dialogue.of_turns")


def test_the_hash_of_a_dialogue_is_that_of_earlier_versions() -> None:
    """It is in the predictions of every run."""
    assert dialogue_hash("#Person1#: 안녕하세요?\n#Person2#: 네, 안녕하세요.") == "8a01dc33551d6a55"
    assert dialogue_hash(Dialogue.of_turns("a", [Turn("A", "네"), Turn(None, "예")]).text) == dialogue_hash(
        "A: 네\n예"
    )


@pytest.mark.parametrize(
    ("items", "turns"),
    [
        ([{"speaker": "A", "text": "네", "start": 1, "end": 2.5}], [Turn("A", "네", 1.0, 2.5)]),
        ([{"speaker": "A", "text": "네", "start": "00:01:02,500"}], [Turn("A", "네", 62.5)]),
        # Other values than times are ignored, like other keys.
        ([{"role": "A", "content": "네", "start": "soon", "end": True}], [Turn("A", "네")]),
        ([{"speaker": "A", "text": "네\n정말?"}, "B: 예"], [Turn("A", "네\n정말?"), Turn("B", "예")]),
        (["A: 네", "B: 예"], [Turn("A", "네"), Turn("B", "예")]),
        (["A: 네\n정말?", "B: 예"], [Turn("A", "네\n정말?"), Turn("B", "예")]),
        (["A: 네\nB: 예\n그래"], [Turn("A", "네"), Turn("B", "예\n그래")]),
        ([{"text": "A: 네\nB: 예", "start": 1, "end": 3}], [Turn("A", "네", 1.0), Turn("B", "예", None, 3.0)]),
        (
            [{"speaker": "", "text": "(침묵)\n"}, {"speaker": "A", "text": ""}],
            [Turn(None, "(침묵)\n"), Turn("A", "")],
        ),
    ],
)
def test_a_list_keeps_speakers_and_times(tmp_path: Path, items: list[Any], turns: list[Turn]) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"fname": "a", "turns": items}), encoding="utf-8")
    [dialogue] = read_dialogues(str(path))
    assert dialogue.turns == tuple(turns)
    if len({type(item) for item in items}) == 1:  # a list of parquet has one type
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
        write_table(read_table(path, ()), tmp_path / "chat.parquet")
        [again] = read_dialogues(str(tmp_path / "chat.parquet"))
        assert (again, again.turns) == (dialogue, dialogue.turns)


@given(
    st.lists(st.tuples(st.sampled_from(["A", "민지", "#Person1#", ""]), dialogue_texts), min_size=1, max_size=5)
)
def test_the_text_of_a_list_is_what_it_was(items: list[tuple[str, str]]) -> None:
    """A turn is its speaker, a colon, a space and its text, however the turns are divided."""
    turns: list[Any] = [{"speaker": speaker, "text": text} for speaker, text in items]
    expected = "\n".join(f"{speaker}: {text}" if speaker else text for speaker, text in items)
    assert "\n".join(turn_texts("x", turns)) == expected
    assert "\n".join(map(str, read_turns("x", turns))) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3.0),
        (0.25, 0.25),
        ("02:33", 153.0),
        ("105:18", 6318.0),
        ("1:02:33.5", 3753.5),
        ("00:02:33,480", 153.48),
        *((value, None) for value in (None, True, "", "soon", "3", [1], float("nan"), float("inf"))),
    ],
)
def test_times_in_seconds(value: Any, expected: float | None) -> None:
    assert seconds(value) == (pytest.approx(expected) if expected is not None else None)


def test_every_line_of_the_sample_has_a_speaker() -> None:
    for dialogue in read_dialogues("sample:train"):
        assert all(turn.speaker and turn.label is None for turn in dialogue.turns)
        assert text_turns(dialogue.text) == dialogue.turns
