"""What the check of a submission finds in its format: planted faults, each with its kind and its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from submissions import (
    GOOD,
    LINES,
    PLAIN_GOOD,
    PLAIN_SAMPLE,
    SAMPLE,
    TEXTS,
    Found,
    check_bytes,
    kinds_and_lines,
    with_lines,
    with_text,
)

from llm_summ.submit import check_submission, read_sample

ROWS = [line[:-1].split(",", 2) for line in LINES]
INDEX_TWICE: Found = {"extra-index": [1], "other-column": [2, 3, 4, 5, 6, 7]}
TWO_OPEN = with_text('"회의를 이제 엽니다.', 1).replace(",두 사람은", ',"두 사람은')
ANOTHER_COLUMN = GOOD.replace("summary\n", "summary,topic\n").replace(".\n", ".,길\n")
NAMELESS = GOOD.replace(",fname", "fname", 1)
NAMELESS_AND_COMMA: Found = {"column-name": [1], "unquoted-comma": [3]}
EXCHANGED = LINES[0] + "".join(f"{index},{text},{one}\n" for index, one, text in ROWS[1:])
UNQUOTED_BREAK: Found = {"missing-field": [5], "no-full-stop": [4], "short-summary": [4]}
FILES: list[tuple[str, str | bytes, Found]] = [
    ("good", GOOD, {}),
    ("good, all quoted", "".join(",".join(f'"{field}"' for field in row) + "\n" for row in ROWS), {}),
    # the file
    ("nothing", b"", {"empty-file": [None]}),
    ("blank lines", b"\xef\xbb\xbf\r\n\r\n", {"empty-file": [None]}),
    ("an .xlsx", b"PK\x03\x04\x14\0\6\0", {"not-csv": [None]}),
    ("a .parquet", b"PAR1\x15\x04", {"not-csv": [None]}),
    ("JSONL", '{"fname": "test_0", "summary": ""}\n{"fname": "test_1", "summary": ""}\n', {"not-csv": [None]}),
    ("JSON", '[\n{"fname": "test_0",\n "summary": "요약"}]\n', {"not-csv": [None]}),
    ("CP949", GOOD.encode("cp949"), {"encoding": [None]}),
    ("UTF-16", GOOD.encode("utf-16"), {"encoding": [None]}),
    ("UTF-16 without a mark", GOOD.encode("utf-16-le"), {"encoding": [None]}),
    ("UTF-32", GOOD.encode("utf-32"), {"encoding": [None]}),
    ("a broken character", GOOD.encode().replace("민수".encode(), "민수".encode()[:-1]), {"encoding": [3]}),
    ("a byte order mark", GOOD.encode("utf-8-sig"), {"byte-order-mark": [1]}),
    ("a NUL", with_text("회의 자료를\0 보냅니다."), {"nul": [4]}),
    ("CRLF", GOOD.replace("\n", "\r\n"), {"line-end": [1]}),
    ("one CRLF", with_text("회의 자료를 보냅니다.\r"), {"line-end": [4]}),
    ("CR", GOOD.replace("\n", "\r"), {"line-end": [1]}),
    ("no final line end", GOOD[:-1], {"final-line-end": [7]}),
    ("blank lines within", with_lines(1, 2) + "\n \n" + "".join(LINES[3:]), {"blank-line": [4, 5]}),
    ("tabs", GOOD.replace(",", "\t"), {"separator": [1]}),
    ("semicolons", GOOD.replace(",", ";"), {"separator": [1]}),
    # the header
    ("no header", "".join(LINES[1:]), {"missing-header": [1]}),
    ("no header, no index", "".join(PLAIN_GOOD.splitlines(keepends=True)[1:]), {"missing-header": [1]}),
    ("no summary", GOOD.replace("summary", "output"), {"missing-column": [1], "extra-column": [1]}),
    ("no fname", GOOD.replace("fname", "id"), {"missing-column": [1], "extra-column": [1]}),
    ("capitals", GOOD.replace("fname", "Fname"), {"column-name": [1]}),
    ("a space in the header", GOOD.replace(",summary", ", summary"), {"column-name": [1]}),
    ("a named index", GOOD.replace(",fname", "Unnamed: 0,fname", 1), {"column-name": [1]}),
    ("no index", PLAIN_GOOD, {"missing-index": [1]}),
    ("no name for the index", NAMELESS, {"column-name": [1]}),
    ("index and index", LINES[0].replace(",f", ",,f") + "".join("7," + line for line in LINES[1:]), INDEX_TWICE),
    ("no name for the index, and a comma", NAMELESS.replace("민수는", "민수는,"), NAMELESS_AND_COMMA),
    ("full-width commas in the header", GOOD.replace(",fname,summary", ",fname，summary"), {"column-name": [1]}),
    ("another column", ANOTHER_COLUMN, {"extra-column": [1]}),
    ("a comma at the end of all lines", GOOD.replace("\n", ",\n"), {"extra-column": [2]}),
    ("a comma at the end of all rows", LINES[0] + "".join(LINES[1:]).replace("\n", ",\n"), {"extra-column": [2]}),
    ("the separator in a line of its own", "sep=,\n" + GOOD, {"sep-line": [1]}),
    ("nothing but the separator", "sep=;\n", {"sep-line": [1]}),
    ("lines quoted as a whole", "".join(f'"{line[:-1]}"\n' for line in LINES), {"quoted-line": [1]}),
    ("two files in one", with_lines(1, 2) + with_lines(3, 4, 5, 6), {"repeated-header": [4]}),
    ("ids and summaries exchanged", EXCHANGED, {"column-order": [1]}),
    (
        "columns in another order",
        "".join(",".join((line[:-1].split(",", 2))[at] for at in (1, 0, 2)) + "\n" for line in LINES),
        {"column-order": [1]},
    ),
    # quotes
    ("a comma without quotes", with_text("자료를 만들어, 메일로 보냅니다."), {"unquoted-comma": [4]}),
    ("a quote is not closed", with_text('"회의 자료를 보냅니다.'), {"broken-quotes": [4]}),
    ("two quotes are not closed", TWO_OPEN, {"broken-quotes": [3, 5]}),
    ("quotes within quotes", with_text('"그는 "네, 그럼요"라고 말합니다."'), {"broken-quotes": [4]}),
    ("quotes in a bare field", with_text('그는 "네"라고 말합니다.'), {"loose-quote": [4]}),
    ("a line break without quotes", with_text("자료를\n메일로 보냅니다."), UNQUOTED_BREAK),
    ("a row without a summary", GOOD.replace("," + TEXTS[1], ""), {"missing-field": [3]}),
    ("quotes around it", with_text('"""회의 자료를 보내기로 합니다."""'), {"extra-quotes": [4]}),
]


@pytest.mark.parametrize(("content", "expected"), [file[1:] for file in FILES], ids=[file[0] for file in FILES])
def test_each_fault_is_found_where_it_is(tmp_path: Path, content: str | bytes, expected: Found) -> None:
    report = check_bytes(tmp_path, content if isinstance(content, bytes) else content.encode())
    assert kinds_and_lines(report) == expected


def test_a_sample_without_an_index(tmp_path: Path) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, PLAIN_GOOD.encode(), PLAIN_SAMPLE)) == {}
    assert kinds_and_lines(check_bytes(tmp_path, GOOD.encode(), PLAIN_SAMPLE)) == {"extra-index": [1]}


def test_a_sample_with_a_byte_order_mark_and_crlf_wants_them(tmp_path: Path) -> None:
    marked = "\ufeff" + SAMPLE.replace("\n", "\r\n")
    good = "\ufeff" + GOOD.replace("\n", "\r\n")
    assert kinds_and_lines(check_bytes(tmp_path, good.encode(), marked)) == {}
    assert kinds_and_lines(check_bytes(tmp_path, GOOD.encode(), marked)) == {"line-end": [1]}


def test_a_faulty_header_is_shown_as_it_stands(tmp_path: Path) -> None:
    [finding] = check_bytes(tmp_path, "".join(f'"{line[:-1]}"\n' for line in LINES).encode()).findings
    assert finding.places[0].found == '7 lines, such as «",fname,summary"»'
    [finding] = check_bytes(tmp_path, NAMELESS.encode()).findings
    assert finding.places[0].found == (
        "the rows have 3 fields, the header 2: found «fname,summary»; expected «,fname,summary»"
    )
    [finding] = check_bytes(tmp_path, NAMELESS.encode(), PLAIN_SAMPLE).findings
    assert finding.rule.code == "extra-index"


def test_a_row_of_one_field_is_told_in_the_singular(tmp_path: Path) -> None:
    [finding, _] = check_bytes(tmp_path, GOOD.replace(LINES[2], "민수는\n").encode()).findings
    assert finding.places[0].found == "1 field instead of 3: «민수는»"


def test_cp949_is_a_problem_whatever_the_sample_is(tmp_path: Path) -> None:
    (tmp_path / "sample_submission.csv").write_bytes(SAMPLE.encode("cp949"))
    (tmp_path / "submission.csv").write_bytes(GOOD.encode("cp949"))
    report = check_submission(tmp_path / "submission.csv", read_sample(tmp_path / "sample_submission.csv"))
    assert kinds_and_lines(report) == {"encoding": [None]}
