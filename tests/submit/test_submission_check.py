"""What the check of a submission finds: planted faults, each with its kind and its line."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from submissions import GOOD, IDS, PLAIN_GOOD, PLAIN_SAMPLE, SAMPLE, TEXTS, check_bytes, kinds_and_lines, sample_of

from llm_summ.errors import DataError
from llm_summ.submit import check_submission, read_sample

LINES = GOOD.splitlines(keepends=True)
COUNTED = ",fname,summary\n" + "".join(f"{at},test_{at},{text}\n" for at, text in enumerate(TEXTS))


def with_text(text: str, at: int = 2) -> str:
    """The good file with another summary in one row; `text` as CSV has it."""
    lines = list(LINES)
    lines[at + 1] = f"{at},{IDS[at]},{text}\n"
    return "".join(lines)


def with_lines(*order: int) -> str:
    """The header and these rows of the good file, from 1."""
    return "".join(LINES[at] for at in (0, *order))


Found = dict[str, list[int | None]]
INDEX_TWICE: Found = {"extra-index": [1], "index-values": [2, 3, 4, 5, 6, 7]}
TWO_OPEN = with_text('"회의를 이제 엽니다.', 1).replace(",두 사람은", ',"두 사람은')
ANOTHER_COLUMN = GOOD.replace("summary\n", "summary,topic\n").replace(".\n", ".,길\n")
FROM_ONE = GOOD.replace("\n5,", "\n6,").replace("\n4,", "\n5,")
UNQUOTED_BREAK: Found = {"missing-field": [5], "no-full-stop": [4], "short-summary": [4]}
LONG = " ".join(f"{number}번째 회의 자료를 보냅니다." for number in range(30))
FILES: list[tuple[str, str | bytes, Found]] = [
    ("good", GOOD, {}),
    ("good, all quoted", GOOD.replace(",민수는", ',"민수는').replace("옮깁니다.\n", '옮깁니다."\n'), {}),
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
    ("no name for the index", GOOD.replace(",fname", "fname", 1), {"column-name": [1]}),
    ("index and index", LINES[0].replace(",f", ",,f") + "".join("7," + line for line in LINES[1:]), INDEX_TWICE),
    ("another column", ANOTHER_COLUMN, {"extra-column": [1]}),
    ("index from 1", FROM_ONE, {"index-values": [6, 7]}),
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
    # ids
    ("counted", COUNTED, {"counted-ids": [5, 6, 7]}),
    ("a row too few", with_lines(1, 2, 4, 5, 6), {"missing-id": [None]}),
    ("a row too many", GOOD + "6,test_9,그는 잠시 쉬기로 합니다.\n", {"extra-id": [8]}),
    ("a row twice", GOOD + LINES[1].replace("0,", "6,", 1), {"repeated-id": [8]}),
    ("two rows exchanged", with_lines(1, 3, 2, 4, 5, 6), {"id-order": [4]}),
    ("a row without an id", GOOD.replace("test_1", ""), {"empty-id": [3], "missing-id": [None]}),
    ("a space behind an id", GOOD.replace("test_1", "test_1 "), {"id-space": [3]}),
    ("other ids", GOOD.replace("test", "dev"), {"extra-id": [2, 3, 4, 5, 6, 7], "missing-id": [None] * 6}),
    # summaries
    ("empty", with_text(""), {"empty-summary": [4]}),
    ("a full stop", with_text("."), {"empty-summary": [4]}),
    ("punctuation", with_text("…! _"), {"empty-summary": [4]}),
    ("nan", with_text("nan"), {"null-text": [4]}),
    ("None", with_text(" None"), {"null-text": [4], "outer-space": [4]}),
    ("the sample's text", with_text("요약문입니다."), {"placeholder": [4]}),
    ("the same twice", with_text(TEXTS[0]), {"repeated-summary": [4]}),
    ("white space before", with_text(" 회의 자료를 보냅니다."), {"outer-space": [4]}),
    ("white space behind", with_text("회의 자료를 보냅니다.\u3000"), {"outer-space": [4]}),
    ("two spaces", with_text("회의  자료를 보냅니다."), {"double-space": [4]}),
    ("a tab", with_text("회의\t자료를 보냅니다."), {"double-space": [4]}),
    ("a line break", with_text('"회의 자료를\n메일로 보냅니다."'), {"line-break": [4]}),
    ("a literal line feed", with_text("회의 자료를\\n메일로 보냅니다."), {"literal-line-feed": [4]}),
    ("an entity", with_text("회의 &amp; 자료를 보냅니다."), {"html": [4]}),
    ("a line break of HTML", with_text("회의 자료를<br>메일로 보냅니다."), {"html": [4]}),
    ("a zero-width space", with_text("회의 자료를\u200b 보냅니다."), {"invisible-character": [4]}),
    ("a lost character", with_text("회의 \ufffd료를 보냅니다."), {"lost-character": [4]}),
    ("lost characters only", with_text("\ufffd" * 20), {"empty-summary": [4], "lost-character": [4]}),
    ("decomposed", with_text(unicodedata.normalize("NFD", TEXTS[2])), {"not-nfc": [4]}),
    ("English", with_text("#Person1# asks the way to the station."), {"not-korean": [4]}),
    ("too long", with_text(LONG), {"long-summary": [4]}),
    ("too short", with_text("네."), {"short-summary": [4]}),
    ("no full stop", with_text("회의 자료를 메일로 보내기"), {"no-full-stop": [4]}),
    ("a model that did not stop", with_text("회의 자료를 " + 8 * "보내고 " + "보냅니다."), {"repetition": [4]}),
]


@pytest.mark.parametrize(("content", "expected"), [file[1:] for file in FILES], ids=[file[0] for file in FILES])
def test_each_fault_is_found_where_it_is(tmp_path: Path, content: str | bytes, expected: Found) -> None:
    report = check_bytes(tmp_path, content if isinstance(content, bytes) else content.encode())
    assert kinds_and_lines(report) == expected


@pytest.mark.parametrize(
    "text",
    [
        "요약: 두 사람이 점심을 먹기로 합니다.",
        "[요약] 대화 요약: 두 사람이 점심을 먹기로 합니다.",
        "Summary: 두 사람이 점심을 먹기로 합니다.",
        "### 요약 두 사람이 점심을 먹기로 합니다.",
        "<bos>두 사람이 점심을 먹기로 합니다.",
        "두 사람이 점심을 먹기로 합니다.<eos>",
        "두 사람이 점심을 먹기로 합니다.<|im_end|>",
        "두 사람이 점심을 먹기로 합니다.</s>",
        "두 사람이 점심을 먹기로 합니다.[|endofturn|]",
        "<start_of_turn>model 두 사람이 점심을 먹기로 합니다.",
        "[INST] 두 사람이 점심을 먹기로 합니다.",
        "<think>생각해 보자.</think> 두 사람이 점심을 먹기로 합니다.",
        "**두 사람이** 점심을 먹기로 합니다.",
        "다음은 대화의 요약입니다. 두 사람이 점심을 먹기로 합니다.",
        "두 사람이 점심을 먹기로 합니다. #Person1#: 좋아요.",
    ],
)
def test_what_remains_of_a_prompt_is_found(tmp_path: Path, text: str) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, with_text(text).encode())) == {"prompt-remains": [4]}


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ("# Person1 #", "broken-tag"),
        ("#person1#", "broken-tag"),
        ("#Person1 ", "broken-tag"),
        ("#Person 1#", "broken-tag"),
        ("Person1#", "broken-tag"),
        ("Person1", "broken-tag"),
        ("#Phone Number#", "broken-tag"),
        ("#Personal1#", "unknown-mask"),
        ("#Mr. Kim", "stray-sign"),
        ("##Person1##", "stray-sign"),
    ],
)
def test_broken_tags_are_found(tmp_path: Path, tag: str, kind: str) -> None:
    text = with_text(f"{tag}에게 회의 자료를 보내기로 합니다.")
    assert kinds_and_lines(check_bytes(tmp_path, text.encode())) == {kind: [4]}


@pytest.mark.parametrize("end", ["#", "#Per", "#Person", "#Person1"])
def test_a_tag_that_was_cut_off_is_found(tmp_path: Path, end: str) -> None:
    text = with_text(f"민수는 길을 묻습니다. {end}")
    assert kinds_and_lines(check_bytes(tmp_path, text.encode())) == {"broken-tag": [4], "no-full-stop": [4]}


@pytest.mark.parametrize(
    "text",
    [
        "C# 강의를 신청합니다.",
        "'어린 왕자'와 '데미안'을 읽기로 합니다.",
        "3:1로 이겼다는 소식을 전합니다.",
        "회의는 10:30에 시작하며 요약본을 나눠 줍니다.",
        "#Person1#은 #PersonName#의 번호 #PhoneNumber#를 알려줍니다!",
        "그는 a < b > c 라고 적습니다.",
    ],
)
def test_good_summaries_are_not_suspected(tmp_path: Path, text: str) -> None:
    found = kinds_and_lines(check_bytes(tmp_path, with_text(text).encode()))
    assert found.keys() <= {"stray-sign"}
    assert bool(found) == ("C#" in text)


def test_a_sample_without_an_index(tmp_path: Path) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, PLAIN_GOOD.encode(), PLAIN_SAMPLE)) == {}
    assert kinds_and_lines(check_bytes(tmp_path, GOOD.encode(), PLAIN_SAMPLE)) == {"extra-index": [1]}


def test_a_sample_with_a_byte_order_mark_and_crlf_wants_them(tmp_path: Path) -> None:
    marked = "\ufeff" + SAMPLE.replace("\n", "\r\n")
    good = "\ufeff" + GOOD.replace("\n", "\r\n")
    assert kinds_and_lines(check_bytes(tmp_path, good.encode(), marked)) == {}
    assert kinds_and_lines(check_bytes(tmp_path, GOOD.encode(), marked)) == {"line-end": [1]}


def test_counted_ids_say_what_the_sample_has_there(tmp_path: Path) -> None:
    [finding] = check_bytes(tmp_path, COUNTED.encode()).findings
    assert "ids made by counting" in finding.kind.why
    assert [(place.id, place.found) for place in finding.places] == [
        ("test_3", "the sample has test_4 here"),
        ("test_4", "the sample has test_5 here"),
        ("test_5", "the sample has test_7 here"),
    ]


def test_many_faults_are_found_at_once(tmp_path: Path) -> None:
    broken = with_text('"회의 자료를 보냅니다.').replace("민수는", "요약: 민수는").replace("지영은", "지영은  ")
    found = kinds_and_lines(check_bytes(tmp_path, ("\ufeff" + broken).encode()))
    assert found == {"byte-order-mark": [1], "broken-quotes": [4], "prompt-remains": [3], "double-space": [7]}


def test_the_report_for_people_and_for_programs(tmp_path: Path) -> None:
    report = check_bytes(tmp_path, GOOD.replace("test", "dev").encode())
    lines = report.lines()
    assert lines[0] == f"{tmp_path}/submission.csv: 6 rows, compared with {tmp_path}/sample_submission.csv"
    assert f"  {tmp_path}/submission.csv:6 dev_5" in lines
    assert f"  {tmp_path}/submission.csv:7 dev_7" not in lines
    assert "  … and 1 more" in lines
    assert lines[-1] == "2 kinds of problem"
    value = json.loads(json.dumps(report.to_json()))
    assert [(one["kind"], one["severity"], len(one["places"])) for one in value["findings"]] == [
        ("missing-id", "problem", 6),
        ("extra-id", "problem", 6),
    ]
    assert value["findings"][1]["places"][5] == {"line": 7, "id": "dev_7", "found": ""}
    good = check_bytes(tmp_path, GOOD.encode())
    assert good.lines() == [f"{tmp_path}/submission.csv: 6 rows, as {tmp_path}/sample_submission.csv wants them"]
    assert not good.problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty file"),
        ("fname,text\na,b\n", "no column summary"),
        ("fname,summary\n", "no rows"),
        ("fname,summary\na,b\na,c\n", ":3: id a stands already in line 2"),
        ("fname,summary\na,b\n,c\n", ":3: empty fname"),
        (",,fname,summary\n0,0,a,b\n", "2 columns without a name"),
    ],
)
def test_a_sample_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError) as error:
        sample_of(tmp_path, text)
    assert said in str(error.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    sample = sample_of(tmp_path)
    for path in (tmp_path / "nowhere.csv", tmp_path, tmp_path / "\0"):
        with pytest.raises(DataError, match="cannot be read"):
            check_submission(path, sample)
    with pytest.raises(DataError, match="as CSV"):
        read_sample(tmp_path / "sample.jsonl")


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_anything(folder: Path, content: bytes) -> None:
    """Whatever is in a file, the report can be printed, and its lines are of the file."""
    report = check_bytes(folder, content)
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
