"""Files that are broken in many ways: each is refused in one line that names it, and nothing else happens."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_summ.core.errors import InputError
from llm_summ.data.read import read_dialogues
from llm_summ.data.report import check_files

HEADER = ["fname", "dialogue", "summary", "topic"]
Rows = list[list[str]]
Broken = tuple[str, bytes]  # ending, content


def sample_rows(rng: random.Random) -> Rows:
    """Return some rows of the bundled sample."""
    source = Path(__file__).parents[2] / "llm_summ" / "data" / "sample" / "train.csv"
    with source.open(encoding="utf-8", newline="") as file:
        rows = [[row[name] for name in HEADER] for row in csv.DictReader(file)]
    return rng.sample(rows, rng.randint(3, 8))


def as_csv(rows: Rows, header: list[str] = HEADER) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue()


def as_jsonl(rows: Rows) -> list[str]:
    return [json.dumps(dict(zip(HEADER, row, strict=True)), ensure_ascii=False) for row in rows]


def as_parquet(rows: Rows) -> bytes:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    columns = dict(zip(HEADER, map(list, zip(*rows, strict=True)), strict=True))
    parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def within_a_dialogue(rng: random.Random, text: str) -> int:
    """Return a place between two letters of a dialogue's words: Hangul on both sides, and quotes far away."""
    return rng.choice([match.start() + 1 for match in re.finditer('[가-힣](?=[가-힣]+[^"\n]*\n#)', text)])


def cut_within_a_field(rng: random.Random) -> Broken:
    text = as_csv(sample_rows(rng))
    return ".csv", text[: within_a_dialogue(rng, text)].encode()


def cut_within_a_character(rng: random.Random) -> Broken:
    text = as_csv(sample_rows(rng))
    content = text[: within_a_dialogue(rng, text)].encode()
    return ".csv", content[: -rng.randint(1, 2)]


def jsonl_cut_within_a_character(rng: random.Random) -> Broken:
    text = "\n".join(as_jsonl(sample_rows(rng)))
    places = [match.end() for match in re.finditer("[가-힣]", text)]
    return ".jsonl", text[: rng.choice(places)].encode()[: -rng.randint(1, 2)]


def utf_16_or_32(rng: random.Random) -> Broken:
    encoding = rng.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
    rows = sample_rows(rng)
    if rng.random() < 0.5:
        return ".csv", as_csv(rows).encode(encoding)
    return ".jsonl", "\n".join(as_jsonl(rows)).encode(encoding)


def latin_1(rng: random.Random) -> Broken:
    """Return a byte or two of another program's "é" among the Korean."""
    text = as_csv(sample_rows(rng))
    at = within_a_dialogue(rng, text)
    return ".csv", text[:at].encode() + rng.choice(["é", "ñ", "«", "ü "]).encode("latin-1") + text[at:].encode()


def western(rng: random.Random) -> Broken:
    said = rng.choices(["Café déjà fermé", "¿Qué hay mañana?", "Übermäßig schön", "Où est-ce, là-bas?"], k=4)
    rows = [["a", "\n".join(f"#Person{n % 2 + 1}#: {text}" for n, text in enumerate(said)), "é", "ü"]]
    return ".csv", as_csv(rows).encode(rng.choice(["latin-1", "cp1252"]))


def japanese(rng: random.Random) -> Broken:
    said = rng.choices(
        ["おはようございます。", "駅はどこですか。", "ありがとう、助かりました。", "コーヒーをください。"], k=6
    )
    rows = [["a", "\n".join(f"#Person{n % 2 + 1}#: {text}" for n, text in enumerate(said)), "道を聞く。", "道"]]
    return ".csv", as_csv(rows).encode(rng.choice(["shift_jis", "euc_jp"]))


def chinese(rng: random.Random) -> Broken:
    said = rng.choices(
        ["早上好，请问车站在哪里？", "就在前面，走五分钟。", "谢谢你，再见。", "今天天气很好。"], k=6
    )
    rows = [["a", "\n".join(f"#Person{n % 2 + 1}#: {text}" for n, text in enumerate(said)), "问路。", "路"]]
    return ".csv", as_csv(rows).encode(rng.choice(["gbk", "gb18030"]))


def a_quote_too_few(rng: random.Random) -> Broken:
    text = as_csv(sample_rows(rng))
    # before or after a dialogue; a field of one line may well end with a quote
    at = rng.choice(
        [match.start() for match in re.finditer('"(?=#Person1#: )|(?<=[^",])"(?=,"[^"\n]*","[^"\n]*"\n)', text)]
    )
    return ".csv", (text[:at] + text[at + 1 :]).encode()


def a_quote_too_many(rng: random.Random) -> Broken:
    text = as_csv(sample_rows(rng))
    at = within_a_dialogue(rng, text)
    return ".csv", (text[:at] + '"' + text[at:]).encode()


def a_nul(rng: random.Random) -> Broken:
    rows = sample_rows(rng)
    ending, text = (".csv", as_csv(rows)) if rng.random() < 0.5 else (".jsonl", "\n".join(as_jsonl(rows)))
    at = rng.randrange(len(text) + 1)
    return ending, (text[:at] + "\0" * rng.randint(1, 3) + text[at:]).encode()


def a_megabyte(rng: random.Random) -> Broken:
    rows = sample_rows(rng)
    size = rng.randint(1_000_000, 1_300_000)
    letter = rng.choice(["a", "가", "\n", "가,", "😀"])
    rows[rng.randrange(len(rows))][rng.randrange(1, 4)] = letter * (size // len(letter.encode()) + 1)
    return (
        (".csv", as_csv(rows).encode()) if rng.random() < 0.5 else (".jsonl", "\n".join(as_jsonl(rows)).encode())
    )


def too_few_columns(rng: random.Random) -> Broken:
    rows = sample_rows(rng)
    without = rng.choice(["fname", "dialogue"])
    if rng.random() < 0.5:
        header = [rng.choice(["", "id", f"{name}s"]) if name == without else name for name in HEADER]
        return ".csv", as_csv(rows, header).encode()
    lines = as_jsonl(rows)
    at = rng.randrange(len(lines))
    lines[at] = lines[at].replace(f'"{without}": ', '"id": ', 1)
    return ".jsonl", "\n".join(lines).encode()


def a_column_twice(rng: random.Random) -> Broken:
    twice = rng.choice(HEADER)
    return ".csv", as_csv([[*row, "x"] for row in sample_rows(rng)], [*HEADER, f" {twice}"]).encode()


def a_key_twice(rng: random.Random) -> Broken:
    lines = as_jsonl(sample_rows(rng))
    at = rng.randrange(len(lines))
    lines[at] = lines[at][:-1] + f', "{rng.choice(HEADER)}": "x"}}'
    return ".jsonl", "\n".join(lines).encode()


def a_field_more_or_less(rng: random.Random) -> Broken:
    rows = sample_rows(rng)
    row = rng.choice(rows)
    if rng.random() < 0.5:
        row.pop()
    else:
        row += ["x"] * rng.randint(1, 3)
    return ".csv", as_csv(rows).encode()


def nothing_in_it(rng: random.Random) -> Broken:
    blank = rng.choice(["", "\n", "\r\n\r\n", "\ufeff", "\ufeff\n"]).encode()
    return rng.choice([(".csv", blank), (".jsonl", blank), (".parquet", blank), (".csv", as_csv([]).encode())])


def binary(rng: random.Random) -> Broken:
    start = rng.choice(
        [b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"PAR1", b"%PDF-1.7\n\xe2\xe3\xcf\xd3", b"\x1f\x8b\x08", b""]
    )
    return rng.choice([".csv", ".jsonl", ".parquet"]), start + rng.randbytes(rng.randint(64, 4000))


def jsonl_cut(rng: random.Random) -> Broken:
    lines = as_jsonl(sample_rows(rng))
    last = rng.randrange(len(lines))
    return ".jsonl", "\n".join([*lines[:last], lines[last][: rng.randrange(1, len(lines[last]))]]).encode()


def not_json(rng: random.Random) -> Broken:
    lines = as_jsonl(sample_rows(rng))
    odd = [
        "[]",
        "7",
        "null",
        '"a"',
        "{'fname': 'a'}",
        "NaN",
        "[" * 100_000,
        lines[0] + ",",
        "# a remark",
        "{" * 5000,
    ]
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(odd))
    return ".jsonl", "\n".join(lines).encode()


def a_json_array(rng: random.Random) -> Broken:
    value = [json.loads(line) for line in as_jsonl(sample_rows(rng))]
    return ".jsonl", json.dumps(value, ensure_ascii=False, indent=rng.choice([None, 1, 2])).encode()


def half_a_character(rng: random.Random) -> Broken:
    lines = as_jsonl(sample_rows(rng))
    at = rng.randrange(len(lines))
    escape = rng.choice([r"\ud800", r"\udfff", r"\u0000"])
    lines[at] = lines[at].replace('": "', f'": "{escape}', 1)
    return ".jsonl", "\n".join(lines).encode()


def parquet_cut(rng: random.Random) -> Broken:
    content = as_parquet(sample_rows(rng))
    return ".parquet", content[: rng.randrange(len(content))]


def parquet_damaged(rng: random.Random) -> Broken:
    """Its end says how long its description is, and then PAR1."""
    content = bytearray(as_parquet(sample_rows(rng)))
    described = struct.unpack("<I", content[-8:-4])[0]
    where = rng.choice(["description", "length", "mark"])
    if where == "description":
        content[-8 - described : -8] = rng.randbytes(described)
    elif where == "length":
        content[-8:-4] = struct.pack("<I", rng.choice([0, 1, 7, len(content) * 2, 2**31 - 1, 2**32 - 1]))
    else:
        content[-4:] = rng.choice([b"PAR0", b"\0\0\0\0", b"parq"])
    return ".parquet", bytes(content)


def another_kind_of_file(rng: random.Random) -> Broken:
    rows = sample_rows(rng)
    table, lines = as_csv(rows).encode(), "\n".join(as_jsonl(rows)).encode()
    return rng.choice([(".csv", lines), (".jsonl", table), (".parquet", table), (".csv", as_parquet(rows))])


KINDS: list[Callable[[random.Random], Broken]] = [
    *(cut_within_a_field, cut_within_a_character, jsonl_cut_within_a_character, utf_16_or_32, latin_1, western),
    *(japanese, chinese, a_quote_too_few, a_quote_too_many, a_nul, a_megabyte, too_few_columns, a_column_twice),
    *(a_key_twice, a_field_more_or_less, nothing_in_it, binary, jsonl_cut, not_json, a_json_array),
    *(half_a_character, parquet_cut, parquet_damaged, another_kind_of_file),
]
# About two thousand; those of a megabyte are slow to write.
FILES = {kind: 16 if kind is a_megabyte else 85 for kind in KINDS}
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def test_the_files_are_sound_before_they_are_broken(tmp_path: Path) -> None:
    rows = sample_rows(random.Random(0))
    contents = {
        ".csv": as_csv(rows).encode(),
        ".jsonl": "\n".join(as_jsonl(rows)).encode(),
        ".parquet": as_parquet(rows),
    }
    for ending, content in contents.items():
        path = tmp_path / f"sound{ending}"
        path.write_bytes(content)
        assert len(read_dialogues(str(path), references=True)) == len(rows)
        assert not check_files([str(path)]).findings


@by_kind
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, kind: Callable[[random.Random], Broken]) -> None:
    for number in range(FILES[kind]):
        ending, content = kind(random.Random(f"{kind.__name__} {number}"))
        path = tmp_path / f"{number}{ending}"
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            check_files([str(path)])
        with pytest.raises(InputError) as same:
            read_dialogues(str(path))
        message = str(error.value)
        assert str(same.value) == message, number
        assert message.startswith(str(path)), (number, message)
        assert len(message.splitlines()) == 1, (number, message)
        assert message.isprintable(), (number, message)
        assert len(message) < 400, (number, message)
        path.unlink()


@by_kind
def test_a_broken_file_ends_a_command_in_one_line(in_tmp: Path, kind: Callable[[random.Random], Broken]) -> None:
    ending, content = kind(random.Random(kind.__name__))
    path = Path(f"broken{ending}")
    path.write_bytes(content)
    command = [sys.executable, "-m", "llm_summ", "eval", str(path), "--predictions", str(path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=120)
    lines = [line for line in done.stderr.splitlines() if not line.endswith("read as CP949 (it is not UTF-8)")]
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(lines) == 1, done.stderr
    assert str(path) in lines[0]
    assert "Traceback" not in done.stderr
