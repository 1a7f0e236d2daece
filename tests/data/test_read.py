"""Data files: what is read, and what every refusal says."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import DataError, InputError, PredictionError
from llm_summ.data import Dialogue, dialogue_hash, read_dialogues, read_hypotheses, source_name
from llm_summ.data.report import check_files

Write = Callable[..., Path]

TURNS = "#Person1#: 안녕하세요?\n#Person2#: 네, 안녕하세요."
# tmp_path is shared by the examples of a property; every example writes its file again.
SHARED_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "dev.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def as_csv(rows: Sequence[Sequence[str]], quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


def as_jsonl(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_a_csv_is_read_as_it_stands(write: Write) -> None:
    path = write(as_csv([["fname", "dialogue", "summary", "topic"], ["dev_3", TURNS, "인사합니다.", "인사"]]))
    assert read_dialogues(str(path)) == [Dialogue("dev_3", TURNS, ("인사합니다.",), "인사")]


def test_a_jsonl_is_read_as_it_stands(write: Write) -> None:
    path = write(as_jsonl({"fname": "dev_3", "dialogue": TURNS, "summary": "인사합니다.", "n": 3}), "dev.jsonl")
    assert read_dialogues(str(path)) == [Dialogue("dev_3", TURNS, ("인사합니다.",), None)]


@pytest.mark.parametrize("name", ["dev.csv", "DEV.CSV", "dev.jsonl"])
def test_a_byte_order_mark_is_not_part_of_the_first_column(write: Write, name: str) -> None:
    content = (
        as_jsonl({"fname": "a", "dialogue": TURNS})
        if name.endswith("l")
        else as_csv([["fname", "dialogue"], ["a", TURNS]])
    )
    assert read_dialogues(str(write("\ufeff" + content, name))) == [Dialogue("a", TURNS)]


def test_line_ends_within_a_dialogue_are_kept(write: Write) -> None:
    path = write('fname,dialogue\r\na,"x\r\ny\nz"\r\n')
    assert read_dialogues(str(path))[0].text == "x\r\ny\nz"


def test_an_index_without_a_name_and_other_columns_are_left_alone(write: Write) -> None:
    path = write(",fname,note,dialogue\n0,a,n,x\n1,b,n,y\n")
    assert read_dialogues(str(path)) == [Dialogue("a", "x"), Dialogue("b", "y")]


@pytest.mark.parametrize(
    ("header", "row", "references"),
    [
        (["summary"], ["하나"], ("하나",)),
        (["summary1", "summary2", "summary3"], ["하나", "둘", "셋"], ("하나", "둘", "셋")),
        (["summary1", "summary2", "summary3"], ["하나", " ", "셋"], ("하나", "셋")),
        (["summary", "summary1"], ["하나", "둘"], ("하나", "둘")),
        (["summary", "summary.1", "summary.2"], ["하나", "둘", "셋"], ("하나", "둘", "셋")),
        (["summary_1", "summary 2", "summary-3"], ["하나", "둘", "셋"], ("하나", "둘", "셋")),
        (["summary0", "summary_01", "summary10"], ["하나", "둘", "셋"], ("하나", "둘", "셋")),
        (["summary2", "summary_2", "summary"], ["하나", "하나", "둘"], ("하나", "하나", "둘")),
        (["summary_en", "Summary"], ["one", "two"], ()),
    ],
)
def test_every_summary_column_is_a_reference(
    write: Write, header: list[str], row: list[str], references: tuple[str, ...]
) -> None:
    table = as_csv([["fname", "dialogue", *header], ["a", "x", *row]])
    lines = as_jsonl({"fname": "a", "dialogue": "x", **dict(zip(header, row, strict=True))})
    assert read_dialogues(str(write(table)))[0].references == references
    assert read_dialogues(str(write(lines, "dev.jsonl")))[0].references == references


@pytest.mark.parametrize(
    "column", ["Summary", "summary_en", "summary (2)", "SUMMARY2", "reference", "요약", "summaries"]
)
def test_a_column_that_is_not_read_as_a_reference_is_named(
    write: Write, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    path = write(as_csv([["fname", "dialogue", "summary", column], ["a", "x", "하나", "둘"]]))
    assert read_dialogues(str(path))[0].references == ("하나",)
    check_files([str(path)])
    notice = f"{path}: column {column} is not read; if it holds references, call it summary2\n"
    assert capsys.readouterr().err == notice * 2


def test_the_names_that_are_proposed_for_columns_are_free(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    header = ["fname", "dialogue", "Summary", "summary2", "reference"]
    read_dialogues(str(write(as_csv([header, ["a", "x", "하나", "둘", "셋"]]))))
    notices = capsys.readouterr().err.splitlines()
    assert [notice.rpartition(" ")[2] for notice in notices] == ["summary3", "summary4"]
    header = ["fname", "dialogue", "summary3", "summary2", "summary4"]
    renamed = write(as_csv([header, ["a", "x", "하나", "둘", "셋"]]))
    assert read_dialogues(str(renamed))[0].references == ("하나", "둘", "셋")


@pytest.mark.parametrize(
    "column", ["summary1", "summary.1", "summary_length", "n_summary_tokens", "topic", "note"]
)
def test_other_columns_are_not(write: Write, capsys: pytest.CaptureFixture[str], column: str) -> None:
    read_dialogues(str(write(as_csv([["fname", "dialogue", "summary", column], ["a", "x", "하나", "둘"]]))))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("header", "topic"),
    [
        (["topic"], "가"),
        (["topic1", "topic"], "나"),
        (["topic.1"], "가"),
        (["topic_1", "topic_2"], "가"),
        (["Topic"], None),
    ],
)
def test_the_topic(write: Write, header: list[str], topic: str | None) -> None:
    row = ["가", "나"][: len(header)]
    assert read_dialogues(str(write(as_csv([["fname", "dialogue", *header], ["a", "x", *row]]))))[0].topic == topic


def test_null_in_jsonl_is_the_same_as_nothing(write: Write) -> None:
    row = {"fname": "a", "dialogue": "x", "summary": None, "topic": None}
    assert read_dialogues(str(write(as_jsonl(row), "dev.jsonl"))) == [Dialogue("a", "x")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dev.csv", "\n\nfname,dialogue\n\na,x\n\r\nb,y\n\n\n"),
        ("dev.jsonl", '\n{"fname":"a","dialogue":"x"}\n  \n{"fname":"b","dialogue":"y"}\n\n'),
    ],
)
def test_blank_lines_between_rows_do_not_count(write: Write, name: str, content: str) -> None:
    assert read_dialogues(str(write(content, name))) == [Dialogue("a", "x"), Dialogue("b", "y")]


def test_a_last_line_without_a_line_end_counts(write: Write) -> None:
    assert len(read_dialogues(str(write("fname,dialogue\na,x\nb,y")))) == 2
    assert len(read_dialogues(str(write('{"fname":"a","dialogue":"x"}', "dev.jsonl")))) == 1


def test_a_meeting_longer_than_pythons_limit_for_a_field_is_read(write: Write) -> None:
    text = "#Person1#: 네\n" * 30_000
    assert read_dialogues(str(write(as_csv([["fname", "dialogue"], ["a", text]]))))[0].text == text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", snapshot("…/dev.csv: empty file; expected a header with fname, dialogue")),
        ("\ufeff", snapshot("…/dev.csv: empty file; expected a header with fname, dialogue")),
        ("\n\n", snapshot("…/dev.csv: empty file; expected a header with fname, dialogue")),
        ("fname,dialogue\n", snapshot("…/dev.csv: no rows; expected at least one dialogue")),
        (
            "fname;dialogue\na;x\n",
            snapshot(
                "…/dev.csv: found semicolons (;) between the fields; expected commas; convert it: python -c "
                "\"import csv,sys; csv.writer(sys.stdout,lineterminator='\\n"
                "').writerows(csv.reader(open(sys.argv[1],encoding='utf-8-sig',newline=''),delimiter=';'))\" "
                "…/dev.csv > dev-commas.csv"
            ),
        ),
        (
            "fname\tdialogue\na\tx\n",
            snapshot(
                '…/dev.csv: found tabs (\\t) between the fields; expected commas; convert it: python -c "import '
                "csv,sys; csv.writer(sys.stdout,lineterminator='\\n').writerows(csv.reader(open(sys.argv[1]"
                ",encoding='utf-8-sig',newline=''),delimiter='\\t'))\" …/dev.csv > dev-commas.csv"
            ),
        ),
        (
            "fname,summary\na,x\n",
            snapshot("…/dev.csv: no column dialogue; found fname, summary; expected fname, dialogue"),
        ),
        (
            ",id\n0,a\n",
            snapshot("…/dev.csv: no column fname, dialogue; found (no name), id; expected fname, dialogue"),
        ),
        (
            'fname,"dia\nlogue"\na,x\n',
            snapshot("…/dev.csv: no column dialogue; found fname, dia logue; expected fname, dialogue"),
        ),
        (
            "fname,dialogue,fname\na,x,b\n",
            snapshot("…/dev.csv: column fname is there twice; every column needs its own name"),
        ),
    ],
)
def test_a_csv_that_holds_no_rows_or_other_columns(write: Write, content: str, said: str) -> None:
    path = write(content)
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("fname,dialogue\na,x\n ,y\n", snapshot("…/dev.csv:3: empty fname; every row needs an id")),
        ("fname,dialogue\na,x\nb, \n", snapshot("…/dev.csv:3: b: empty dialogue; fill it in or remove the row")),
        (
            "fname,dialogue\na,x\nb,y\na,z\n",
            snapshot("…/dev.csv:4: duplicate id a, first in line 2; ids must differ"),
        ),
        (
            'fname,dialogue\n"a\nb",x\n',
            snapshot("…/dev.csv:2: fname: found a line break in 'a\\nb'; expected an id on one line"),
        ),
        (
            "fname,dialogue\na,x,y\n",
            snapshot("…/dev.csv:2: found 3 fields, expected 2 (fname, dialogue); quote a field that holds commas"),
        ),
        (
            ",fname,dialogue\n0,a,x\n1,b\n",
            snapshot(
                "…/dev.csv:3: found 2 fields, expected 3 ((no name), fname, dialogue); quote a field that holds a "
                "line break"
            ),
        ),
        (
            "fname,dialogue\na,x\nb,y\0z\n",
            snapshot("…/dev.csv:3: found a NUL byte; the file is damaged; copy or save it again"),
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(write: Write, content: str, said: str) -> None:
    path = write(content)
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == said


def test_a_line_number_counts_lines_and_not_rows(write: Write) -> None:
    """The row begins on line 7, as an editor shows it: a dialogue of three lines and an empty line precede it."""
    path = write('fname,dialogue\na,"1\n2\n3"\nb,x\n\nc,x,too many\n')
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == snapshot(
        "…/dev.csv:7: found 3 fields, expected 2 (fname, dialogue); quote a field that holds commas"
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('fname,dialogue\na,x\nb,"never closed\nc,y\n', 3),
        ('fname,dialogue\na,"1\n2"\nb,"closed" too early\n', 4),
    ],
)
def test_quotes_that_do_not_balance(write: Write, content: str, line: int) -> None:
    path = write(content)
    with pytest.raises(DataError) as error:
        read_dialogues(str(path))
    assert str(error.value).startswith(f"{path}:{line}: not valid CSV from here (")
    assert str(error.value).endswith("; check the quotes")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dev.csv", snapshot("…/dev.csv: read as CP949 (it is not UTF-8)\n")),
        ("dev.jsonl", snapshot("…/dev.jsonl: read as CP949 (it is not UTF-8)\n")),
    ],
)
def test_cp949_is_read_and_said(write: Write, capsys: pytest.CaptureFixture[str], name: str, message: str) -> None:
    row = ["dev_3", TURNS, "인사합니다.", "인사"]
    header = ["fname", "dialogue", "summary", "topic"]
    content = as_csv([header, row]) if name == "dev.csv" else as_jsonl(dict(zip(header, row, strict=True)))
    path = write(content.encode("cp949"), name)
    assert read_dialogues(str(path)) == [Dialogue("dev_3", TURNS, ("인사합니다.",), "인사")]
    assert plain(capsys.readouterr().err) == message


@pytest.mark.parametrize(
    "text",
    [
        "#Person1#: 진짜ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ 웃겨",
        "#Person1#: 아ㅠㅠㅠㅠㅠㅠ 몰라\n#Person2#: ㅇㅇ ㅎㅎㅎ 그래",
        TURNS + "ㅋ" * 500,
        "#Person1#: ㅋㅋㅋ ㅠㅠ",
        "#Person1#: ㅇㅋ\n#Person2#: ㄱㄱ ㄱㅅ",
        "ㅎ",
        "ㅡㅡ ㅗ ㅉㅉ “ㄴㄴ”…",
        "네 ㅇㅇ ㅋㅋ ㅎㅎ ㅠㅠ ㄷㄷ ㄹㅇ ㅇㅈ",
    ],
)
def test_a_chat_with_letters_in_pieces_is_cp949_too(write: Write, text: str) -> None:
    path = write(as_csv([["fname", "dialogue"], ["a", text]]).encode("cp949"))
    assert read_dialogues(str(path)) == [Dialogue("a", text)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "駅はどこですか。",
            snapshot("…/dev.csv:2: found byte 0xb1, neither UTF-8 nor Korean in CP949; save it as UTF-8"),
        ),
        (
            "どこですか。" * 3,
            snapshot("…/dev.csv:2: found byte 0xa4, neither UTF-8 nor Korean in CP949; save it as UTF-8"),
        ),
        (
            "あのねえ、",
            snapshot("…/dev.csv:2: found byte 0xa4, neither UTF-8 nor Korean in CP949; save it as UTF-8"),
        ),
        (
            "おはようございます。",
            snapshot("…/dev.csv:2: found byte 0xa4, neither UTF-8 nor Korean in CP949; save it as UTF-8"),
        ),
        (
            "コーヒーをください。",
            snapshot("…/dev.csv:2: found byte 0xa5, neither UTF-8 nor Korean in CP949; save it as UTF-8"),
        ),
    ],
)
def test_hiragana_is_no_chat(write: Write, text: str, message: str) -> None:
    with raises(DataError) as error:
        read_dialogues(str(write(as_csv([["fname", "dialogue"], ["a", text]]).encode("euc_jp"))))
    assert error.message == message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "fname,dialogue\na,안녕하세요\n".encode("utf-16"),
            snapshot(
                "…/dev.csv: found UTF-16; expected UTF-8; save it as UTF-8, or convert it: iconv -f UTF-16 -t "
                "UTF-8 …/dev.csv > dev-new.csv"
            ),
        ),
        (
            "fname,dialogue\na,안녕하세요\nb,".encode() + "안녕".encode()[:-1],
            snapshot("…/dev.csv: ends in the middle of a character; was it cut off? Copy it again"),
        ),
        (
            "fname,dialogue\na,안녕하세요\nb,".encode() + b"\xff\n",
            snapshot("…/dev.csv:3: found byte 0xff, neither UTF-8 nor Korean in CP949; save it as UTF-8"),
        ),
        # Valid CP949, and not Korean: a damaged UTF-8 file, or a Chinese one.
        (
            "fname,dialogue\na,你好，我要一杯咖啡\n".encode("gbk"),
            snapshot("…/dev.csv:2: found byte 0xc4, neither UTF-8 nor Korean in CP949; save it as UTF-8"),
        ),
    ],
)
def test_another_encoding_is_refused_and_named(write: Write, content: bytes, said: str) -> None:
    path = write(content)
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b'{"fname":"a","dialogue":"x"}\n{"fname":"b","dia',
            snapshot("…/dev.jsonl:2: not JSON (…); expected one JSON object a line"),
        ),
        (b'["a", "x"]\n', snapshot("…/dev.jsonl:1: found list; expected a JSON object a line")),
        (
            b'{"fname":"a","dialogue":"x"}\n3\n',
            snapshot("…/dev.jsonl:2: found int; expected a JSON object a line"),
        ),
        (b'{"fname":"a","dialogue":3}\n', snapshot("…/dev.jsonl:1: dialogue: found int; expected a text")),
        (b'{"fname":7,"dialogue":"x"}\n', snapshot("…/dev.jsonl:1: fname: found int; expected a text")),
        (
            b'{"fname":"a","dialogue":"x","summary2":["y"]}\n',
            snapshot("…/dev.jsonl:1: summary2: found list; expected a text"),
        ),
        (
            b'{"fname":"a","dialogue":"x","topic":false}\n',
            snapshot("…/dev.jsonl:1: topic: found bool; expected a text"),
        ),
        (
            b'{"fname":"a","dialogue":"\\ud800"}\n',
            snapshot("…/dev.jsonl:1: dialogue: found '\\ud800', half a character; expected a text"),
        ),
        (
            b'\n{"fname":"a"}\n',
            snapshot("…/dev.jsonl:2: no column dialogue; found fname; expected fname, dialogue"),
        ),
        (
            b'{"fname":"a","dialogue":"x","n":[NaN]}\n',
            snapshot(
                "…/dev.jsonl:1: not JSON (found NaN, not a number that can be kept); expected one JSON object a "
                "line"
            ),
        ),
        (
            b'{"fname":"a","dialogue":"x","n":[Infinity]}\n',
            snapshot(
                "…/dev.jsonl:1: not JSON (found Infinity, not a number that can be kept); expected one JSON "
                "object a line"
            ),
        ),
        (
            b'{"fname":"a","dialogue":"x","n":[-Infinity]}\n',
            snapshot(
                "…/dev.jsonl:1: not JSON (found -Infinity, not a number that can be kept); expected one JSON "
                "object a line"
            ),
        ),
        (
            b'{"fname":"a","dialogue":"x","n":[1e400]}\n',
            snapshot(
                "…/dev.jsonl:1: not JSON (found 1e400, not a number that can be kept); expected one JSON object a "
                "line"
            ),
        ),
        (
            b'{"fname":"a","\\udc80":"x"}\n',
            snapshot("…/dev.jsonl:1: a key: found '\\udc80', half a character; expected a text"),
        ),
        (
            b'{"fname":"a","dialogue":"x","m":{"\\udc80":1}}\n',
            snapshot("…/dev.jsonl:1: m: a key: found '\\udc80', half a character; expected a text"),
        ),
        (
            b'{"fname":"a","dialogue":"x","a\\nb":"\\u0000"}\n',
            snapshot("…/dev.jsonl:1: a b: found a NUL; expected a text"),
        ),
        (b"{}\n", snapshot("…/dev.jsonl:1: no column fname, dialogue; found none; expected fname, dialogue")),
        (
            b'{"fname":"a","dialogue":" "}\n',
            snapshot("…/dev.jsonl:1: a: empty dialogue; fill it in or remove the row"),
        ),
        (b"[" * 100_000 + b"\n", snapshot("…/dev.jsonl:1: not JSON (…); expected one JSON object a line")),
    ],
)
def test_a_jsonl_line_that_cannot_be_used(write: Write, content: bytes, said: str) -> None:
    path = write(content, "dev.jsonl")
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == said


def test_an_empty_jsonl(write: Write) -> None:
    path = write("", "dev.jsonl")
    with raises(DataError) as error:
        read_dialogues(str(path))
    assert error.message == snapshot("…/dev.jsonl: no rows; expected at least one dialogue")


def test_references_are_asked_for_only_where_they_are_needed(write: Write) -> None:
    path = write("fname,dialogue,summary1,summary2\na,x,y,\nb,x,, \n")
    assert [dialogue.references for dialogue in read_dialogues(str(path))] == [("y",), ()]
    with raises(DataError) as error:
        read_dialogues(str(path), references=True)
    assert error.message == snapshot("…/dev.csv:3: b: empty summary1, summary2; every row needs a reference")


def test_a_file_without_references_says_what_it_has(write: Write) -> None:
    path = write(",fname,dialogue\n0,a,x\n")
    with raises(DataError) as error:
        read_dialogues(str(path), references=True)
    assert error.message == snapshot(
        "…/dev.csv: no column summary (or summary1, summary2 …); found (no name), fname, dialogue; this "
        "command needs references"
    )


def test_a_missing_file_names_the_nearest(write: Write, tmp_path: Path) -> None:
    write("fname,dialogue\na,x\n", "dev.csv")
    missing = tmp_path / "dve.csv"
    with raises(DataError) as error:
        read_dialogues(str(missing))
    assert error.message == snapshot("…/dve.csv: no such file; did you mean …/dev.csv?")


def test_a_missing_file_with_nothing_near(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "folder.csv"
    with raises(DataError) as error:
        read_dialogues(str(missing))
    assert error.message == snapshot("…/no/folder.csv: no such file; `llm-summ data sample DIR` writes an example")


def test_a_missing_file_that_a_recipe_names(write: Write, tmp_path: Path) -> None:
    write("fname,dialogue,summary\n", "dev.csv")
    for name, message in (
        ("train.csv", snapshot("…/train.csv: no such file; name yours: --set data.train=PATH")),
        (
            "dve.csv",
            snapshot("…/dve.csv: no such file; did you mean …/dev.csv? Name yours: --set data.train=PATH"),
        ),
    ):
        with raises(DataError) as error:
            read_dialogues(["sample:train", str(tmp_path / name)], option="--set data.train=PATH")
        assert error.message == message


def test_a_folder_and_another_kind_of_file(write: Write, tmp_path: Path) -> None:
    with raises(DataError) as error:
        read_dialogues(str(tmp_path))
    assert error.message == snapshot("…: is a folder; expected a CSV, JSONL, parquet, chat or transcript file")
    for name, message in (
        (
            "dev.xlsx",
            snapshot(
                "…/dev.xlsx: found a name that ends in '.xlsx'; expected .csv, .jsonl, .parquet, .txt, .json, "
                ".vtt, .srt, .zip"
            ),
        ),
        (
            "dev",
            snapshot(
                "…/dev: found a name without an ending; expected .csv, .jsonl, .parquet, .txt, .json, .vtt, .srt, "
                ".zip"
            ),
        ),
    ):
        path = write("x", name)
        with raises(DataError) as error:
            read_dialogues(str(path))
        assert error.message == message


def test_names_that_no_file_can_have(in_tmp: Path) -> None:
    os.mkfifo("pipe.csv")
    for name, said in (
        ("", snapshot("found an empty name; expected the name of a CSV, JSONL, parquet, chat or transcript file")),
        (
            "pipe.csv",
            snapshot("pipe.csv: is not a regular file; expected a CSV, JSONL, parquet, chat or transcript file"),
        ),
        (
            "/dev/null",
            snapshot("/dev/null: is not a regular file; expected a CSV, JSONL, parquet, chat or transcript file"),
        ),
    ):
        with raises(DataError) as error:
            read_dialogues(name)
        assert error.message == said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_that_may_not_be_looked_into(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    with raises(DataError) as error:
        read_dialogues(str(tmp_path / "dev.csv"))
    assert error.message == snapshot(
        "…/dev.csv: cannot be read (Permission denied); change its permissions, or ask its owner"
    )


def test_a_part_of_the_sample_that_is_not_there() -> None:
    with raises(DataError) as error:
        read_dialogues("sample:valid")
    assert error.message == snapshot(
        "sample:valid: no such part of the sample; expected sample:train, sample:dev or sample:test"
    )


def test_source_names() -> None:
    assert source_name("sample:dev") == "sample-dev"
    assert source_name("some/where/dev.v2.csv") == "dev.v2"


def test_hypotheses_are_read_as_they_stand(write: Write) -> None:
    table = write(as_csv([["", "fname", "summary"], ["0", "a", " 요약\n둘 "], ["1", "b", ""]]), "submission.csv")
    lines = write(as_jsonl({"fname": "a", "summary": " 요약\n둘 "}, {"fname": "b", "summary": ""}), "out.jsonl")
    assert read_hypotheses(table) == read_hypotheses(lines) == {"a": " 요약\n둘 ", "b": ""}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "fname,summary\na,x\na,y\n",
            snapshot("…/submission.csv:3: id a is there twice; expected a row for each id"),
        ),
        (
            "fname,dialogue\na,x\n",
            snapshot("…/submission.csv: no column summary; found fname, dialogue; expected fname, summary"),
        ),
        (
            "fname,summary\na\n",
            snapshot(
                "…/submission.csv:2: found 1 field, expected 2 (fname, summary); quote a field that holds a line "
                "break"
            ),
        ),
    ],
)
def test_hypotheses_that_cannot_be_used(write: Write, content: str, said: str) -> None:
    path = write(content, "submission.csv")
    with raises(PredictionError) as error:
        read_hypotheses(path)
    assert error.message == said


def test_hypotheses_that_are_no_file(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path, snapshot("…: is a folder; expected predictions as CSV or JSONL with fname and summary")),
        (
            tmp_path / "x.csv",
            snapshot("…/x.csv: no such file; expected predictions as CSV or JSONL with fname and summary"),
        ),
    ):
        with raises(PredictionError) as error:
            read_hypotheses(path)
        assert error.message == what


@pytest.mark.parametrize("other", ["a\r\nb\r\nc", "a\rb\rc", "a\nb\nc\n", "\r\na\nb\r\nc\r\n"])
def test_the_hash_of_a_dialogue_ignores_line_ends(other: str) -> None:
    assert dialogue_hash(other) == dialogue_hash("a\nb\nc")


@pytest.mark.parametrize("other", ["a\nb\nC", "a\nb c", "a\n\nb\nc", "a \nb\nc", "a\nb", "a\\nb\\nc", "b\na\nc"])
def test_the_hash_of_a_dialogue_ignores_nothing_else(other: str) -> None:
    assert dialogue_hash(other) != dialogue_hash("a\nb\nc")


def test_turns_and_speakers() -> None:
    dialogue = Dialogue("a", "#Person2#: 네.\n혼잣말\n#Person1#: #Person3#: 씨?\n#Person2#: 응")
    assert dialogue.speakers == ("#Person2#", "#Person1#")
    assert "\n".join(dialogue.turn_texts) == dialogue.text
    assert len(dialogue.turns) == 4


# Any text in UTF-8 without NUL, with many characters that CSV has rules for.
texts = st.text(
    st.sampled_from("\"',;\r\n\t #é가") | st.characters(exclude_categories=["Cs"], exclude_characters="\0")
)
filled = texts.filter(lambda text: bool(text.strip()))
identities = st.text(st.characters(categories=["L", "N", "P"]), min_size=1)
dialogues = st.lists(
    st.builds(Dialogue, identities, filled, st.tuples(filled, filled), filled | st.none()),
    min_size=1,
    max_size=5,
    unique_by=lambda dialogue: dialogue.id,
)


@SHARED_FOLDER
@given(dialogues, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_any_dialogues_come_back_from_csv(tmp_path: Path, rows: list[Dialogue], quoting: int) -> None:
    path = tmp_path / "any.csv"
    table = [[row.id, row.text, *row.references, row.topic or ""] for row in rows]
    content = as_csv([["fname", "dialogue", "summary1", "summary2", "topic"], *table], quoting)
    path.write_bytes(content.encode())
    assert read_dialogues(str(path), references=True) == rows


@SHARED_FOLDER
@given(dialogues, st.booleans())
def test_any_dialogues_come_back_from_jsonl(tmp_path: Path, rows: list[Dialogue], ascii_only: bool) -> None:
    path = tmp_path / "any.jsonl"
    with path.open("wb") as file:
        for row in rows:
            record = {"fname": row.id, "dialogue": row.text, "topic": row.topic}
            record |= dict(zip(("summary1", "summary2"), row.references, strict=True))
            file.write(json.dumps(record, ensure_ascii=ascii_only).encode() + b"\n")
    assert read_dialogues(str(path), references=True) == rows


PIECES = (
    *(b"fname", b"dialogue", b"summary", b",", b'"', b"\n", b"\r", b"a", b"{", b"}", b":", b"[", b"1", b" "),
    *(b"\xff", b"\0", "가".encode(), b"\xef\xbb\xbf", "\u2028".encode(), b'"\\n"', b'\\ud800"', b"null", b"1e999"),
    *(b"fname,dialogue\n", b'{"fname": "a", "dialogue": "b"}\n', b'{"fname": "a", "dialogue": "', b'"}\n'),
)
junk = st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join) | st.binary(max_size=200)


@SHARED_FOLDER
@given(junk, st.sampled_from([".csv", ".jsonl"]), st.booleans())
def test_any_bytes_are_read_or_refused_in_one_line(
    tmp_path: Path, content: bytes, ending: str, headed: bool
) -> None:
    path = tmp_path / f"any{ending}"
    path.write_bytes((b"fname,dialogue\n" if headed and ending == ".csv" else b"") + content)
    found, refusal = [], ""
    try:
        found = read_dialogues(str(path))
    except InputError as error:
        refusal = str(error)
    if refusal:
        assert len(refusal.splitlines()) == 1
        assert refusal.startswith(str(path))
    else:
        assert found
        assert all(dialogue.id and dialogue.text.strip() for dialogue in found)
