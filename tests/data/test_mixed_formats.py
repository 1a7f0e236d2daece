"""Files with two formats in them: refused with the line where the second one begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import DataError
from llm_summ.data import read_dialogues

FORMATS = Path(__file__).parent / "formats"


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            "windows-ko.txt",
            "vtt-zoom.vtt",
            snapshot(
                "…/both.txt:33: read as kakaotalk, but found a line of vtt or srt («WEBVTT»); expected one "
                "format; divide the file there"
            ),
        ),
        (
            "vtt-zoom.vtt",
            "windows-ko.txt",
            snapshot(
                "…/both.vtt:57: read as vtt, but found a line of kakaotalk («저장한 날짜 : 2026-03-02 18:20:11»); "
                "expected one format; divide the file there"
            ),
        ),
        (
            "text.txt",
            "srt.srt",
            snapshot(
                "…/both.txt:22: read as text, but found a line of vtt or srt («00:00:02,000 --> 00:00:03,500»); "
                "expected one format; divide the file there"
            ),
        ),
    ],
)
def test_the_line_where_another_format_begins_is_named(
    tmp_path: Path, first: str, second: str, message: str
) -> None:
    path = tmp_path / f"both{Path(first).suffix}"
    text = (FORMATS / first).read_text(encoding="utf-8-sig").rstrip("\n") + "\n\n"
    path.write_text(text + (FORMATS / second).read_text(encoding="utf-8-sig"), encoding="utf-8")
    with raises(DataError) as error:
        read_dialogues(path)
    assert error.message == message
    line = int(str(error.value).removeprefix(f"{path}:").partition(":")[0])
    assert line > text.count("\n")


def test_two_exports_of_the_same_format_are_one_file(tmp_path: Path) -> None:
    text = (FORMATS / "vtt-zoom.vtt").read_text(encoding="utf-8-sig")
    path = tmp_path / "both.vtt"
    path.write_text(text + "\n\n" + text, encoding="utf-8")
    assert read_dialogues(path)


def test_words_about_a_format_are_words(tmp_path: Path) -> None:
    path = tmp_path / "talk.txt"
    path.write_text(
        "민지: 파일이 WEBVTT 로 시작해?\n도윤: 응, 00:01.000 --> 00:02.000 같은 줄도 있어\n", encoding="utf-8"
    )
    [dialogue] = read_dialogues(path)
    assert len(dialogue.turns) == 2


def test_a_chat_below_another_text_is_refused(tmp_path: Path) -> None:
    note = (FORMATS / "clova-note.txt").read_text(encoding="utf-8-sig")
    path = tmp_path / "both.txt"
    path.write_text(note + "\n\n" + (FORMATS / "windows-en.txt").read_text(encoding="utf-8-sig"), encoding="utf-8")
    with raises(DataError) as raised:
        read_dialogues(path)
    assert raised.message == snapshot(
        "…/both.txt: read as kakaotalk, but found 28 lines before the first message; expected a heading "
        "of at most 10; if they belong to something else, divide the file there"
    )
