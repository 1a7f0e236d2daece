"""The report on data files: what it finds where, how it counts, and what it says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import DataError
from llm_summ.data.report import DataReport, check_files
from llm_summ.data.rules import RULES

Row = list[str]
HEADER = ["fname", "dialogue", "summary", "topic"]
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_csv(rows: list[Row], header: Row = HEADER) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue().encode()


def found(report: DataReport) -> dict[str, int]:
    return {finding.rule.code: len(finding.places) for finding in report.findings}


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_the_sample_is_clean(part: str) -> None:
    report = check_files([f"sample:{part}"])
    assert found(report) == {}
    assert not report.problems
    assert plain(report.lines()[-1]) == snapshot("nothing odd")


def test_the_samples_parts_share_no_dialogue() -> None:
    assert found(check_files(["sample:train", "sample:dev", "sample:test"])) == {}


TOLD = (
    "#Person1#: 어제 산 우산이 벌써 부러졌어요. 바람이 세지도 않았는데 살이 두 개나 나갔네요.\n"
    "#Person2#: 죄송합니다. 영수증을 가져오셨으면 새것으로 바꿔 드릴게요.\n"
    "#Person1#: 여기 있어요. 이번에는 좀 튼튼한 것으로 주세요.\n"
    "#Person2#: 그럼 삼천 원을 더 내시고 이 큰 우산을 고르시는 건 어떠세요?"
)
OTHER = (
    "#Person1#: 다음 주 토요일에 관악산에 가려고 하는데 같이 갈래?\n"
    "#Person2#: 좋아. 몇 시에 어디에서 만날까? 나는 아침 일찍도 괜찮아.\n"
    "#Person1#: 서울대 정문에서 여덟 시에 보자. 김밥은 내가 준비할게.\n"
    "#Person2#: 그럼 나는 물하고 과일을 챙겨 갈게."
)


@pytest.fixture
def write(in_tmp: Path) -> Callable[[str, list[Row]], str]:
    def write(name: str, rows: list[Row]) -> str:
        Path(name).write_bytes(as_csv(rows))
        return name

    return write


def test_what_is_said_to_people(write: Callable[[str, list[Row]], str]) -> None:
    rows = [[f"dev_{n}", TOLD if n == 1 else OTHER, f"요약 {n}", ""] for n in range(2)]
    rows.append(["dev_1", "#Person1#: 네.\n#Person2 : 응.", "가", "나"])
    assert check_files([write("dev.csv", rows)]).lines() == [
        "dev.csv: 3 rows",
        "",
        f"problem duplicate-id: 1 row: {RULES['duplicate-id'].why}",
        "  dev.csv:10 dev_1 fname «dev_1» as dev.csv:6 dev_1",
        "",
        f"problem broken-tag: 1 row: {RULES['broken-tag'].why}; can be repaired",
        "  dev.csv:11 dev_1 dialogue «…erson1#: 네.⏎#Person2 : 응.»",
        "",
        f"note empty-topic: 2 rows: {RULES['empty-topic'].why}",
        "  dev.csv:5 dev_0 topic «»",
        "  dev.csv:9 dev_1 topic «»",
        "",
        "2 kinds of problem, 1 kind of note",
    ]


def test_only_the_first_places_are_said_and_all_are_in_the_json(write: Callable[[str, list[Row]], str]) -> None:
    report = check_files([write("dev.csv", [[f"a{n}", f"가: 나{n}\n다: 라", "", "마"] for n in range(1200)])])
    lines = report.lines()
    start = lines.index("problem empty-summary: 1,200 rows: " + RULES["empty-summary"].why)
    assert plain(lines[start + 1]) == snapshot("  dev.csv:3 a0 summary «»")
    assert lines[start + 6 : start + 8] == ["  … and 1,195 more", ""]
    [empty] = [finding for finding in report.to_json()["findings"] if finding["kind"] == "empty-summary"]
    assert empty["rows"] == len(empty["places"]) == 1200


def test_equal_and_near_dialogues_within_a_file(write: Callable[[str, list[Row]], str]) -> None:
    nearly = TOLD.replace("삼천 원", "이천 원").replace("이번에는 좀", "이번엔")
    rows = [["a", OTHER, "가", "나"], ["b", TOLD, "가", "나"], ["c", nearly, "가", "나"], ["d", OTHER, "가", "나"]]
    report = check_files([write("train.csv", rows)])
    assert found(report) == {"duplicate-dialogue": 1, "near-duplicate-dialogue": 1}
    assert not report.problems
    exact, near = (finding.places[0] for finding in report.findings)
    assert (exact.line, exact.id, exact.other and (exact.other.line, exact.other.id)) == (14, "d", (2, "a"))
    assert near.other is not None
    assert near.other.similarity is not None
    assert (near.line, near.other.line) == (10, 6)
    assert 0.9 < near.other.similarity < 1
    assert str(near).endswith(f"as train.csv:6 b (similarity {near.other.similarity:.2f})")


def test_training_rows_that_leak_into_dev(write: Callable[[str, list[Row]], str]) -> None:
    train = write("train.csv", [["train_1", OTHER, "가", "나"], ["train_2", TOLD, "가", "나"]])
    dev = write("dev.csv", [["dev_1", TOLD, "다", "라"], ["dev_2", TOLD, "다", "라"]])
    report = check_files([train, dev])
    assert report.problems
    assert found(report) == {"shared-dialogue": 2, "duplicate-dialogue": 1}
    shared = report.findings[0]
    assert [place.path for place in shared.places] == [Path("dev.csv")] * 2
    assert str(shared.places[0]).endswith("» as train.csv:6 train_2 (similarity 1.00)")
    assert report.lines()[0:2] == ["train.csv: 2 rows", "dev.csv: 2 rows"]
    assert plain(report.lines()[3]) == snapshot(
        "problem shared-dialogue: 2 rows (2 in dev.csv): in two files: if one is trained on, the score on "
        "the other is too high"
    )


def test_an_id_that_stands_in_two_files(write: Callable[[str, list[Row]], str]) -> None:
    one, two = write("one.csv", [["a", OTHER, "가", "나"]]), write("two.csv", [[" a", TOLD, "가", "나"]])
    [outer, shared] = sorted(check_files([one, two]).findings, key=lambda finding: finding.rule.code, reverse=True)
    assert (outer.rule.code, shared.rule.code) == ("id-outer-space", "duplicate-id")
    assert str(shared.places[0]) == "two.csv:2 a fname «a» as one.csv:2 a"


def test_other_formats(in_tmp: Path) -> None:
    rows = [
        {"fname": None, "turns": [{"speaker": "A", "text": "네."}, {"speaker": "B", "text": "응."}]},
        {"fname": "b", "turns": [7]},
        {"fname": 3, "turns": ["A: 네.", "B: 응, 그래요."], "topic": {"a": 1}},
    ]
    Path("dev.jsonl").write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    report = check_files(["dev.jsonl"])
    assert found(report) == {"missing-id": 1, "not-text": 2, "empty-topic": 2}
    assert [str(place) for place in report.findings[1].places] == [
        "dev.jsonl:2 b turns «[7]»",
        "dev.jsonl:3 3 fname «3»",
    ]


def test_parquet_has_rows(in_tmp: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"fname": ["a", ""], "dialogue": [TOLD, OTHER]}), "dev.parquet")
    assert plain(check_files(["dev.parquet"]).lines()[3]) == snapshot("  dev.parquet: row 2 fname «»")


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (["dev.csv", "./dev.csv"], snapshot("dev.csv: is given twice; expected every file once")),
        (["none.csv"], snapshot("none.csv: no rows; expected at least one dialogue")),
        (["dev.csv", "dve.csv"], snapshot("dve.csv: no such file; did you mean dev.csv?")),
    ],
)
def test_what_cannot_be_checked(write: Callable[[str, list[Row]], str], sources: list[str], said: str) -> None:
    write("dev.csv", [["a", TOLD, "가", "나"]])
    write("none.csv", [])
    with raises(DataError) as error:
        check_files(sources)
    assert error.message == said


# Random syllables: two dialogues of eighty of them have hardly five in a row in common.
SYLLABLE = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
SAID = st.text(SYLLABLE, min_size=40, max_size=60)
TURN_WORDS = st.lists(SAID, min_size=2, max_size=4)
CLEAN_ROWS = st.lists(
    st.tuples(TURN_WORDS, st.text(SYLLABLE, min_size=5, max_size=30)),
    min_size=1,
    max_size=4,
    unique_by=lambda row: str(row),
)


def clean_rows(drawn: list[tuple[list[str], str]]) -> list[Row]:
    rows = []
    for number, (turns, summary) in enumerate(drawn):
        # A number of its own in every turn, so that even the simplest drawn rows are not near each other.
        said = [f"{chr(0xAC00 + 997 * (10 * number + at) % 11172) * 60}{turn}" for at, turn in enumerate(turns)]
        dialogue = "\n".join(f"#Person{at % 2 + 1}#: {text}." for at, text in enumerate(said))
        rows.append([f"id_{number * 3}", dialogue, f"#Person1#이 {summary}.", summary])
    return rows


@SHARED_FOLDER
@given(CLEAN_ROWS)
def test_a_clean_file_has_no_findings(tmp_path: Path, drawn: list[tuple[list[str], str]]) -> None:
    path = tmp_path / "clean.csv"
    path.write_bytes(as_csv(clean_rows(drawn)))
    assert found(check_files([str(path)])) == {}


PLANTED = {
    "broken-tag": "#Person2 : 네.",
    "tag-without-colon": "#Person2# 네.",
    "joined-turns": "#Person2#: 네. #Person1#: 응.",
    "literal-line-feed": "#Person2#: 네.\\n응.",
    "html": "#Person2#: A &amp; B",
    "html-tag": "#Person2#: <b>네</b>.",
    "line-end": "#Person2#: 네.\u2028응.",
    "invisible-character": "#Person2#: 네\u200b.",
    "lost-character": "#Person2#: 네\ufffd.",
    "not-nfc": "#Person2#: \u1102\u1166.",
    "no-speaker": "네.",
    "empty-turn": "#Person2#:",
    "unknown-mask": "#Person2#: #Name#입니다.",
    "line-space": "#Person2#: 네. ",
}


@SHARED_FOLDER
@given(CLEAN_ROWS, st.sampled_from(sorted(PLANTED)), st.data())
def test_what_is_planted_is_found_in_its_line(
    tmp_path: Path, drawn: list[tuple[list[str], str]], kind: str, data: st.DataObject
) -> None:
    rows = clean_rows(drawn)
    row = data.draw(st.integers(0, len(rows) - 1))
    lines = rows[row][1].split("\n")
    lines.insert(data.draw(st.integers(1, len(lines))), PLANTED[kind])
    rows[row][1] = "\n".join(lines)
    path = tmp_path / "planted.csv"
    content = as_csv(rows)
    path.write_bytes(content)
    report = check_files([str(path)])
    assert found(report) == {kind: 1}
    [place] = report.findings[0].places
    assert (place.id, place.column) == (rows[row][0], "dialogue")
    assert PLANTED[kind].strip() in content.decode().split("\n")[place.line - 1]


@SHARED_FOLDER
@given(CLEAN_ROWS, st.lists(st.sampled_from(sorted(PLANTED)), max_size=5))
def test_the_json_says_all_that_is_said(
    tmp_path: Path, drawn: list[tuple[list[str], str]], planted: list[str]
) -> None:
    rows = clean_rows(drawn)
    for at, kind in enumerate(planted):
        rows[at % len(rows)][1] += f"\n{PLANTED[kind]}"
    rows.append(list(rows[0]))
    path = tmp_path / "some.csv"
    path.write_bytes(as_csv(rows))
    report = check_files([str(path)])
    value = json.loads(json.dumps(report.to_json(), ensure_ascii=False))
    assert value == report.to_json()
    assert value["problems"] is report.problems is True
    assert value["files"] == [{"path": str(path), "rows": len(rows)}]
    assert [(found["kind"], found["rows"]) for found in value["findings"]] == list(found(report).items())
    for finding, told in zip(report.findings, value["findings"], strict=True):
        assert told["severity"] == RULES[told["kind"]].severity
        for place, where in zip(finding.places, told["places"], strict=True):
            assert f"{where['path']}:{where['line']} {where['id']} {where['column']} «{where['excerpt']}»" in str(
                place
            )
            assert ("other" in where) is (place.other is not None)
