"""The check of a submission as a whole: its report, what it refuses, and that it judges any file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises
from submissions import (
    BARE_SAMPLE,
    GOOD,
    PLAIN_SAMPLE,
    SAMPLE,
    TEXTS,
    check_bytes,
    kinds_and_lines,
    sample_of,
    with_text,
)

from llm_summ.core.errors import DataError
from llm_summ.submit import SubmissionReport, check_submission, read_sample


def test_many_faults_are_found_at_once(tmp_path: Path) -> None:
    broken = with_text('"회의 자료를 보냅니다.').replace("민수는", "요약: 민수는").replace("지영은", "지영은  ")
    found = kinds_and_lines(check_bytes(tmp_path, ("\ufeff" + broken).encode()))
    assert found == {"byte-order-mark": [1], "broken-quotes": [4], "prompt-remains": [3], "double-space": [7]}


def test_the_report_for_people_and_for_programs(tmp_path: Path) -> None:
    report = check_bytes(tmp_path, GOOD.replace("test", "dev").encode())
    lines = report.lines()
    assert plain(lines[0]) == snapshot("…/submission.csv: 6 rows, compared with …/sample_submission.csv")
    assert f"  {tmp_path}/submission.csv:6 dev_5" in lines
    assert f"  {tmp_path}/submission.csv:7 dev_7" not in lines
    assert "  … and 1 more" in lines
    assert plain(lines[-1]) == snapshot("2 kinds of problem")
    value = json.loads(json.dumps(report.to_json()))
    assert [(one["kind"], one["severity"], len(one["places"])) for one in value["findings"]] == [
        ("missing-id", "problem", 6),
        ("extra-id", "problem", 6),
    ]
    assert value["findings"][1]["places"][5] == {"line": 7, "id": "dev_7", "found": ""}
    good = check_bytes(tmp_path, GOOD.encode())
    assert good.lines() == [
        f"{tmp_path}/submission.csv: 6 rows, compared with {tmp_path}/sample_submission.csv: no findings"
    ]
    assert not good.problems
    one = check_bytes(tmp_path, f"fname,summary\na,{TEXTS[1]}\n".encode(), "fname,summary\na,-\n")
    assert one.lines() == [
        f"{tmp_path}/submission.csv: 1 row, compared with {tmp_path}/sample_submission.csv: no findings"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", snapshot("…/sample_submission.csv: empty file; expected a header with fname, summary")),
        (
            "fname,text\na,b\n",
            snapshot("…/sample_submission.csv: no column summary; found fname, text; expected fname, summary"),
        ),
        (
            "fname,summary\n",
            snapshot("…/sample_submission.csv: no rows; expected the ids that a submission must have"),
        ),
        ("fname,summary\na,b\na,c\n", snapshot("…/sample_submission.csv:3: id a is already in line 2")),
        (
            "fname,summary\na,b\n,c\n",
            snapshot("…/sample_submission.csv:3: empty fname; expected an id in every row of a sample"),
        ),
        (
            ",,fname,summary\n0,0,a,b\n",
            snapshot("…/sample_submission.csv: found 2 columns without a name; expected at most one, the index"),
        ),
        (
            SAMPLE.replace("\n", "\r"),
            snapshot(
                "…/sample_submission.csv: found lines that end with CR; expected LF or CRLF throughout; save it "
                "with one of them"
            ),
        ),
        (
            SAMPLE.replace("\n", "\r\n", 1),
            snapshot(
                "…/sample_submission.csv: found lines that end with CRLF and LF; expected LF or CRLF throughout; "
                "save it with one of them"
            ),
        ),
    ],
)
def test_a_sample_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with raises(DataError) as error:
        sample_of(tmp_path, text)
    assert error.message == said


def test_files_that_are_not_there(tmp_path: Path) -> None:
    sample = sample_of(tmp_path)
    for path, message in (
        (
            tmp_path / "nowhere.csv",
            snapshot("…/nowhere.csv: cannot be read (No such file or directory); expected a submission"),
        ),
        (tmp_path, snapshot("…: cannot be read (Is a directory); expected a submission")),
        (tmp_path / "\0", snapshot("…/\x00: cannot be read (embedded null byte); expected a submission")),
    ):
        with raises(DataError) as error:
            check_submission(path, sample)
        assert error.message == message
    with raises(DataError) as error:
        read_sample(tmp_path / "sample.jsonl")
    assert error.message == snapshot(
        "…/sample.jsonl: found a name that ends in .jsonl; expected a sample submission as CSV"
    )


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_anything(folder: Path, content: bytes) -> None:
    """For every file the report can be printed, and its lines are lines of the file."""
    for sample in (SAMPLE, PLAIN_SAMPLE, BARE_SAMPLE):
        check_any_report(check_bytes(folder, content, sample), content)


def check_any_report(report: SubmissionReport, content: bytes) -> None:
    assert all("\n" not in line for line in report.lines())
    json.dumps(report.to_json())
    most = content.count(b"\n") + content.count(b"\r") + 1
    if not {"encoding"} & kinds_and_lines(report).keys():
        assert all(1 <= line <= most for lines in kinds_and_lines(report).values() for line in lines if line)


@FUZZ
@given(st.binary(max_size=300))
def test_any_bytes_are_judged(tmp_path: Path, content: bytes) -> None:
    check_anything(tmp_path, content)


@FUZZ
@given(st.text('",\n\r\0 #\t;test_01245fnamsuy가', max_size=200))
def test_any_text_is_judged(tmp_path: Path, text: str) -> None:
    check_anything(tmp_path, text.encode())


@FUZZ
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD.encode())),
            st.integers(0, 6),
            st.sampled_from(
                [b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"#", b"test_1,", b'""']
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_good_file_that_was_damaged_is_judged(tmp_path: Path, damages: list[tuple[int, int, bytes]]) -> None:
    content = GOOD.encode()
    for at, cut, put in damages:
        content = content[:at] + put + content[at + cut :]
    check_anything(tmp_path, content)
