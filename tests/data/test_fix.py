"""The repaired copy: what is repaired, what stays, and the list of changes."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import plain, raises

from llm_summ.core.errors import DataError
from llm_summ.data import rules
from llm_summ.data.fix import Repair, fix_files, fix_table
from llm_summ.data.formats import writer_for
from llm_summ.data.read import dialogue_text, read_dialogues
from llm_summ.data.report import check_files, check_tables, read_tables
from llm_summ.data.row_rules import stripped_id
from llm_summ.data.table import Record, Table

FIRST = "#Person1#: 네, 맞아요."
REPAIRED = {code for code, rule in rules.RULES.items() if rule.remedy == rules.REPAIRED}
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def table(*rows: dict[str, Any], name: str = "dev.csv") -> Table:
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    records = [Record(2 + at, row) for at, row in enumerate(rows)]
    return Table(Path(name), columns, records, format=writer_for(Path(name)))


def fixed(row: dict[str, Any], name: str = "dev.csv") -> tuple[dict[str, Any], list[Repair]]:
    result, changes = fix_table(table(row, name=name))
    return result.records[0].values, changes


# A line of a dialogue, what becomes of it, and which kinds of repair are listed.
LINES = [
    ("#Person2 : 네.", "#Person2#: 네.", ["broken-tag"]),
    ("#Person2: 네.", "#Person2#: 네.", ["broken-tag"]),
    ("# Person 2 #: 네.", "#Person2#: 네.", ["broken-tag"]),
    ("#person2#: 네.", "#Person2#: 네.", ["broken-tag"]),
    ("Person2#: 네.", "#Person2#: 네.", ["broken-tag"]),
    ("Person2: 네.", "#Person2#: 네.", ["broken-tag"]),
    ("＃Person２＃：네.", "#Person2#: 네.", ["broken-tag"]),
    ("#Person2#：네.", "#Person2#: 네.", ["broken-tag"]),
    ("#Person2# : 네.", "#Person2#: 네.", ["broken-tag"]),
    ("#Person2#: #Person1과 #Person3#", "#Person2#: #Person1#과 #Person3#", ["broken-tag"]),
    ("#Person2#: #Person1 #Person3#", "#Person2#: #Person1# #Person3#", ["broken-tag"]),
    ("#Person2#: #phone number#", "#Person2#: #PhoneNumber#", ["broken-tag"]),
    ("#Person2#: #date of birth#, #SSN", "#Person2#: #DateOfBirth#, #SSN#", ["broken-tag"]),
    ("#Person2#: #E-mail#", "#Person2#: #Email#", ["broken-tag"]),
    ("#Person2#: 네. #Person1#: 응.", "#Person2#: 네.\n#Person1#: 응.", ["joined-turns"]),
    (
        "#Person2#: 네?#Person1#: 응.#Person2#: 네",
        "#Person2#: 네?\n#Person1#: 응.\n#Person2#: 네",
        ["joined-turns"],
    ),
    ("#Person2#: 받는 사람 #Person1#: 네", "#Person2#: 받는 사람\n#Person1#: 네", ["joined-turns"]),
    ("#Person2 : 네?Person1: 응", "#Person2#: 네?\n#Person1#: 응", ["broken-tag", "joined-turns"]),
    ("#Person2#: 네#Person1# : 응", "#Person2#: 네\n#Person1#: 응", ["joined-turns", "broken-tag"]),
    ("#Person2#: 네#Peron1#: 응", "#Person2#: 네\n#Person1#: 응", ["broken-tag", "joined-turns"]),
    ("#Ferson2#: 네", "#Person2#: 네", ["broken-tag"]),
    ("#Person2#: #persan1#과 # Peron 2 #, #사람1#", "#Person2#: #Person1#과 #Person2#, #Person1#", ["broken-tag"]),
    ("#Person2#: 네.\\n#Person1#: 응.", "#Person2#: 네.\n#Person1#: 응.", ["literal-line-feed"]),
    ("#Person2#: 네.\\r\\n", "#Person2#: 네.", ["literal-line-feed", "blank-line"]),
    ("#Person2#: 네.<br/>#Person1#: 응.", "#Person2#: 네.\n#Person1#: 응.", ["html"]),
    ("#Person2#: &lt;A&nbsp;&amp;amp; B&#39;s&gt;", "#Person2#: <A & B's>", ["html"]),
    ("#Person2#: &#xD800;&#0;&#9999999;네", "#Person2#: 네", ["html"]),
    ("#Person2#: 네&#8203;.", "#Person2#: 네.", ["html", "invisible-character"]),
    ("#Person2#: 네.\r", "#Person2#: 네.", ["line-end"]),
    ("#Person2#: 네.\u2028#Person1#: 응.", "#Person2#: 네.\n#Person1#: 응.", ["line-end"]),
    ("#Person2#: 네\u200b\x07\ufeff.", "#Person2#: 네.", ["invisible-character"]),
    ("#Person2#: 네\u3164네.", "#Person2#: 네 네.", ["invisible-character"]),
    ("#Person2#: " + unicodedata.normalize("NFD", "각하"), "#Person2#: 각하", ["not-nfc"]),
    ("#Per\u200bson2 : 네.", "#Person2#: 네.", ["invisible-character", "broken-tag"]),
    (" #Person2#: 네. ", "#Person2#: 네.", ["line-space"]),
    ("\n", "", ["blank-line"]),
    # what has no repair, or more than one
    ("#Person2# 네.", None, []),
    ("네.", None, []),
    ("#Person2#:", None, []),
    ("#Person2#: ", None, []),
    ("#Person2#: #Name#", None, []),
    ("#Person2#: <b>네</b> 네\ufffd", None, []),
    ("#Person2#: #Person1#: 네", None, []),
    ('#Person2#: 쪽지에 "#Person1#: 미안"이래요.', None, []),
    ("#Person2#: #Peron3#, #Lesson1#, #PersonName#", None, []),
    ("#Person2#: 네\t\u00a0  네 👨‍👩‍👧 C:\\new C:\\n AT&T; 1 < 2", None, []),
]


@pytest.mark.parametrize(("line", "becomes", "kinds"), LINES, ids=[ascii(line) for line, _, _ in LINES])
def test_what_becomes_of_a_line(line: str, becomes: str | None, kinds: list[str]) -> None:
    row = {"fname": "dev_7", "dialogue": f"{FIRST}\n{line}\n{FIRST}"}
    values, changes = fixed(row)
    expected = [FIRST, *([line] if becomes is None else [becomes] if becomes else []), FIRST]
    assert values["dialogue"] == "\n".join(expected)
    assert [change.kind for change in changes] == kinds
    assert not REPAIRED & {found.rule.code for found in check_tables([table(values)]).findings}


def test_a_name_without_signs_is_a_tag_only_where_there_are_tags() -> None:
    row = {"fname": "a", "dialogue": "Person1: 네.\nPerson2: 응.", "summary": "Person1이 답합니다."}
    assert fixed(row) == (row, [])
    values, _ = fixed(row | {"dialogue": "#person1#: 네.\nPerson2: 응."})
    assert values["dialogue"] == "#Person1#: 네.\n#Person2#: 응."
    assert values["summary"] == "#Person1#이 답합니다."


@pytest.mark.parametrize(
    ("column", "before", "after"),
    [
        ("fname", " dev_7\n", "dev_7"),
        ("fname", "\ufeffdev_7\u200b", "dev_7"),
        ("fname", "dev\n7", "dev\n7"),
        ("fname", "", ""),
        ("fname", " ", " "),
        ("fname", 7, 7),
        ("fname", None, None),
        ("dialogue", "", ""),
        ("dialogue", " \n", " \n"),
        ("dialogue", None, None),
        ("summary", "", ""),
        ("summary", None, None),
        ("summary", ["a"], ["a"]),
        ("summary", "\u200b", "\u200b"),
        ("summary", " <br>", " <br>"),
        ("dialogue", "\u200b\n", "\u200b\n"),
        ("topic", "&#8203;", "&#8203;"),
        ("summary", "#Person1은  띄어쓰기가  이상 해요 .", "#Person1#은  띄어쓰기가  이상 해요 ."),
        ("summary", "가. #Person2#: 나.", "가. #Person2#: 나."),
        ("summary", "#Peron2#에게 #Ferson3#이", "#Person2#에게 #Ferson3#이"),
        ("summary3", " 요약 &amp; 요점", "요약 & 요점"),
        ("topic", "예약 &amp; 확인 ", "예약 & 확인"),
        ("other", " &amp;\r\n#Person1 ", " &amp;\r\n#Person1 "),
        ("", " 0 ", " 0 "),
    ],
)
def test_what_becomes_of_a_field(column: str, before: object, after: object) -> None:
    row = {"fname": "dev_7", "dialogue": f"{FIRST}\n#Person2#: 네.", column: before}
    values, changes = fixed(row)
    assert values == row | {column: after}
    assert {change.column for change in changes} == ({column} if before != after else set())


def test_a_repair_makes_no_two_ids_the_same() -> None:
    ids = ["a", "a\u200b", "\u200bb", "c\u200b", " c", " d", "e "]
    rows = table(*({"fname": name, "dialogue": f"{FIRST}\n#Person2#: 네."} for name in ids))
    once, changes = fix_table(rows)
    assert [row.values["fname"] for row in once.records] == ["a", "a\u200b", "b", "c\u200b", "c", "d", "e"]
    assert [change.before for change in changes] == ["\\u200bb", " c", " d", "e "]
    found = {finding.rule.code: len(finding.places) for finding in check_tables([once]).findings}
    assert found["id-outer-space"] == 2
    assert "duplicate-id" not in found


def test_turns_of_which_nothing_would_be_left_stay() -> None:
    row = {"fname": "a", "turns": ["\u200b", {"text": " "}]}
    assert fixed(row, "dev.jsonl") == (row, [])


def test_a_failed_repair_leaves_no_file(in_tmp: Path) -> None:
    Path("a.csv").write_text("fname,dialogue\na,b: c \n", encoding="utf-8")
    Path("b.jsonl").write_text('{"fname": "a", "dialogue": "b: c ", "n": 1}\n', encoding="utf-8")
    [good, bad] = read_tables(["a.csv", "b.jsonl"])
    bad.records[0].values["n"] = float("inf")
    with raises(DataError) as error:
        fix_files([good, bad], Path("out"))
    assert error.message == snapshot(
        "b.jsonl:1: found a number that is not finite, which JSON does not have; choose a name that ends "
        "in .parquet"
    )
    assert not list(Path("out").iterdir())
    # The copy can be written; the name of its list is too long, or too long for a temporary file next to it.
    for length, said in (
        (
            248,
            snapshot(
                "out/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: cannot be used "
                "(File name too long); choose another name"
            ),
        ),
        (
            232,
            snapshot(
                "out/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: cannot be "
                "written (File name too long); choose a shorter name"
            ),
        ),
    ):
        with raises(DataError) as error:
            fix_files([good], Path("out") / ("x" * length + ".csv"))
        assert error.message == said
        assert not list(Path("out").iterdir())


def test_a_repaired_file_in_cp949_is_said_to_be_utf_8(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_bytes("fname,dialogue\na,가나: 다라 \n".encode("cp949"))
    fix_files(read_tables(["a.csv"]), Path("b.csv"))
    assert plain(capsys.readouterr().err) == snapshot(
        "a.csv: read as CP949 (it is not UTF-8)\na.csv: is CP949; files written from it are UTF-8\n"
    )
    assert read_dialogues("b.csv")[0].text == "가나: 다라"


def test_turns_are_repaired_where_they_stand() -> None:
    turns: list[Any] = [
        {"speaker": "#Person1", "text": "네.\u200b", "at": " 10:00 &amp;"},
        {"speaker": "#Person2#", "text": "응."},
        {"text": " "},
        "",
        "Person1#: 그래요. ",
        {"role": "#Person2#", "content": ""},
    ]
    row = {"fname": "a", "turns": turns}
    values, changes = fixed(row, "dev.jsonl")
    assert values["turns"] == [
        {"speaker": "#Person1#", "text": "네.", "at": " 10:00 &amp;"},
        {"speaker": "#Person2#", "text": "응."},
        "#Person1#: 그래요.",
        {"role": "#Person2#", "content": ""},
    ]
    assert [change.kind for change in changes] == [
        *("broken-tag", "invisible-character", "blank-line", "blank-line", "broken-tag", "line-space"),
    ]
    assert len(turns) == 6
    after = table(values, name="dev.jsonl")
    assert not REPAIRED & {found.rule.code for found in check_tables([after]).findings}
    assert fix_table(after)[1] == []
    for odd in ({"turns": [7]}, {"turns": None}, {"turns": [""]}, {"turns": "a"}):
        assert fixed({"fname": "a", **odd}, "dev.jsonl") == ({"fname": "a", **odd}, [])


def test_a_change_says_where_and_what(in_tmp: Path) -> None:
    Path("dev.csv").write_text(
        f'fname,dialogue,summary\n dev_7,"{FIRST}\n#Person2 : 네.",요약\ndev_8,"{FIRST}\nb: c", 요약\n',
        encoding="utf-8",
    )
    [done] = fix_files(read_tables(["dev.csv"]), Path("fixed.csv"))
    lines = Path("fixed.csv.changes.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            **{"place": "dev.csv:2", "id": "dev_7", "column": "fname", "kind": "id-outer-space"},
            **{"before": " dev_7", "after": "dev_7"},
        },
        {
            **{"place": "dev.csv:2", "id": "dev_7", "column": "dialogue", "kind": "broken-tag"},
            **{"before": "…아요.⏎#Person2 : 네.", "after": "…아요.⏎#Person2#: 네."},
        },
        {
            **{"place": "dev.csv:4", "id": "dev_8", "column": "summary", "kind": "line-space"},
            **{"before": " 요약", "after": "요약"},
        },
    ]
    assert (done.path, done.list_path, len(done.changes)) == (
        Path("fixed.csv"),
        Path("fixed.csv.changes.jsonl"),
        3,
    )
    assert Path("fixed.csv").read_text(encoding="utf-8") == (
        f'fname,dialogue,summary\ndev_7,"{FIRST}\n#Person2#: 네.",요약\ndev_8,"{FIRST}\nb: c",요약\n'
    )


def test_several_files_go_to_a_folder(in_tmp: Path) -> None:
    content = "fname,dialogue\r\na,b: c \r\n"
    for name in ("one.csv", "two.csv"):
        Path(name).write_bytes(content.encode())
    done = fix_files(read_tables(["one.csv", "two.csv"]), Path("out"))
    assert [fixed.path for fixed in done] == [Path("out/one.csv"), Path("out/two.csv")]
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *("one.csv", "one.csv.changes.jsonl", "two.csv", "two.csv.changes.jsonl"),
    ]
    assert Path("out/two.csv").read_bytes() == content.replace("c ", "c").encode()
    assert Path("one.csv").read_bytes() == content.encode()


@pytest.mark.parametrize(
    ("sources", "out", "said"),
    [
        (["a.csv"], "a.csv", snapshot("a.csv: is the input itself; choose another name, nothing is overwritten")),
        (["a.csv"], "b.csv", snapshot("b.csv: is there already; choose another name, nothing is overwritten")),
        (["a.csv"], "d", snapshot("d: is a folder; expected the name of the repaired copy of a.csv")),
        (
            ["a.csv"],
            "new",
            snapshot("new: found a name without an ending; expected .csv, .jsonl, .parquet, .json"),
        ),
        (
            ["a.csv"],
            "c.csv",
            snapshot("c.csv.changes.jsonl: is there already; choose another name, nothing is overwritten"),
        ),
        (["a.csv"], "b.csv/x.csv", snapshot("b.csv: is a file; expected a folder for x.csv")),
        (["a.csv", "b.csv"], "b.csv", snapshot("b.csv: is a file; expected a folder for 2 repaired files")),
        (
            ["a.csv", "b.csv"],
            ".",
            snapshot("a.csv: is the input itself; choose another name, nothing is overwritten"),
        ),
        (
            ["d/a.csv", "a.csv"],
            "new",
            snapshot("a.csv: another file is also called a.csv; repair them one by one"),
        ),
        (
            ["a.csv", "b.csv"],
            "d",
            snapshot("d/a.csv: is there already; choose another name, nothing is overwritten"),
        ),
    ],
)
def test_nothing_is_overwritten(in_tmp: Path, sources: list[str], out: str, said: str) -> None:
    Path("d").mkdir()
    for name in ("a.csv", "b.csv", "d/a.csv"):
        Path(name).write_text(f"fname,dialogue\n{name[0]},b: c \n", encoding="utf-8")
    Path("c.csv.changes.jsonl").write_text("mine", encoding="utf-8")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with raises(DataError) as error:
        fix_files(read_tables(sources), Path(out))
    assert error.message == said
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_the_sample_needs_no_repair(tmp_path: Path) -> None:
    [table] = read_tables(["sample:dev"])
    assert fix_table(table) == (table, [])
    [done] = fix_files([table], tmp_path / "dev.csv")
    assert done.list_path.read_bytes() == b""
    assert read_dialogues(str(done.path)) == read_dialogues("sample:dev")


PIECES = [
    *("#Person1#", "#Person2#:", "#Person1", "Person2#", "person1", "# ", "#", "＃", "：", ":", " : ", "1", "２"),
    *("#Peron1#", "#Ferson2", "persan1#", "#사람2#", "#Person일#", "“", '"'),
    *("#PhoneNumber#", "#phone number#", "Email#", "#SSN", "#Name#", "네", "가.", "a", "_", "-", " ", "\n", "\r"),
    *("\\n", "\\", "n", "&amp;", "&", "amp;", "lt;", "&#38;", "&#13;", "&nbsp;", "&#8203;", "<br>", "<", ">"),
    *("\t", "\u200b", "\u200d", "\ufeff", "\u3164", "\u2028", "\x1f", "\x85", "\u3000", "\ufffd", "👨"),
    *("\u1100", "\u1161", "br"),
]
MESSY = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"fname": MESSY, "dialogue": MESSY, "summary": MESSY, "topic": MESSY, "other": MESSY},
    ),
    min_size=1,
    max_size=3,
)


def _after_all(text: str) -> str:
    """Return what a repair would leave of a text."""
    values, _ = fixed({"fname": "a", "dialogue": text + "\n끝"})
    return str(values["dialogue"]).removesuffix("끝").strip()


@given(ROWS)
def test_a_second_repair_changes_nothing_and_nothing_repairable_is_left(rows: list[dict[str, str]]) -> None:
    messy = table(*rows)
    once, changes = fix_table(messy)
    assert len(once.records) == len(rows)
    assert fix_table(once) == (once, [])
    before, after = (
        {
            (finding.rule.code, place.id, place.column)
            for finding in check_tables([one]).findings
            if finding.rule.code in REPAIRED
            for place in finding.places
        }
        for one in (messy, once)
    )
    # What is left would be unusable: repeated ids, texts of which nothing is left.
    ids = [stripped_id(row["fname"]) for row in rows]
    blank = {column for row in rows for column in row if not _after_all(row[column])}
    for _, _, column in after:
        assert (len(set(ids)) < len(ids)) if column == "fname" else column in blank
    # What was found is listed or left, and a field that is not listed is as it was.
    listed = {(change.place, change.column) for change in changes}
    assert {column for _, _, column in before} <= {column for _, column in listed} | {
        column for *_, column in after
    }
    for record, now in zip(messy.records, once.records, strict=True):
        for column, value in record.values.items():
            assert (now.values[column] == value) is ((messy.place(record), column) not in listed)


TURN = st.one_of(
    MESSY,
    st.fixed_dictionaries({"text": MESSY}, optional={"speaker": MESSY | st.none(), "at": MESSY}),
)


@given(st.lists(TURN, max_size=5))
@example(["\u200b", {"speaker": " A ", "text": " "}])
@example([{"text": "", "speaker": "#Peron1#\u2028"}])
def test_turns_keep_their_form(turns: list[Any]) -> None:
    messy = table({"fname": "a", "turns": turns}, name="dev.jsonl")
    once, _ = fix_table(messy)
    assert fix_table(once) == (once, [])
    record = once.records[0]
    assert {type(turn) for turn in record.values["turns"]} <= {type(turn) for turn in turns}
    before = iter([turn["at"] for turn in turns if isinstance(turn, dict) and "at" in turn])
    assert all(
        turn["at"] in before for turn in record.values["turns"] if isinstance(turn, dict) and "at" in turn
    )  # in this order
    dialogue_text(once, record)


@SHARED_FOLDER
@given(ROWS)
def test_what_is_written_is_what_was_repaired(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    for name in ("any.csv", "any.jsonl"):
        target = tmp_path / name
        for path in (target, tmp_path / f"{name}.changes.jsonl"):
            path.unlink(missing_ok=True)
        once, _ = fix_table(table(*rows))
        fix_files([table(*rows)], target)
        [again] = read_tables([str(target)])
        assert [record.values for record in again.records] == [record.values for record in once.records]
        check_files([str(target)])
