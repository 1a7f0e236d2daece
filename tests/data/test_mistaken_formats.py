"""Files in another format than their name says: the cause is named, and the remedy that is named works."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import DataError, InputError, PredictionError
from llm_summ.data import Dialogue, read_dialogues, read_hypotheses
from llm_summ.data.report import check_files

TEXT = "#Person1#: 안녕, 네?\n#Person2#: “응”, 좋아"
ROWS = [Dialogue("a", TEXT, ("인사합니다.",)), Dialogue("b", "네", ("답합니다.",))]
CSV = f'fname,dialogue,summary\na,"{TEXT}",인사합니다.\nb,네,답합니다.\n'
OBJECTS = [{"fname": row.id, "dialogue": row.text, "summary": row.references[0]} for row in ROWS]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in OBJECTS)


def separated(sign: str, quote: str = "") -> str:
    fields = [["fname", "dialogue", "summary"], ["a", f'"{TEXT}"', "인사합니다."], ["b", "네", "답합니다."]]
    return "".join(
        sign.join(field if field[0] == '"' else f"{quote}{field}{quote}" for field in row) + "\n" for row in fields
    )


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, CSV)
    return out.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_dialogues(str(path))
    with pytest.raises(InputError) as same:
        check_files([str(path)])
    assert str(same.value) == str(error.value)
    message = str(error.value)
    assert message.startswith(f"{path}:")
    assert message.isprintable()
    return plain(message)


# A name, what is in the file, and the cause that is named; the remedy is a command.
COMMANDS = [
    ("a.csv", separated(";").encode(), "semicolons (;)"),
    ("a.csv", separated(";", '"').encode(), "semicolons (;)"),
    ("a.csv", ("\ufeff" + separated(";", '"')).encode(), "semicolons (;)"),
    ("a.csv", separated("\t").encode(), r"tabs (\t)"),
    ("a.csv", separated("\t").encode("cp949"), r"tabs (\t)"),
    ("a b$.csv", separated("|", '"').encode(), "vertical bars (|)"),
    *((f"a{end}", json.dumps(OBJECTS).encode(), "a JSON array") for end in (".csv", ".jsonl")),
    ("a.jsonl", json.dumps(OBJECTS, indent=1, ensure_ascii=False).encode(), "a JSON array"),
    *(("a.csv", CSV.encode(code), "UTF-16") for code in ("utf-16", "utf-16-le", "utf-16-be")),
    *(("a.csv", CSV.encode(code), "UTF-32") for code in ("utf-32", "utf-32-le", "utf-32-be")),
    ("a.jsonl", LINES.encode("utf-16"), "UTF-16"),
    ("a.csv", gzip.compress(CSV.encode()), "gzip"),
    ("a.csv", bz2.compress(CSV.encode()), "bzip2"),
    ("a.csv", lzma.compress(CSV.encode()), "xz"),
]


@pytest.mark.parametrize(("name", "content", "cause"), COMMANDS)
def test_the_command_that_is_named_makes_a_file_that_is_read(
    in_tmp: Path, name: str, content: bytes, cause: str
) -> None:
    Path(name).write_bytes(content)
    message = refusal(Path(name))
    assert cause in message
    command = re.split("(?:convert|unpack) it: ", message)[1]
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    subprocess.run(re.sub("^python", f"'{sys.executable}'", command), shell=True, check=True)
    [made] = [path for path in Path().iterdir() if path.name != name]
    assert read_dialogues(str(made)) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "cause", "new"),
    [
        (
            "a.csv",
            LINES,
            snapshot("a.csv: found JSON, an object a line; expected CSV; rename it to a.jsonl"),
            "a.jsonl",
        ),
        (
            "a.parquet",
            LINES,
            snapshot("a.parquet: found JSON, an object a line; expected parquet; rename it to a.jsonl"),
            "a.jsonl",
        ),
        (
            "a.jsonl",
            CSV,
            snapshot("a.jsonl: found CSV; expected a JSON object a line; rename it to a.csv"),
            "a.csv",
        ),
        ("a.parquet", CSV, snapshot("a.parquet: found CSV; expected parquet; rename it to a.csv"), "a.csv"),
    ],
)
def test_a_renamed_file_is_read(in_tmp: Path, name: str, content: str, cause: str, new: str) -> None:
    Path(name).write_text(content, encoding="utf-8")
    message = refusal(Path(name))
    assert plain(message) == cause
    assert read_dialogues(str(Path(name).rename(new))) == ROWS


def test_parquet_that_is_named_csv_is_read_once_renamed(in_tmp: Path) -> None:
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.Table.from_pylist(OBJECTS), "a.csv")
    assert refusal(Path("a.csv")) == snapshot("a.csv: found parquet; expected CSV; rename it to a.parquet")
    assert read_dialogues(str(Path("a.csv").rename("a.parquet"))) == ROWS


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel file (.xlsx)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "an Excel file (.xls)"),
        (zipped("dev.csv"), "a ZIP archive"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page (HTML)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a pointer of Git LFS"),
        (b"SQLite format 3\0" + bytes(100), "an SQLite database"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
    ],
)
def test_what_is_no_table_of_ours_is_named(in_tmp: Path, name: str, content: bytes, cause: str) -> None:
    Path(name).write_bytes(content)
    assert f": found {cause}" in refusal(Path(name))


# What is in a CSV file, its part of the refusal, and what is read once the remedy was followed.
REPAIRS = [
    (
        "fname,dialogue\na,네\r응\nb,x\n",
        snapshot(
            "a.csv:3: found 1 field, expected 2 (fname, dialogue); a carriage return without quotes ends a "
            "row here: quote the field that holds it, or replace it with a space"
        ),
        "네 응",
    ),
    (
        "fname,dialogue\r\na,네\r응\r\n",
        snapshot(
            "a.csv:3: found 1 field, expected 2 (fname, dialogue); a carriage return without quotes ends a "
            "row here: quote the field that holds it, or replace it with a space"
        ),
        "네 응",
    ),
    (
        "fname,dialogue\na,네\n응\n",
        snapshot("a.csv:3: found 1 field, expected 2 (fname, dialogue); quote a field that holds a line break"),
        '"네\n응"',
    ),
    (
        "fname,dialogue\na,네, 응\n",
        snapshot("a.csv:2: found 3 fields, expected 2 (fname, dialogue); quote a field that holds commas"),
        '"네, 응"',
    ),
    (
        "fname,dialogue\na,네,\n",
        snapshot(
            "a.csv:2: found 3 fields, expected 2 (fname, dialogue); remove the commas at the end of the line"
        ),
        "네",
    ),
]


@pytest.mark.parametrize(("content", "said", "field"), REPAIRS)
def test_why_a_row_has_too_many_or_too_few_fields(in_tmp: Path, content: str, said: str, field: str) -> None:
    path = Path("a.csv")
    path.write_bytes(content.encode())
    assert refusal(path) == said
    path.write_bytes(f"fname,dialogue\na,{field}\n".encode())
    assert len(read_dialogues("a.csv")) == 1


def test_a_carriage_return_in_quotes_and_as_the_end_of_every_line_is_none_of_these(in_tmp: Path) -> None:
    path = Path("a.csv")
    path.write_bytes('fname,dialogue\na,"네\r응"\n'.encode())
    assert read_dialogues("a.csv")[0].text == "네\r응"
    path.write_bytes("fname,dialogue\ra,네\rb,응\r".encode())
    assert len(read_dialogues("a.csv")) == 2
    path.write_bytes("fname,dialogue\ra,네\rb\r".encode())
    assert refusal(path) == snapshot(
        "a.csv:3: found 1 field, expected 2 (fname, dialogue); quote a field that holds a line break"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "sep=;\nfname;dialogue\na;b\n",
            snapshot("a.csv:1: found sep=;, which only Excel reads; remove this line"),
        ),
        (
            '"fname,dialogue"\n"a,b"\n',
            snapshot(
                "a.csv: no column fname, dialogue; found fname,dialogue; expected fname, dialogue; the whole line "
                "is quoted as one field: remove the quotes around it"
            ),
        ),
        (
            'dev_0,"#Person1#: 네\n#Person2#: 응",요약\n',
            snapshot(
                "a.csv: no column fname, dialogue; found dev_0, #Person1#: 네 #Person2#: 응, 요약; expected "
                "fname, dialogue; is the header line missing?"
            ),
        ),
        (
            "Fname,dialogue\na,b\n",
            snapshot(
                "a.csv: no column fname; found Fname, dialogue; expected fname, dialogue; rename Fname to fname"
            ),
        ),
        (
            "fname,DIALOGUE\na,b\n",
            snapshot(
                "a.csv: no column dialogue; found fname, DIALOGUE; expected fname, dialogue; rename DIALOGUE to "
                "dialogue"
            ),
        ),
        (
            "fname,dialogue,summary,summary\na,b,c,d\n",
            snapshot(
                "a.csv: column summary is there twice; every column needs its own name, such as summary1, summary2"
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_header(in_tmp: Path, content: str, said: str) -> None:
    Path("a.csv").write_text(content, encoding="utf-8")
    assert refusal(Path("a.csv")) == said


@pytest.mark.parametrize("empty", [",,,", ' , ,"\n",', "3,,,", "3,\u3000,,"])
def test_the_empty_rows_of_a_spreadsheet_are_named(in_tmp: Path, empty: str) -> None:
    path = Path("a.csv")
    header = ",fname,dialogue,summary"
    path.write_text(
        f"{header}\n0,a,오늘 저녁 여섯 시에 역 앞에서 봐요,저녁에 역에서 만난다.\n{empty}\n{empty}\n",
        encoding="utf-8",
    )
    with raises(DataError) as error:
        read_dialogues("a.csv")
    assert error.message == snapshot(
        "a.csv:3: found an empty row (the first of 2), as spreadsheets leave them; delete these rows"
    )
    with raises(PredictionError) as error:
        read_hypotheses(path)
    assert error.message == snapshot(
        "a.csv:3: found an empty row (the first of 2), as spreadsheets leave them; delete these rows"
    )
    found = check_files(["a.csv"]).findings
    assert [(finding.rule.code, len(finding.places)) for finding in found if finding.severity == "problem"] == [
        ("empty-row", 2)
    ]
    path.write_text(f"{header}\n0,a,오늘 저녁 여섯 시에 역 앞에서 봐요,저녁에 역에서 만난다.\n", encoding="utf-8")
    assert read_hypotheses(path) == {"a": "저녁에 역에서 만난다."}
    path.write_text(
        f"{header}\n0,a,오늘 저녁 여섯 시에 역 앞에서 봐요,저녁에 역에서 만난다.\n,,,,\n", encoding="utf-8"
    )
    assert refusal(path) == snapshot("a.csv:3: found an empty row of 5 fields, expected 4 fields; delete it")
