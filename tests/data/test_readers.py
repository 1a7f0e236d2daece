"""Composed files in every format, with the traps that real ones have, and the turns that they hold."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest

from llm_summ.data import Turn, read_dialogues
from llm_summ.data.formats import find_format
from llm_summ.data.formats.archive import read_files
from llm_summ.data.formats.conversation import Conversation, Reading, ReadOptions, read_conversations

FOLDER = Path(__file__).parent / "formats"
GOLDEN: dict[str, dict[str, Any]] = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))


def file_of(name: str) -> Path:
    [path] = [path for path in FOLDER.iterdir() if path.stem == name]
    return path


def reading_of(path: Path, options: ReadOptions) -> tuple[str, Reading]:
    """Return the format and what was read; of an archive, of all its files together."""
    if path.suffix != ".zip":
        known = find_format(path)
        return known.name, read_conversations(path, known, options)
    whole, names = Reading(), set()
    for _, name, result in read_files(path, options):
        assert isinstance(result, Reading), result
        names |= {name} - {""}
        whole.conversations += result.conversations
        whole.dropped.update(result.dropped)
    [name] = names
    return name, whole


def as_golden(conversation: Conversation) -> dict[str, Any]:
    turns = [[turn.speaker, turn.text, turn.start, turn.end] for turn in conversation.turns]
    values = {key: conversation.values[key] for key in ("topic", "summary", "date") if key in conversation.values}
    return {"id": conversation.id, "turns": turns, **values}


def test_every_file_has_its_golden_turns() -> None:
    assert {path.stem for path in FOLDER.iterdir()} - {"golden"} == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_turns_of_a_format(name: str) -> None:
    golden = GOLDEN[name]
    found, reading = reading_of(file_of(name), ReadOptions())
    assert found == golden["format"]
    assert [as_golden(one) for one in reading.conversations] == golden["dialogues"]
    assert {kind: number for kind, number in reading.dropped.items() if number} == golden["dropped"]


@pytest.mark.parametrize("name", GOLDEN)
def test_every_command_reads_it_as_it_is(name: str) -> None:
    dialogues = read_dialogues(str(file_of(name)))
    for dialogue, golden in zip(dialogues, GOLDEN[name]["dialogues"], strict=True):
        assert dialogue.id == golden["id"]
        assert [[turn.speaker, turn.text, turn.start, turn.end] for turn in dialogue.turns] == golden["turns"]
        assert dialogue.references == tuple(filter(None, [golden.get("summary")]))
        assert dialogue.topic == golden.get("topic")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("windows-ko", {"system": 4, "placeholder": 2, "deleted": 1}),
        ("android-ko", {"system": 2, "placeholder": 1, "deleted": 1}),
        ("mac", {"system": 1, "placeholder": 2, "deleted": 1}),
        ("slack-export", {"system": 1, "deleted": 1}),
    ],
)
def test_lines_that_are_no_messages_are_kept_on_demand(name: str, kept: dict[str, int]) -> None:
    plain = sum(len(one["turns"]) for one in GOLDEN[name]["dialogues"])
    for kind, number in kept.items():
        _, reading = reading_of(file_of(name), ReadOptions(keep=frozenset({kind})))
        assert sum(len(one.turns) for one in reading.conversations) == plain + number, kind
        assert not reading.dropped[kind]
    if "system" in kept:
        _, reading = reading_of(file_of(name), ReadOptions(keep=frozenset({"system"})))
        assert any(turn.speaker is None for one in reading.conversations for turn in one.turns)


@pytest.mark.parametrize("name", ["windows-ko", "android-en", "ios", "mac"])
def test_where_a_chat_is_cut(name: str) -> None:
    def lengths(options: ReadOptions) -> list[int]:
        return [len(one.turns) for one in reading_of(file_of(name), options)[1].conversations]

    assert lengths(ReadOptions()) == [11, 2, 3]
    assert lengths(ReadOptions("day")) == [11, 5]
    assert lengths(ReadOptions("whole")) == [16]
    assert lengths(ReadOptions(gap_minutes=600)) == [13, 3]
    assert lengths(ReadOptions(gap_minutes=3)) == [7, 4, 2, 3]
    [whole] = reading_of(file_of(name), ReadOptions("whole"))[1].conversations
    assert whole.id == name
    assert [one.id for one in reading_of(file_of(name), ReadOptions("day"))[1].conversations] == [
        f"{name}_2026-03-02",
        f"{name}_2026-03-03",
    ]


def test_a_copied_piece_without_a_day_passes_midnight(tmp_path: Path) -> None:
    path = tmp_path / "piece.txt"
    path.write_text("[민지] [오후 11:58] 자요?\n[도윤] [오전 12:03] 아니요\n둘째 줄\n", encoding="utf-8")
    [dialogue] = read_dialogues(str(path))
    assert dialogue.id == "piece"
    assert dialogue.turns == (Turn("민지", "자요?", 0), Turn("도윤", "아니요\n둘째 줄", 300))


def test_a_chat_pasted_into_a_message_stays_in_it(tmp_path: Path) -> None:
    lines = [f"2026. 3. 2. 오후 6:0{n}, 민지 : 말 {n}" for n in range(9)]
    lines.insert(4, "[도윤] [오후 5:00] 어제 한 말")
    path = tmp_path / "pasted.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    [dialogue] = read_dialogues(str(path))
    assert len(dialogue.turns) == 9
    assert dialogue.turns[3].text == "말 3\n[도윤] [오후 5:00] 어제 한 말"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_encodings_of_a_chat(tmp_path: Path, encoding: str) -> None:
    text = file_of("android-ko").read_text(encoding="utf-8").replace("ㅋㅋ", "")
    path = tmp_path / "android-ko.txt"
    path.write_bytes(text.encode(encoding))
    assert len(read_dialogues(str(path))) == 3


def test_a_date_in_a_message_is_no_day(tmp_path: Path) -> None:
    """Else the messages after it would be of another year."""
    text = (FOLDER / "windows-ko.txt").read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    lines = "일정이에요\n2027년 5월 1일\n2027년 5월 2일 일요일\n2027. 5. 3. 오후 6:00\nMarch 2, 2027"
    path = tmp_path / "windows-ko.txt"
    path.write_text(text.replace("네, 방금 받았어요", lines), encoding="utf-8")
    first, *_ = read_dialogues(str(path))
    assert first.id == "windows-ko_2026-03-02_1801"
    assert first.turns[1].text == lines
    assert len(first.turns) == 11


def test_a_cue_that_without_a_name(tmp_path: Path) -> None:
    """After a colon it continues; after brackets, as programs write them, the speaker is not known."""
    for label, speaker in (("민지:", "민지"), ("[SPEAKER_00]:", None)):
        cues = [
            f"{label} 하나.",
            f"{label} 둘.",
            "도윤: 셋." if speaker else "[SPEAKER_01]: 셋.",
            f"{label} 넷.",
            "다섯.",
        ]
        path = tmp_path / "a.srt"
        path.write_text(
            "\n".join(f"{n}\n00:00:0{n},000 --> 00:00:0{n},500\n{cue}\n" for n, cue in enumerate(cues)),
            encoding="utf-8",
        )
        last = read_dialogues(str(path))[0].turns[-1]
        assert (last.speaker, last.text.split()[-1]) == (speaker, "다섯.")


def test_ids_are_composed_hangul(tmp_path: Path) -> None:
    """Names that a Mac wrote, and names in a zip that a Korean Windows wrote."""
    path = tmp_path / f"{unicodedata.normalize('NFD', '대화')}.txt"
    path.write_text("민지: 네\n도윤: 예\n", encoding="utf-8")
    assert read_dialogues(str(path))[0].id == "대화"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("AAAAAA.txt", path.read_bytes())
    content = (tmp_path / "a.zip").read_bytes().replace(b"AAAAAA.txt", "회의록.txt".encode("cp949"))
    (tmp_path / "a.zip").write_bytes(content)
    assert read_dialogues(str(tmp_path / "a.zip"))[0].id == "회의록"
