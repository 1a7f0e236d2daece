"""Texts made to be read slowly: reading them takes time linear in their size.

Most of these took minutes or longer when a pattern was tried again from every character, or a loop went through
everything for every item; the others have what is close to them. No time is measured: the tests have to finish.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from messages import raises

from llm_summ.core.errors import DataError
from llm_summ.data import Dialogue, Turn, read_dialogues
from llm_summ.data.formats import find_format, read_table
from llm_summ.data.formats.archive import distinct_ids
from llm_summ.data.formats.conversation import Conversation
from llm_summ.data.labels import split_turns, tagging_of
from llm_summ.data.masks import masked
from llm_summ.data.readings import Ending, ending
from llm_summ.data.speakers import tagged
from llm_summ.data.tags import odd_tags

CUE = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n"


def turns_of(folder: Path, name: str, text: str) -> list[tuple[str | None, str]]:
    """Return the turns of a file with the only dialogue."""
    path = folder / name
    path.write_text(text)
    [dialogue] = read_dialogues(path)
    return [(turn.speaker, turn.text) for turn in dialogue.turns]


@pytest.mark.parametrize("opening", ["<v <c <b <", "<v.", "<v", "<i.", "<v" + " " * 1000])
def test_tags_of_captions_that_are_never_closed_are_words(tmp_path: Path, opening: str) -> None:
    text = opening * (300_000 // len(opening)) + "a"
    assert turns_of(tmp_path, "a.vtt", CUE + "<v 민지>네\n" + text) == [("민지", f"네 {' '.join(text.split())}")]


def test_a_voice_may_have_spaces_before_its_name(tmp_path: Path) -> None:
    spaces = " " * 90
    assert turns_of(tmp_path, "a.vtt", f"{CUE}<v{spaces}민지<b{spaces}>네") == [("민지<b", "네")]
    [(speaker, text)] = turns_of(tmp_path, "a.vtt", f"{CUE}<v{' ' * 300_000}민지>네")
    assert (speaker, text) == (None, "<v 민지>네")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_number_and_blank_lines_are_no_subtitles(tmp_path: Path, line_end: str) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes(f"1{line_end * 300_000}x".encode())
    with pytest.raises(DataError, match="no format"):
        find_format(path)


def test_spaces_behind_a_name_in_brackets_are_no_words(tmp_path: Path) -> None:
    text = "[민지]" + " " * 300_000 + "\n[민지] 네\n[도윤] 응"
    assert turns_of(tmp_path, "a.txt", text)[-2:] == [("민지", "네"), ("도윤", "응")]


def test_spaces_of_minutes_are_no_mark(tmp_path: Path) -> None:
    text = "○위원장 김민지  네." + " " * 300_000 + "끝 ○김도윤 위원  네."
    minutes = {"Meta(Acqusition)": {"doc_type": "minute"}, "Meta(Refine)": {"passage": text}, "Annotation": {}}
    turns = turns_of(tmp_path, "a.json", json.dumps([minutes]))
    assert [speaker for speaker, _ in turns] == ["위원장 김민지", "김도윤 위원"]


def test_signs_with_names_are_read_in_one_way_only(tmp_path: Path) -> None:
    text = "#@시스템#사진#" * 10_000
    utterances = [{"utterance": text, "participantID": "A"}, {"utterance": f"{text} 네", "participantID": "B"}]
    header = {"dialogueInfo": {"dialogueID": "a"}}
    content = json.dumps({"data": [{"header": header, "body": {"dialogue": utterances}}]})
    assert turns_of(tmp_path, "a.json", content) == [("B", f"{text} 네")]


def test_pieces_of_a_long_turn_are_joined_once(tmp_path: Path) -> None:
    said = ["네" * 1000] * 100 + ["a"] * 50_000
    whole = " ".join(said)
    segments = [{"text": text, "speaker": "A", "start": 0, "end": 1} for text in said]
    assert turns_of(tmp_path, "a.json", json.dumps({"segments": segments})) == [("A", whole)]


@pytest.mark.parametrize("end", ["", "\nx"])
def test_the_lines_of_a_messenger_about_people_may_be_long(tmp_path: Path, end: str) -> None:
    when = "2026년 3월 2일 오후 6:01, "
    came = "민지님이 " + "님을 들어왔습니다타인" * 20_000 + end
    text = f"{when}민지 : 네\n{when}{came}\n{when}민지 : 응\n"
    assert [turn for turn in turns_of(tmp_path, "a.txt", text) if turn[0]] == [("민지", "네"), ("민지", "응")]


def test_the_warning_behind_those_who_came_is_of_the_messenger_in_either_line(tmp_path: Path) -> None:
    when = "2026년 3월 2일 오후 6:01, "
    lines = [
        f"{when}민지 : 네",
        f"{when}도윤님이 들어왔습니다. ",
        "타인, 기관 등의 사칭에 유의해 주세요",
        f"{when}민지 : 응",
    ]
    lines += [f"{when}도윤님이 들어왔습니다.타인, 기관 등의 사칭에 유의", f"{when}민지 : 끝"]
    assert turns_of(tmp_path, "a.txt", "\n".join(lines)) == [("민지", "네"), ("민지", "응"), ("민지", "끝")]


def test_a_file_has_as_many_columns_as_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("fname,dialogue" + "," * 16_382 + "\na,민지: 네" + "," * 16_382)
    table = read_table(path, ("fname", "dialogue"))
    assert len(table.columns) == 16_384
    assert table.columns[2:5] == ("", " ", "  ")
    assert not "".join(table.columns[2:]).strip()
    path.write_text("fname,dialogue" + ",a" * 500_000)
    with raises(DataError) as caught:
        read_table(path, ("fname", "dialogue"))
    assert "500,002 columns" in caught.message


def test_the_first_of_many_columns_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    names = ",".join(f'"k{number}":1' for number in range(200_000))
    path.write_text(f'{{"fname":"a","dialogue":"민지: 네",{names},"z":1,"z":2}}\n')
    with pytest.raises(DataError, match="key 'z' is there twice"):
        read_table(path, ("fname", "dialogue"))


def test_a_long_name_of_a_column_may_be_like_that_of_references(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'fname,dialogue,"{"summary" * 50_000}\nx"\na,민지: 네,b\n')
    [dialogue] = read_dialogues(path)
    assert dialogue.references == ()


def test_many_files_of_one_name_have_ids_that_differ() -> None:
    conversations = [Conversation("a", [], derived_id=True) for _ in range(50_000)]
    distinct_ids(conversations)
    assert [one.id for one in conversations[:3]] == ["a", "a-2", "a-3"]
    assert len({one.id for one in conversations}) == 50_000


def test_one_line_with_many_labels_is_divided_before_each() -> None:
    parts = ['#Person1#: 네." #Person2#: "응.'] * 10_000  # the second label of each is in a quotation
    assert split_turns(" ".join(parts)).split("\n") == parts
    parts = ["#Person1#: 네.", "#Person2#: 응."] * 15_000
    assert split_turns(" ".join(parts)).split("\n") == parts


def test_misspelt_tags_in_one_line_are_found_once_each() -> None:
    text = " " * 100_000 + "#Peron1#: 네 " * 20_000
    assert tagging_of(text).speakers == {"#Person1#"}
    assert len([*odd_tags(text, True, frozenset({"#Person1#"}))]) == 20_000


def test_thousands_of_names_are_replaced_in_a_long_reference() -> None:
    turns = [Turn(f"이름 {number}", "네") for number in range(5_000)]
    reference = "이름 4999는 이름 하나를 모른다. " * 10_000
    dialogue, _ = tagged(Dialogue.of_turns("a", turns, (reference,)))
    assert dialogue.references == ("#Person5000#은 이름 하나를 모른다. " * 10_000,)


def test_values_of_many_lengths_are_masked() -> None:
    values = ["a." * number + "a@b.cc" for number in range(1, 300)]
    text = "\n".join(["민지: " + " ".join(values), "도윤: " + "a." * 30_000])
    dialogue, masks = masked(Dialogue("a", text))
    assert masks.counts == {"Email": 299}
    assert dialogue.text.endswith("a." * 30_000)


@pytest.mark.parametrize("behind", ["()" * 200_000, " " * 400_000, "!" * 400_000, "(팀장)" * 100_000])
def test_only_the_end_of_a_word_is_read(behind: str) -> None:
    assert ending(f"민지{behind}산") is Ending.CONSONANT
    assert ending("1" * 400_000 + "x 산") is Ending.CONSONANT
