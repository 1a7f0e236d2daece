"""What is written in a format is read from it, for any conversation; and the converted file has the same turns."""

from __future__ import annotations

from pathlib import Path

import pytest
from compose import BEGAN, CHATS, SPEECH, Composer, Said
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_summ.data import Turn, read_dialogues
from llm_summ.data.convert import convert
from llm_summ.data.formats import find_format
from llm_summ.data.formats.conversation import ReadOptions, read_conversations

NAMES = ("민지", "김 과장", "Minji Kim", "참석자 1", "도윤")
_WORDS = st.lists(st.text("가나다라마ㅋㅠabcZ19.,?!~&<()'\"", min_size=1, max_size=7), min_size=1, max_size=6).map(
    " ".join
)
_LINES = st.lists(_WORDS, min_size=1, max_size=3).map("\n".join)
_SPEECH_WORDS = st.lists(
    st.text("가나다라마바사거너더abc19?!", min_size=2, max_size=6), min_size=1, max_size=8
).map(" ".join)


@st.composite
def chats(draw: st.DrawFn) -> list[Said]:
    seconds, said = 0, []
    for text in draw(st.lists(_LINES, min_size=1, max_size=8)):
        speaker = draw(st.sampled_from([*NAMES, "[팀] 도윤", "김, 하늘 (이사)", "@handle"]))
        said.append(Said(speaker, text.strip(), seconds))
        seconds += 60 * draw(st.integers(0, 3000))
    return said


@st.composite
def speeches(draw: st.DrawFn) -> list[Said]:
    texts = draw(st.lists(_SPEECH_WORDS, min_size=2, max_size=9))
    return [
        Said(NAMES[index % 2], text, float(index * 7)) for index, text in enumerate(texts[: len(texts) // 2 * 2])
    ]


@pytest.mark.parametrize("form", CHATS)
@settings(max_examples=60)
@given(conversation=chats())
@example(
    conversation=[
        Said("민지", "X : 도윤님이 나갔습니다.\n둘째 줄", 0),
        Said("김, 하늘 (이사)", "합계 : 1,200원", 86_400),
    ]
)
def test_every_message_of_a_chat_comes_back(
    tmp_path_factory: pytest.TempPathFactory, form: str, conversation: list[Said]
) -> None:
    name, suffix, compose = CHATS[form]
    path = written(tmp_path_factory, compose, suffix, conversation)
    assert find_format(path).name == name
    [whole] = read_conversations(path, find_format(path), ReadOptions("whole")).conversations
    expected = [Turn(said.speaker, said.text, said.at) for said in conversation]
    assert whole.turns == expected
    assert whole.values["date"] == BEGAN.isoformat(" ", "minutes")
    parts = read_conversations(path, find_format(path), ReadOptions()).conversations
    assert [turn[:2] for part in parts for turn in part.turns] == [turn[:2] for turn in expected]
    assert len({part.id for part in parts}) == len(parts)
    comes_back(path)


@pytest.mark.parametrize("form", SPEECH)
@settings(max_examples=40)
@given(conversation=speeches())
def test_every_turn_of_a_transcript_comes_back(
    tmp_path_factory: pytest.TempPathFactory, form: str, conversation: list[Said]
) -> None:
    name, suffix, compose = SPEECH[form]
    if form == "aihub-finance":
        conversation = [
            said._replace(speaker=("고객", "상담사")[index % 2]) for index, said in enumerate(conversation)
        ]
    path = written(tmp_path_factory, compose, suffix, conversation)
    assert find_format(path).name == name
    [dialogue] = read_dialogues(str(path))
    assert [(turn.speaker, turn.text) for turn in dialogue.turns] == [said[:2] for said in conversation]
    timed = not form.startswith(("malpyeong", "aihub-582", "aihub-calls", "aihub-finance", "text"))
    assert [turn.start for turn in dialogue.turns] == [said.at if timed else None for said in conversation]
    if form.startswith(("malpyeong", "aihub-dialogue", "aihub-582", "aihub-calls", "aihub-finance")):
        assert dialogue.references == ("요약",)
    comes_back(path)


@settings(max_examples=40)
@given(conversation=speeches(), more=speeches())
def test_malpyeong_is_written_as_it_was_read(
    tmp_path_factory: pytest.TempPathFactory, conversation: list[Said], more: list[Said]
) -> None:
    """Several utterances in a row are one turn, and yet the array is the same again."""
    path = written(tmp_path_factory, SPEECH["malpyeong"][2], ".json", [*conversation, *more, *more[-1:]])
    out = path.with_name("again.json")
    convert([str(path)], out)
    assert json_of(out) == json_of(path)


def written(factory: pytest.TempPathFactory, compose: Composer, suffix: str, conversation: list[Said]) -> Path:
    path = factory.mktemp("read") / f"talk{suffix}"
    path.write_bytes(compose(conversation).encode())
    return path


def comes_back(path: Path) -> None:
    """The converted file has the same dialogues, turns and times."""
    out = path.with_name("out.jsonl")
    convert([str(path)], out)
    direct, converted = read_dialogues(str(path)), read_dialogues(str(out))
    assert converted == direct
    assert [dialogue.turns for dialogue in converted] == [dialogue.turns for dialogue in direct]


def json_of(path: Path) -> object:
    import json

    return json.loads(path.read_text(encoding="utf-8"))
