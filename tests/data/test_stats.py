"""Statistics of data files, against tables computed by hand and against Python's own statistics."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.word_tokenizers import mecab_tokenizer
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.stats import MEASURES, Distribution, MaskCount, compare_counts, compare_lengths, describe

THREE = [
    Dialogue(
        "a",
        "#Person1#: 네.\n\n#Person2#: 번호는 #PhoneNumber#예요. #PhoneNumber#!\n#Person1#: 네.\n",
        ("요약 하나.", "요약이 둘."),
        "전화",
    ),
    Dialogue(
        "b", "#Person1#: #Email#이요?\r\n \r\n#Person2#: 네\r\n#Person3#: 네", ("#Person1#의 #Email#.",), "  "
    ),
    Dialogue("c", "콜론이 없는 줄", (), "전화"),
]


def test_a_file_is_measured_as_by_hand() -> None:
    found = describe("three.csv", THREE).values
    assert found["turns"] == (3, 3, 1)
    assert found["speakers"] == (2, 3, 0)
    assert found["characters"] == (76, 52, 8)  # a mask has 13 and 7, a \r\n two
    assert found["words"] == (8, 6, 3)
    assert found["references"] == (2, 1, 0)
    # those of the first dialogue, then that of the second
    assert found["summary_characters"] == (6, 6, 19)
    assert found["summary_words"] == (2, 2, 2)
    assert found["ratio"] == (6 / 76, 6 / 76, 19 / 52)
    assert "tokens" not in found
    assert "summary_tokens" not in found


def test_morphemes_are_those_that_the_score_counts() -> None:
    # 호킨스 의사 는 매년 건강 검진 을 받 는 것 을 권장 합니다 .
    sentence = "호킨스 의사는 매년 건강검진을 받는 것을 권장합니다."
    found = describe("golden", [Dialogue("a", sentence, (sentence, "네."))]).values
    assert found["morphemes"] == (14,)
    assert found["summary_morphemes"] == (14, 2)


def test_tokens_are_counted_by_what_is_given() -> None:
    found = describe("three", THREE, count_tokens=lambda text: 2 * len(text) + 1).values
    assert found["tokens"] == (153, 105, 17)
    assert found["summary_tokens"] == (13, 13, 39)


def test_masks_are_counted_by_kind_and_speakers_are_none() -> None:
    assert describe("three", THREE).masks == {
        "#PhoneNumber#": MaskCount(rows=1, in_dialogues=2, in_summaries=0),
        "#Email#": MaskCount(rows=1, in_dialogues=1, in_summaries=1),
    }


@pytest.mark.parametrize(
    ("text", "masks"),
    [
        ("#Person1#: #Person2#에게 #Address#요.", ["#Address#"]),
        ("#Person1#Address#Person2#", []),  # the ends of two speakers make no mask
        ("#Person1#: #수도공항#에서 #Name#!", ["#수도공항#", "#Name#"]),
        ("#Person12#: 3# 4#, # 우물 #, ##", []),
    ],
)
def test_what_a_mask_is(text: str, masks: list[str]) -> None:
    assert list(describe("x", [Dialogue("a", text)]).masks) == masks


def test_topics_are_counted_without_the_empty_ones() -> None:
    more = [
        Dialogue("d", "가", topic="날씨 "),
        Dialogue("e", "가", topic="전화"),
        Dialogue("f", "가", topic="날씨"),
    ]
    assert list(describe("six", [*THREE, *more]).topics.items()) == [("전화", 3), ("날씨", 2)]


def test_speakers_are_shares_of_the_rows() -> None:
    many = Dialogue("m", "\n".join(f"#Person{number}#: 네" for number in range(1, 11)))
    found = describe("four", [*THREE, many])
    assert found.speaker_shares() == {0: 0.25, 2: 0.25, 3: 0.25, 10: 0.25}
    assert found.speaker_shares(3) == {0: 0.25, 2: 0.25, 3: 0.5}


def test_a_distribution_by_hand() -> None:
    # 0, 1, … 20: percentile q is q / 5
    assert Distribution.of(list(range(20, -1, -1))) == Distribution(
        count=21, mean=10, median=10, p5=1, p25=5, p75=15, p95=19, p99=pytest.approx(19.8), min=0, max=20
    )


@given(st.lists(st.integers(0, 10_000) | st.floats(0, 1e6), min_size=2, max_size=60))
def test_a_distribution_agrees_with_pythons_statistics(values: list[float]) -> None:
    found = Distribution.of(values)
    cuts = statistics.quantiles(values, n=100, method="inclusive")  # percentiles 1 to 99
    percentiles = (found.p5, found.p25, found.median, found.p75, found.p95, found.p99)
    assert percentiles == pytest.approx([cuts[at - 1] for at in (5, 25, 50, 75, 95, 99)], rel=1e-9, abs=1e-9)
    assert found.median == pytest.approx(statistics.median(values))
    assert found.mean == pytest.approx(statistics.fmean(values))
    assert (found.count, found.min, found.max) == (len(values), min(values), max(values))


@pytest.mark.parametrize("value", [7, 0.25])
def test_a_distribution_of_one_value_is_that_value(value: float) -> None:
    assert Distribution.of([value]) == Distribution(1, *[value] * 9)


def test_a_distribution_of_nothing_is_refused() -> None:
    with raises(ValueError) as error:
        Distribution.of([])
    assert error.message == snapshot("no values: expected at least one")


TEXTS = st.text(st.sampled_from("가나 .\n\r\t#:aPerson12"), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.builds(
            Dialogue,
            id=st.just("a"),
            text=TEXTS,
            references=st.lists(TEXTS, max_size=3).map(tuple),
            topic=st.none() | TEXTS,
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_measure_is_of_every_dialogue_or_of_every_reference(dialogues: list[Dialogue]) -> None:
    found = describe("any", dialogues, count_tokens=len)
    references = sum(len(dialogue.references) for dialogue in dialogues)
    for measure, values in found.values.items():
        of_summaries = measure == "ratio" or measure.startswith("summary_")
        assert len(values) == (references if of_summaries else len(dialogues))
        assert found.measures[measure] == Distribution.of(values)
    assert found.rows == len(dialogues)
    assert list(found.measures) == [measure for measure in MEASURES if measure in found.values]
    assert ("ratio" in found.measures) == (references > 0)
    assert found.values["tokens"] == found.values["characters"]
    turns = [[mecab_tokenizer()(turn) for turn in dialogue.turn_texts] for dialogue in dialogues]
    assert found.values["morphemes"] == tuple(sum(map(len, tokens)) for tokens in turns)
    assert sum(found.speaker_shares().values()) == pytest.approx(1)
    assert sum(found.topics.values()) == sum(
        bool(dialogue.topic and dialogue.topic.strip()) for dialogue in dialogues
    )


def test_a_file_and_the_same_file_twice_over_are_alike() -> None:
    dialogues = read_dialogues("sample:dev")
    once, twice = describe("dev", dialogues), describe("dev", dialogues * 2)
    for measure, found in once.measures.items():
        assert twice.measures[measure].mean == pytest.approx(found.mean)
        assert twice.measures[measure].median == found.median
    assert twice.speaker_shares() == once.speaker_shares()
    assert {mask: count.rows for mask, count in twice.masks.items()} == {
        mask: 2 * count.rows for mask, count in once.masks.items()
    }


@pytest.mark.parametrize(
    ("dialogues", "message"),
    [
        ([], snapshot("x: no dialogues: expected at least one")),
        ([THREE[0], Dialogue("z", "")], snapshot("x: dialogue z is empty")),
    ],
)
def test_what_has_no_length_is_refused(dialogues: list[Dialogue], message: str) -> None:
    with raises(ValueError) as error:
        describe("x", dialogues)
    assert error.message == message


def test_the_json_has_everything_but_the_single_values() -> None:
    found = describe("three.csv", THREE)
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert list(written) == ["name", "rows", "measures", "speaker_shares", "masks", "topics"]
    assert written["rows"] == 3
    assert written["measures"]["turns"] == {
        **{"count": 3, "mean": pytest.approx(7 / 3), "median": 3, "p5": 1.2, "p25": 2},
        **{"p75": 3, "p95": 3, "p99": 3, "min": 1, "max": 3},
    }
    assert written["speaker_shares"] == {"0": 1 / 3, "2": 1 / 3, "3": 1 / 3}
    assert written["masks"]["#PhoneNumber#"] == {"rows": 1, "in_dialogues": 2, "in_summaries": 0}
    assert written["topics"] == {"rows": 2, "distinct": 1, "most_frequent": {"전화": 2}}


def test_the_json_keeps_the_most_frequent_topics() -> None:
    dialogues = [Dialogue("a", "가", topic=f"주제 {number}") for number in range(30) for _ in range(30 - number)]
    topics = describe("many", dialogues).to_json()["topics"]
    assert topics["distinct"] == 30
    assert topics["rows"] == 465
    assert list(topics["most_frequent"].items()) == [(f"주제 {number}", 30 - number) for number in range(15)]


def dialogue(characters: int, summary: int | None = None, topic: str | None = None, speakers: int = 1) -> Dialogue:
    """Return a dialogue of a length, a word each turn; with a summary of a length, or none."""
    head = "\n".join(f"#Person{number}#: 네" for number in range(1, speakers + 1))
    text = head + "가" * (characters - len(head))
    return Dialogue("x", text, () if summary is None else ("나" * summary,), topic)


def test_the_lengths_of_files_stand_under_one_another() -> None:
    train = describe("train.csv", [dialogue(1000, 100), dialogue(2000, 300)])
    test = describe("test.csv", [dialogue(1200), dialogue(1400), dialogue(1600)])
    headers, rows, _ = compare_lengths([train, test])
    assert headers == ["measure", "file", "mean", "median", "5–95 %", "max", "vs first"]
    assert [
        row for row in rows if row[0] in ("turns", "characters", "summary characters", "summary / dialogue")
    ] == [
        ["turns", "train.csv", "1.0", "1", "1–1", "1", ""],
        ["characters", "train.csv", "1,500.0", "1,500", "1,050–1,950", "2,000", ""],
        ["summary characters", "train.csv", "200.0", "200", "110–290", "300", ""],
        ["summary / dialogue", "train.csv", "0.125", "0.125", "0.10–0.15", "0.15", ""],
    ]
    assert rows[rows.index(["characters", "train.csv", "1,500.0", "1,500", "1,050–1,950", "2,000", ""]) + 1] == [
        *("", "test.csv", "1,400.0", "1,400", "1,220–1,580", "1,600", "-6.7%")
    ]
    assert all(len(row) == len(headers) for row in rows)
    assert {row[0] for row in rows} == {
        *("", "turns", "characters", "words", "morphemes"),
        *("summary characters", "summary words", "summary morphemes", "summary / dialogue"),
    }


def test_one_file_needs_no_column_of_names() -> None:
    headers, rows, _ = compare_lengths([describe("train.csv", [dialogue(100), dialogue(101)])])
    assert headers == ["measure", "mean", "median", "5–95 %", "max"]
    assert rows[1] == ["characters", "100.5", "100.5", "100–101", "101"]


def test_a_measure_that_the_first_file_lacks_is_compared_with_nothing() -> None:
    _, rows, _ = compare_lengths([describe("test", [dialogue(9)]), describe("train", [dialogue(9, 3)])])
    assert [row for row in rows if row[0] == "summary characters"] == [
        ["summary characters", "train", "3.0", "3", "3–3", "3", ""]
    ]


def test_the_counts_of_files_stand_side_by_side() -> None:
    train = [dialogue(50, 9, "전화 [주문]", speakers=2) for _ in range(3)] + [dialogue(200, 9, "날씨", speakers=9)]
    train[0] = replace(train[0], text=train[0].text + " #Address#", references=("가", "나", "다"))
    test = [dialogue(30), Dialogue("y", "줄 #Email# #Email#")]
    assert compare_counts([describe("train.csv", train), describe("test.csv", test)])[:2] == (
        ["", "train.csv", "test.csv"],
        [
            ["rows", "4", "2"],
            ["references a row", "1 to 3", "0"],
            ["0 speakers", "–", "50.0%"],
            ["1 speaker", "–", "50.0%"],
            ["2 speakers", "75.0%", "–"],
            ["8 or more speakers", "25.0%", "–"],
            ["with #Address#", "1 (25.0%)", "–"],
            ["with #Email#", "–", "1 (50.0%)"],
            ["distinct topics", "2", "–"],
            ["topic 1", "전화 [주문] (3)", "–"],
            ["topic 2", "날씨 (1)", "–"],
        ],
    )


def test_a_very_long_line_is_measured_in_pieces() -> None:
    """Its morphemes are those of its words, and nothing is lost at a cut."""
    line = "네 알겠습니다. " * 3_000
    [short] = describe("short", [Dialogue("a", "네 알겠습니다. " * 30)]).values["morphemes"]
    [long] = describe("long", [Dialogue("a", line)]).values["morphemes"]
    assert long == 100 * short
