"""Files as tables: any text is read back unchanged; and the forms of dialogues."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import DataError
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.formats import read_table, write_table
from llm_summ.data.formats.checks import MAX_FIELD_BYTES
from llm_summ.data.read import dialogue_column
from llm_summ.data.source import resolve_source
from llm_summ.data.table import Record, Table

pyarrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")

SHARED_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)

# Any text in UTF-8 without NUL, with many characters that CSV has rules for.
texts = st.text(
    st.sampled_from("\"',;\r\n\t #é가\u2028\ufeff")
    | st.characters(exclude_categories=["Cs"], exclude_characters="\0")
)
columns = st.lists(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5), min_size=1, max_size=4, unique=True
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def _values(table: Table) -> list[dict[str, Any]]:
    return [record.values for record in table.records]


def _table(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], **options: Any) -> Table:
    records = [Record(1, dict(zip(columns, row, strict=True))) for row in rows]
    return Table(Path(name), tuple(columns), records, **options)


@SHARED_FOLDER
@given(st.data(), columns, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-8-sig"]))
def test_any_csv_comes_back(
    tmp_path: Path, data: st.DataObject, columns: list[str], end: str, encoding: str
) -> None:
    width = len(columns)
    rows = data.draw(st.lists(st.lists(texts, min_size=width, max_size=width), min_size=1, max_size=4))
    table = _table("a.csv", columns, rows, line_end=end, encoding=encoding)
    path = tmp_path / "a.csv"
    write_table(table, path)
    found = read_table(path, ())
    assert (found.columns, _values(found)) == (table.columns, _values(table))
    assert (found.encoding, found.line_end) == (encoding, end)
    # Written again it is the same file, so a repair changes nothing that it does not name.
    again = tmp_path / "b.csv"
    write_table(found, again)
    assert again.read_bytes() == path.read_bytes()


@SHARED_FOLDER
@given(st.lists(st.dictionaries(texts, json_values, min_size=1, max_size=4), min_size=1, max_size=4))
def test_any_jsonl_comes_back(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "a.jsonl"
    write_table(Table(path, (), [Record(1, row) for row in rows]), path)
    assert _values(read_table(path, ())) == rows


@SHARED_FOLDER
@given(st.data(), columns)
def test_any_parquet_comes_back(tmp_path: Path, data: st.DataObject, columns: list[str]) -> None:
    width = len(columns)
    cells = st.none() | texts
    rows = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=4))
    path, again = tmp_path / "a.parquet", tmp_path / "b.parquet"
    schema = pyarrow.schema([(name, pyarrow.string()) for name in columns])
    write_table(_table("a.parquet", columns, rows, schema=schema), path)
    found = read_table(path, ())
    write_table(found, again)
    assert (
        _values(found) == _values(read_table(again, ())) == [dict(zip(columns, row, strict=True)) for row in rows]
    )


def test_the_sample_comes_back_byte_for_byte(tmp_path: Path) -> None:
    for part in ("train", "dev", "test"):
        path = resolve_source(f"sample:{part}")
        write_table(read_table(path, ()), tmp_path / "copy.csv")
        assert (tmp_path / "copy.csv").read_bytes() == path.read_bytes()


def test_columns_without_a_name_keep_their_values(tmp_path: Path) -> None:
    """An index, and the empty columns that a spreadsheet leaves at the end."""
    path, again = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text(",fname,dialogue,,\n0,a,x,9,8\n1,b,y,,7\n")
    assert [d.text for d in read_dialogues(str(path))] == ["x", "y"]
    write_table(read_table(path, ()), again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_csv_becomes_another_kind_of_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"dev{ending}"
    write_table(read_table(resolve_source("sample:dev"), ()), path)
    assert read_dialogues(str(path)) == read_dialogues("sample:dev")


def test_a_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("before")
    mixed = _table("a.jsonl", ["a"], [["text"], [3]])
    with raises(DataError) as error:
        write_table(mixed, path)
    assert error.message == snapshot("a.jsonl: cannot be written as parquet (…)")
    assert [path.read_text(), *tmp_path.iterdir()] == ["before", path]
    with raises(DataError) as error:
        write_table(mixed, tmp_path / "a.parquet" / "b.csv")
    assert error.message == snapshot(
        "…/a.parquet/b.csv: cannot be written (File exists); a file is where its folder should be: choose "
        "another folder"
    )
    with raises(DataError) as error:
        write_table(mixed, tmp_path / "a.xlsx")
    assert error.message == snapshot(
        "…/a.xlsx: found a name that ends in '.xlsx'; expected .csv, .jsonl, .parquet, .json"
    )


@pytest.mark.parametrize(
    ("turns", "text"),
    [
        (["#Person1#: 네?", "#Person2#: 아니요."], "#Person1#: 네?\n#Person2#: 아니요."),
        (
            [{"speaker": "#Person1#", "text": "네?"}, {"speaker": "#Person2#", "text": ""}],
            "#Person1#: 네?\n#Person2#: ",
        ),
        ([{"role": "상담사", "content": "네?"}, {"content": "(침묵)"}], "상담사: 네?\n(침묵)"),
        ([{"from": "A", "value": "네?", "time": 3}, {"name": "B", "utterance": "예"}], "A: 네?\nB: 예"),
    ],
)
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_turns_of_a_chat(tmp_path: Path, turns: list[Any], text: str, ending: str) -> None:
    path = tmp_path / f"chat{ending}"
    write_table(_table("chat.jsonl", ["fname", "turns", "summary"], [["a", turns, "요약"]]), path)
    assert read_dialogues(str(path)) == [Dialogue("a", text, ("요약",))]


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (
            "네?",
            snapshot('…/chat.jsonl:1: turns: found str; expected a list such as [{"speaker": "A", "text": "…"}]'),
        ),
        (["네?", 3], snapshot("…/chat.jsonl:1: turns: turn 2: found int; expected a text or an object")),
        (
            [{"speaker": "A"}],
            snapshot(
                "…/chat.jsonl:1: turns: turn 1: found speaker; expected a text under text or content or utterance "
                "or value, and a speaker under speaker or role or name or from"
            ),
        ),
        (
            [{"speaker": 1, "text": "네"}],
            snapshot("…/chat.jsonl:1: turns: turn 1: speaker: found int; expected a text"),
        ),
        (
            ["네?", {"role": "A", "content": ["네"]}],
            snapshot("…/chat.jsonl:1: turns: turn 2: content: found list; expected a text"),
        ),
        (
            [{"a\nb": 1}],
            snapshot(
                "…/chat.jsonl:1: turns: turn 1: found a b; expected a text under text or content or utterance or "
                "value, and a speaker under speaker or role or name or from"
            ),
        ),
        (
            [{}],
            snapshot(
                "…/chat.jsonl:1: turns: turn 1: found nothing; expected a text under text or content or utterance "
                "or value, and a speaker under speaker or role or name or from"
            ),
        ),
        ([], snapshot("…/chat.jsonl:1: a: empty dialogue; fill it in or remove the row")),
        (None, snapshot("…/chat.jsonl:1: a: empty dialogue; fill it in or remove the row")),
    ],
)
def test_turns_that_are_none(tmp_path: Path, turns: Any, said: str) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"fname": "a", "turns": turns}) + "\n", encoding="utf-8")
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == said


def test_a_line_break_within_a_turn_stays(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(
        json.dumps({"fname": "a", "turns": [{"role": "A", "content": "네?\n정말?"}, "B: 예"]}) + "\n",
        encoding="utf-8",
    )
    assert read_dialogues(str(path))[0].text == "A: 네?\n정말?\nB: 예"


@pytest.mark.parametrize(
    ("dialogue", "turns", "text"),
    [
        ("", ["A: 네"], "A: 네"),
        (" \n", ["A: 네"], "A: 네"),
        (None, ["A: 네"], "A: 네"),
        ("B: 예", ["A: 네"], "B: 예"),
        ("B: 예", 3, "B: 예"),
        ("B: 예", None, "B: 예"),
    ],
)
def test_turns_count_where_the_dialogue_is_blank(tmp_path: Path, dialogue: Any, turns: Any, text: str) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"fname": "a", "dialogue": dialogue, "turns": turns}) + "\n", encoding="utf-8")
    assert read_dialogues(str(path))[0].text == text
    [record] = read_table(path, ()).records
    assert dialogue_column(record) == ("dialogue" if text == dialogue else "turns")


def test_a_blank_dialogue_beside_a_number_of_turns_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("fname,dialogue,turns\na,,12\n", encoding="utf-8")
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == snapshot("…/a.csv:2: a: empty dialogue; fill it in or remove the row")


def test_a_csv_in_cp949_is_written_in_utf_8(tmp_path: Path) -> None:
    """With a byte order mark for the spreadsheet program that wrote it; a JSONL has one only if it had one."""
    source = tmp_path / "a.csv"
    for encoding, marks in (("cp949", (True, False)), ("utf-8-sig", (True, False)), ("utf-8", (False, False))):
        source.write_bytes("fname,dialogue\r\na,안녕하세요\r\n".encode(encoding))
        for ending, mark in zip((".csv", ".jsonl"), marks, strict=True):
            path = tmp_path / f"b{ending}"
            write_table(read_table(source, ()), path)
            assert path.read_bytes().startswith(b"\xef\xbb\xbf") is mark
            assert read_dialogues(str(path)) == [Dialogue("a", "안녕하세요")]
    lines = tmp_path / "a.jsonl"
    for encoding, mark in (("cp949", False), ("utf-8-sig", True), ("utf-8", False)):
        lines.write_bytes('{"fname": "a", "dialogue": "안녕하세요"}\n'.encode(encoding))
        write_table(read_table(lines, ()), tmp_path / "b.jsonl")
        assert (tmp_path / "b.jsonl").read_bytes().startswith(b"\xef\xbb\xbf") is mark


@pytest.mark.parametrize(
    ("values", "ending", "said"),
    [
        (
            {"turns": ["네"]},
            ".csv",
            snapshot(
                "…/b.csv: a.jsonl:7 has a list in turns, which CSV cannot hold; choose a name that ends in .jsonl "
                "or .parquet"
            ),
        ),
        (
            {"n": {"m": 1}},
            ".csv",
            snapshot(
                "…/b.csv: a.jsonl:7 has a dict in n, which CSV cannot hold; choose a name that ends in .jsonl or "
                ".parquet"
            ),
        ),
        (
            {"n": 2**64},
            ".parquet",
            snapshot("a.jsonl: cannot be written as parquet (…)"),
        ),
        (
            {"n": float("nan")},
            ".jsonl",
            snapshot(
                "a.jsonl:7: found a number that is not finite, which JSON does not have; choose a name that ends "
                "in .parquet"
            ),
        ),
    ],
)
def test_what_another_kind_of_file_cannot_hold(
    tmp_path: Path, values: dict[str, Any], ending: str, said: str
) -> None:
    path = tmp_path / f"b{ending}"
    with raises(DataError) as error:
        write_table(Table(Path("a.jsonl"), tuple(values), [Record(7, values)]), path)
    assert error.message == said
    assert not list(tmp_path.iterdir())


def test_the_form_of_dialogsum(tmp_path: Path) -> None:
    row = {"fname": "test_0", "dialogue": "#Person1#: Hi", "summary1": "A", "topic1": "greet", "summary2": "B"}
    path = tmp_path / "test.jsonl"
    path.write_text(json.dumps(row | {"topic2": "meet"}) + "\n", encoding="utf-8")
    assert read_dialogues(str(path)) == [Dialogue("test_0", "#Person1#: Hi", ("A", "B"), "greet")]


def test_several_files_are_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("fname,dialogue\na,x\nb,y\n")
    (tmp_path / "b.jsonl").write_text('{"fname": "c", "dialogue": "z"}\n')
    sources = [str(tmp_path / "a.csv"), str(tmp_path / "b.jsonl")]
    assert [dialogue.id for dialogue in read_dialogues(sources)] == ["a", "b", "c"]
    (tmp_path / "b.jsonl").write_text('{"fname": "b", "dialogue": "z"}\n')
    with raises(DataError) as error:
        read_dialogues(sources)
    assert error.message == snapshot("…/b.jsonl:1: duplicate id b, first in …/a.csv:3; ids must differ")


def test_shuffle_and_limit() -> None:
    whole = read_dialogues("sample:train")
    shuffled = read_dialogues("sample:train", shuffle=7)
    assert shuffled != whole
    assert sorted(shuffled, key=lambda d: d.id) == sorted(whole, key=lambda d: d.id)
    assert read_dialogues("sample:train", limit=5) == whole[:5]
    assert read_dialogues("sample:train", shuffle=7, limit=5) == shuffled[:5]
    assert read_dialogues("sample:train", shuffle=8, limit=5) != shuffled[:5]
    assert read_dialogues("sample:train", limit=1000) == whole


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_field_of_a_megabyte_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for size, fits in ((MAX_FIELD_BYTES - 2, True), (MAX_FIELD_BYTES + 2, False)):
        text = "가" * (size // 3)
        write_table(_table("x.csv", ["fname", "dialogue"], [["a", "x"], ["b", text]]), path)
        if fits:
            assert read_dialogues(str(path))[1].text == text
            continue
        place = {"a.csv": ":3", "a.jsonl": ":2", "a.parquet": ": row 2"}[name]
        with pytest.raises(DataError) as error:
            read_dialogues(str(path))
        assert str(error.value) == (
            f"{path}{place}: dialogue: found a field of 1,000,000 bytes, expected less than 1,000,000; "
            "is a quote missing before it?"
        ).replace("1,000,000 bytes", f"{len(text) * 3:,} bytes")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"",
            snapshot("…/a.parquet: not a parquet file that can be read (…)"),
        ),
        (
            b"PAR1" + b"\0" * 100 + b"PAR1",
            snapshot("…/a.parquet: not a parquet file that can be read (…)"),
        ),
    ],
)
def test_a_damaged_parquet(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == said


def test_reading_text_files_does_not_load_pyarrow() -> None:
    program = "import sys; from llm_summ.data import read_dialogues; read_dialogues('sample:dev'); "
    program += "print(sorted({'pyarrow', 'numpy', 'rapidfuzz'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
