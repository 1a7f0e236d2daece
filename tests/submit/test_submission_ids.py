"""What the check of a submission finds in its ids and in columns that are neither id nor summary."""

from __future__ import annotations

from pathlib import Path

import pytest
from submissions import (
    BARE,
    BARE_SAMPLE,
    GOOD,
    IDS,
    LINES,
    SAMPLE,
    TEXTS,
    Found,
    check_bytes,
    kinds_and_lines,
    with_lines,
)

COUNTED = ",fname,summary\n" + "".join(f"{at},test_{at},{text}\n" for at, text in enumerate(TEXTS))
FROM_ONE = GOOD.replace("\n5,", "\n6,").replace("\n4,", "\n5,")
FILES: list[tuple[str, str, Found]] = [
    ("counted", COUNTED, {"counted-ids": [5, 6, 7]}),
    ("a row too few", with_lines(1, 2, 4, 5, 6), {"missing-id": [None]}),
    ("a row too many", GOOD + "6,test_9,그는 잠시 쉬기로 합니다.\n", {"extra-id": [8]}),
    ("a row twice", GOOD + LINES[1].replace("0,", "6,", 1), {"repeated-id": [8]}),
    ("two rows exchanged", with_lines(1, 3, 2, 4, 5, 6), {"id-order": [4]}),
    ("a row without an id", GOOD.replace("test_1", ""), {"empty-id": [3], "missing-id": [None]}),
    ("a space behind an id", GOOD.replace("test_1", "test_1 "), {"misspelt-id": [3]}),
    ("other ids", GOOD.replace("test", "dev"), {"extra-id": [2, 3, 4, 5, 6, 7], "missing-id": [None] * 6}),
    ("index from 1", FROM_ONE, {"other-column": [6, 7]}),
]


@pytest.mark.parametrize(("content", "expected"), [file[1:] for file in FILES], ids=[file[0] for file in FILES])
def test_each_fault_is_found_where_it_is(tmp_path: Path, content: str, expected: Found) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, content.encode())) == expected


def test_counted_ids_say_what_the_sample_has_there(tmp_path: Path) -> None:
    [finding] = check_bytes(tmp_path, COUNTED.encode()).findings
    assert "ids made by counting" in finding.rule.why
    assert [(place.id, place.found) for place in finding.places] == [
        ("test_3", "the sample has test_4 here"),
        ("test_4", "the sample has test_5 here"),
        ("test_5", "the sample has test_7 here"),
    ]


@pytest.mark.parametrize("misspelt", ["TEST_2", "test_002", "test_2.0", "2", " test_2", "Test-2"])
def test_a_misspelt_id_is_told_from_a_missing_one(tmp_path: Path, misspelt: str) -> None:
    [finding] = check_bytes(tmp_path, GOOD.replace("test_2", misspelt).encode()).findings
    assert finding.rule.code == "misspelt-id"
    assert [place.line for place in finding.places] == [4]
    assert finding.places[0].found == f"«{misspelt}»; did you mean test_2?"


INDEXED_SAMPLE = SAMPLE.replace("test_", "")
INDEXED = GOOD.replace("test_", "")
BARE_FILES: list[tuple[str, str, str, Found]] = [
    ("good", BARE, BARE_SAMPLE, {}),
    ("good, with an index", INDEXED, INDEXED_SAMPLE, {}),
    (
        "two quotes are not closed",
        BARE.replace("1,민", '1,"민').replace("4,두", '4,"두'),
        BARE_SAMPLE,
        {"broken-quotes": [3, 5]},
    ),
    ("no summary behind the index", INDEXED.replace("," + TEXTS[3], ""), INDEXED_SAMPLE, {"missing-field": [5]}),
    (
        "tabs, and no header",
        BARE.partition("\n")[2].replace(",", "\t"),
        BARE_SAMPLE,
        {"separator": [1], "missing-header": [1]},
    ),
    ("zeros before them", BARE.replace("\n4,", "\n004,"), BARE_SAMPLE, {"misspelt-id": [5]}),
    ("one is missing", BARE.replace(f"4,{TEXTS[3]}\n", ""), BARE_SAMPLE, {"missing-id": [None]}),
]


@pytest.mark.parametrize(
    ("content", "sample", "expected"), [file[1:] for file in BARE_FILES], ids=[file[0] for file in BARE_FILES]
)
def test_ids_may_be_bare_figures(tmp_path: Path, content: str, sample: str, expected: Found) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, content.encode(), sample)) == expected


NAMED_SAMPLE = SAMPLE.replace(",fname", "Unnamed: 0,fname", 1)
NAMED = GOOD.replace(",fname", "Unnamed: 0,fname", 1)
TOPIC_SAMPLE = "fname,topic,summary\n" + "".join(f"{one},길,-\n" for one in IDS)
TOPIC = "fname,topic,summary\n" + "".join(f"{one},길,{text}\n" for one, text in zip(IDS, TEXTS, strict=True))


@pytest.mark.parametrize(
    ("content", "sample", "expected"),
    [
        (NAMED, NAMED_SAMPLE, {}),
        (NAMED.replace("\n3,", "\n4,"), NAMED_SAMPLE, {"other-column": [5]}),
        (TOPIC, TOPIC_SAMPLE, {}),
        (
            TOPIC.replace("test_2,길", "test_2,").replace("test_5,길", "test_5,장보기"),
            TOPIC_SAMPLE,
            {"other-column": [4, 6]},
        ),
        (
            "".join(TOPIC.splitlines(keepends=True)[at] for at in (0, 1, 3, 2, 4, 5, 6)),
            TOPIC_SAMPLE,
            {"id-order": [4]},
        ),
    ],
)
def test_other_columns_are_compared_by_id(tmp_path: Path, content: str, sample: str, expected: Found) -> None:
    assert kinds_and_lines(check_bytes(tmp_path, content.encode(), sample)) == expected


def test_what_another_column_should_have_is_said(tmp_path: Path) -> None:
    [finding] = check_bytes(tmp_path, TOPIC.replace("test_2,길", "test_2,").encode(), TOPIC_SAMPLE).findings
    assert finding.places[0].found == "topic: found «», expected «길»"
    [finding] = check_bytes(tmp_path, GOOD.replace("\n3,", "\n4,").encode()).findings
    assert finding.places[0].found == "the index: found «4», expected «3»"
