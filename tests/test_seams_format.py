"""The seam of formats: a format from outside the package goes through every command that reads or writes data."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import Result, llm_summ, refused
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import DataError
from llm_summ.data import Turn, read_dialogues, read_hypotheses
from llm_summ.data.formats import Format, find_format, register, registry, writer_for
from llm_summ.data.table import Record, Table
from llm_summ.data.turn_list import seconds

NAMES = ("민지", "도윤", "서연")
_TURN = re.compile(r"\((?P<clock>[\d:]+)\) (?P<speaker>[^>]+)> (?P<text>.*)")


def read_notes(path: Path, required: Sequence[str]) -> Table:
    """Read blocks of a line ``@@ id``, lines ``(mm:ss) speaker> text``, and a line ``= summary``."""
    records: list[Record] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("@@ "):
            records.append(Record(number, {"fname": line[3:], "turns": [], "summary": ""}))
        elif line.startswith("= "):
            records[-1].values["summary"] = line[2:]
        elif match := _TURN.fullmatch(line):
            turn = {"speaker": match["speaker"], "text": match["text"], "start": seconds(match["clock"])}
            records[-1].values["turns"].append(turn)
        elif line.strip():
            raise DataError(f"{path}:{number}: found {line!r}; expected a line such as (00:01) name> text")
    return Table(path, ("fname", "turns", "summary"), records)


def write_notes(table: Table, path: Path) -> bytes:
    lines = []
    for record in table.records:
        lines.append(f"@@ {record.values['fname']}")
        lines += [
            f"({turn['start'] // 60:02.0f}:{turn['start'] % 60:02.0f}) {turn['speaker']}> {turn['text']}"
            for turn in record.values["turns"]
        ]
        lines.append(f"= {record.values['summary']}")
    return "".join(f"{line}\n" for line in lines).encode()


def read_messenger(path: Path, required: Sequence[str]) -> Table:
    """Read an export with a header ``Day,Who,Words``: one conversation, its lines in order."""
    _, *rows = path.read_text(encoding="utf-8").splitlines()
    turns = [dict(zip(("speaker", "text"), row.split(",", 2)[1:], strict=True)) for row in rows]
    return Table(path, ("fname", "turns"), [Record(2, {"fname": path.stem, "turns": turns})])


NOTES = Format("notes", (".notes",), read=read_notes, write=write_notes)
MESSENGER = Format(
    "messenger export",
    (".csv", ".chat"),
    read=read_messenger,
    sniff=lambda path, head: head.startswith(b"Day,Who,Words"),
)


@pytest.fixture(autouse=True)
def formats(monkeypatch: pytest.MonkeyPatch, in_tmp: Path) -> None:
    monkeypatch.setattr(registry, "FORMATS", list(registry.FORMATS))
    register(NOTES)
    register(MESSENGER)


def ran(result: Result) -> str:
    assert result.code == 0, result
    return result.out


def notes(count: int) -> str:
    """Conversations that are not near-duplicates of each other."""
    words = [
        *("가게", "나무", "다리", "라면", "마음", "바다", "사과", "아침", "자전거"),
        *("창문", "카드", "토끼", "편지"),
    ]
    blocks = []
    for number in range(count):
        chance = random.Random(number)
        texts = [" ".join(chance.choices(words, k=9)) for _ in range(4)]
        turns = [f"({turn:02}:{number:02}) {NAMES[turn % 3]}> {text}" for turn, text in enumerate(texts)]
        blocks.append("\n".join([f"@@ n_{number}", *turns, f"= {number}번째 대화입니다."]))
    return "\n".join(blocks) + "\n"


def test_statistics_of_a_new_format() -> None:
    Path("a.notes").write_text(notes(12), encoding="utf-8")
    [found] = json.loads(ran(llm_summ("data", "stats", "a.notes", "--json")))
    assert found["rows"] == 12
    assert found["measures"]["turns"]["mean"] == 4
    assert found["speaker_shares"] == {"3": 1.0}
    assert found["measures"]["references"]["min"] == 1
    turns = read_dialogues("a.notes")[1].turns
    assert [turn.speaker for turn in turns] == ["민지", "도윤", "서연", "민지"]
    assert [turn.start for turn in turns] == [1, 61, 121, 181]


def test_a_new_format_is_checked_and_repaired() -> None:
    Path("a.notes").write_text(notes(3).replace("= 2번째", "= #Person9#이 &amp; 2번째"), encoding="utf-8")
    report = json.loads(ran(llm_summ("data", "check", "a.notes", "--json", "--fix", "b.notes")))
    places = {finding["kind"]: finding["places"][0]["line"] for finding in report["findings"]}
    assert places["html"] == places["tag-not-in-dialogue"] == 13
    assert "a.notes:13 n_2" in ran(llm_summ("data", "check", "a.notes"))
    assert Path("b.notes").read_text(encoding="utf-8") == notes(3).replace("= 2번째", "= #Person9#이 & 2번째")
    ran(llm_summ("data", "check", "a.notes", "--fix", "c.jsonl"))
    assert read_dialogues("c.jsonl") == read_dialogues("b.notes")
    assert [turn.start for turn in read_dialogues("c.jsonl")[1].turns] == [1, 61, 121, 181]


def test_a_new_format_is_split_and_written() -> None:
    Path("all.notes").write_text(notes(20), encoding="utf-8")
    ran(llm_summ("data", "split", "all.notes", "--out", "parts", "--dev", "5"))
    assert sorted(path.name for path in Path("parts").iterdir()) == ["dev.notes", "train.notes"]
    parts = [*read_dialogues("parts/train.notes"), *read_dialogues("parts/dev.notes")]
    assert len(read_dialogues("parts/dev.notes")) == 5
    whole = {dialogue.id: dialogue.turns for dialogue in read_dialogues("all.notes")}
    assert {dialogue.id: dialogue.turns for dialogue in parts} == whole


def test_content_decides_between_formats_that_share_a_suffix() -> None:
    Path("chat.csv").write_text("Day,Who,Words\n2026-03-02,민지,네\n2026-03-02,도윤,예\n", encoding="utf-8")
    Path("table.csv").write_text("fname,dialogue\na,민지: 네\n", encoding="utf-8")
    assert [find_format(Path(name)).name for name in ("chat.csv", "table.csv")] == ["messenger export", "CSV"]
    assert read_dialogues("chat.csv")[0].turns == (Turn("민지", "네"), Turn("도윤", "예"))
    [chat, table] = json.loads(ran(llm_summ("data", "stats", "chat.csv", "table.csv", "--json")))
    assert (chat["measures"]["speakers"]["mean"], table["measures"]["speakers"]["mean"]) == (2, 1)
    # The repaired copy of a format that is only read has another format: here CSV cannot hold turns.
    assert refused(llm_summ("data", "check", "chat.csv", "--fix", "new.csv")) == snapshot(
        "new.csv: chat.csv:2 has a list in turns, which CSV cannot hold; choose a name that ends in "
        ".jsonl or .parquet"
    )
    ran(llm_summ("data", "check", "chat.csv", "--fix", "new.jsonl"))
    assert read_dialogues("new.jsonl")[0].turns == read_dialogues("chat.csv")[0].turns


def test_a_format_that_is_only_read_is_split_into_jsonl() -> None:
    rows = [{"fname": str(n), "turns": [f"A: {chr(0xAC00 + n) * 50}"]} for n in range(10)]
    only_read = Format(
        "blob", (".blob",), read=lambda path, _: Table(path, ("fname", "turns"), [Record(1, row) for row in rows])
    )
    register(only_read)
    Path("all.blob").write_bytes(b"x")
    done = llm_summ("data", "split", "all.blob", "--out", "parts", "--dev", "2")
    assert done.code == 0, done
    assert plain(done.err) == snapshot("all.blob: blob files are only read; the parts are .jsonl files\n")
    assert len(read_dialogues(["parts/train.jsonl", "parts/dev.jsonl"])) == 10
    with raises(DataError) as raised:
        writer_for(Path("b.blob"))
    assert raised.message == snapshot(
        "b.blob: found a name that ends in '.blob'; expected .csv, .jsonl, .parquet, .json, .notes"
    )


def test_predictions_may_have_a_new_format_and_columns_are_checked() -> None:
    Path("a.notes").write_text(notes(2), encoding="utf-8")
    Path("b.chat").write_text("Day,Who,Words\n2026-03-02,민지,네\n", encoding="utf-8")
    assert read_hypotheses(Path("a.notes")) == {"n_0": "0번째 대화입니다.", "n_1": "1번째 대화입니다."}
    done = llm_summ("eval", "a.notes", "--compare", "a.notes", "b.chat")
    assert refused(done) == snapshot("b.chat: no column summary; found fname, turns; expected fname, summary")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "x.chat",
            "fname,dialogue\n",
            snapshot(
                "x.chat: found no format that is known, but «fname,dialogue»; expected messenger export in a "
                ".chat file"
            ),
        ),
        (
            "x.notes",
            "@@ a\nwhat\n",
            snapshot("x.notes:2: found 'what'; expected a line such as (00:01) name> text"),
        ),
        ("x.notes", "", snapshot("x.notes: no rows; expected at least one dialogue")),
        (
            "x.doc",
            "",
            snapshot(
                "x.doc: found a name that ends in '.doc'; expected .csv, .jsonl, .parquet, .txt, .json, .vtt, "
                ".srt, .zip, .notes, .chat"
            ),
        ),
    ],
)
def test_files_that_no_format_reads(name: str, content: str, message: str) -> None:
    Path(name).write_text(content, encoding="utf-8")
    assert refused(llm_summ("data", "stats", name)) == message


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            Format("notes", (".new",), read=read_notes),
            snapshot("format notes: found another format of this name; expected a new name"),
        ),
        (
            Format("new", (".notes",), read=read_notes),
            snapshot("format new: .notes files are read already; give the format a sniff function"),
        ),
        (
            Format("new", (".csv",), read=read_notes),
            snapshot("format new: .csv files are read already; give the format a sniff function"),
        ),
        (
            Format("new", ("new",), read=read_notes),
            snapshot("format new: suffix 'new': expected a dot and small letters, like '.csv'"),
        ),
        (
            Format("new", (".NEW",), read=read_notes),
            snapshot("format new: suffix '.NEW': expected a dot and small letters, like '.csv'"),
        ),
    ],
)
def test_formats_that_cannot_be_registered(new: Format, message: str) -> None:
    before = list(registry.FORMATS)
    with raises(ValueError) as raised:
        register(new)
    assert raised.message == message
    assert before == registry.FORMATS
