"""Which systems write similar summaries: an ensemble of equal systems is only one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import llm_summ
from inline_snapshot import snapshot
from messages import plain
from test_compare import FAR, NEAR, REFERENCE, WORDS, write_rows, write_words
from test_evaluate import DIALOGUES, SUMMARIES, WRONG, write_data

from llm_summ.evaluate.compare import compare_systems
from llm_summ.score.system_similarity import SystemSimilarity, find_similarities, similarity_lines


@pytest.fixture
def data(in_tmp: Path) -> str:
    return write_data(Path("dev.csv"))


def test_the_same_file_twice_is_reported_as_the_same(data: str) -> None:
    name = write_rows("out.csv", WRONG | {"dev_0": SUMMARIES["dev_0"]})
    found = compare_systems([name, name], data)
    assert plain(found.lines()[0]) == snapshot("A out.csv and B out.csv are the same: all 3 summaries are equal")
    assert [row[0] for row in found.table().rows] == ["A out.csv", "B out.csv"]
    assert found.versus_table().rows == [["B out.csv", "+0.00", "+0.00 to +0.00", "1.000", "1.000", "0/3/0"]]


def test_white_space_does_not_make_another_summary(data: str) -> None:
    names = [write_rows("out.csv", SUMMARIES)]
    names.append(
        write_rows("spaced.csv", {one: f" {text}\n".replace(" ", "  ") for one, text in SUMMARIES.items()})
    )
    assert plain(compare_systems(names, data).lines()[0]) == snapshot(
        "A out.csv and B spaced.csv are the same: all 3 summaries are equal"
    )


def test_nearly_equal_pairs_are_all_reported(data: str) -> None:
    names = [
        write_rows("a.csv", SUMMARIES),
        write_rows("b.csv", SUMMARIES | {"dev_3": "사과를 샀다"}),
        write_rows("c.csv", WRONG | {"dev_4": SUMMARIES["dev_4"]}),
        write_rows("d.csv", WRONG | {"dev_4": SUMMARIES["dev_4"]}),
    ]
    found = compare_systems(names, data)
    # Where they are not equal they have no morpheme in common.
    assert [(one.first, one.second, one.equal, round(one.agreement, 4)) for one in found.similarities] == [
        ("C c.csv", "D d.csv", 3, 100),
        ("A a.csv", "B b.csv", 2, 66.6667),
        ("A a.csv", "C c.csv", 1, 33.3333),
        ("A a.csv", "D d.csv", 1, 33.3333),
        ("B b.csv", "C c.csv", 1, 33.3333),
        ("B b.csv", "D d.csv", 1, 33.3333),
    ]
    assert [line for line in found.lines() if "summaries are equal" in line] == [
        "C c.csv and D d.csv are the same: all 3 summaries are equal",
        "A a.csv and B b.csv are nearly the same: 2 of 3 summaries are equal, and they agree to 66.7",
    ]


def test_the_most_similar_pair_is_reported_where_none_is_nearly_equal(data: str) -> None:
    names = [
        write_rows("a.csv", SUMMARIES),
        write_rows("b.csv", dict.fromkeys(DIALOGUES, "사과를 샀다")),
        write_rows("c.csv", WRONG | {"dev_4": SUMMARIES["dev_4"]}),
    ]
    assert [line for line in compare_systems(names, data).lines() if "summaries are equal" in line] == [
        "most similar: A a.csv and C c.csv agree to 33.3; 1 of 3 summaries are equal; the other pairs 0.0"
    ]


def test_the_agreement_of_two_systems_needs_no_order(in_tmp: Path) -> None:
    # ROUGE-L of several sentences changes if summary and reference are exchanged.
    texts = ("가 다", "다 가 . 다")
    ways = [WORDS.score([one], [[other]]).final for one, other in (texts, texts[::-1])]
    assert [round(way, 2) for way in ways] == [88.89, 72.22]
    data, names = write_words(1, one=[texts[0]], other=[texts[1]])
    for order in (names, names[::-1]):
        assert compare_systems(order, data, WORDS).similarities[0].agreement == pytest.approx(sum(ways) / 2)


@pytest.mark.parametrize(
    ("equal", "agreement", "nearly", "message"),
    [
        (2000, 100.0, True, "a and b are the same: all 2,000 summaries are equal"),
        (
            1000,
            40.0,
            True,
            "a and b are nearly the same: 1,000 of 2,000 summaries are equal, and they agree to 40.0",
        ),
        (0, 90.0, True, "a and b are nearly the same: 0 of 2,000 summaries are equal, and they agree to 90.0"),
        (999, 89.9, False, "most similar: a and b agree to 89.9; 999 of 2,000 summaries are equal"),
    ],
)
def test_half_equal_or_an_agreement_of_90_is_nearly_the_same(
    equal: int, agreement: float, nearly: bool, message: str
) -> None:
    found = SystemSimilarity("a", "b", equal, agreement, 2000)
    assert found.nearly_same is nearly
    assert str(found) == message


def test_the_most_similar_pair_agrees_most_however_many_are_equal(in_tmp: Path) -> None:
    data, names = write_words(3, a=[REFERENCE] * 3, b=[REFERENCE, FAR, FAR], c=[NEAR] * 3)
    found = compare_systems(names, data, WORDS)
    assert [(one.first, one.second, one.equal, round(one.agreement, 2)) for one in found.similarities] == [
        ("A a.csv", "C c.csv", 0, 61.11),
        ("A a.csv", "B b.csv", 1, 33.33),
        ("B b.csv", "C c.csv", 0, 20.37),
    ]
    assert plain(found.lines()[0]) == snapshot(
        "most similar: A a.csv and C c.csv agree to 61.1; 0 of 3 summaries are equal; the other pairs 20.4 to 33.3"
    )


def test_the_same_come_first_though_nothing_is_in_them_to_agree(in_tmp: Path) -> None:
    data, names = write_words(2, a=["", ""], b=[NEAR, NEAR], c=["", " "])
    [same, *_] = compare_systems(names, data, WORDS).similarities
    assert (same.first, same.second, same.equal, same.agreement) == ("A a.csv", "C c.csv", 2, 0)
    assert str(same) == "A a.csv and C c.csv are the same: all 2 summaries are equal"


def test_the_most_similar_pair_is_reported_with_the_range_of_the_others() -> None:
    texts = [[REFERENCE] * 3, [REFERENCE, FAR, FAR], [NEAR] * 3]
    pairs = find_similarities(["A", "B", "C"], texts, WORDS)
    assert similarity_lines(pairs, 5) == [
        "most similar: A and C agree to 61.1; 0 of 3 summaries are equal; the other pairs 20.4 to 33.3"
    ]
    assert similarity_lines(find_similarities(["A", "B", "C"], [[REFERENCE], [NEAR], [FAR]], WORDS), 5) == [
        "most similar: A and B agree to 61.1; 0 of 1 summaries are equal; the other pairs 0.0"
    ]
    # Two systems have only one pair, and one system has none.
    assert similarity_lines(find_similarities(["A", "C"], texts[::2], WORDS), 5) == [
        "most similar: A and C agree to 61.1; 0 of 3 summaries are equal"
    ]
    assert similarity_lines(find_similarities(["A"], texts[:1], WORDS), 5) == []


def test_nearly_equal_pairs_are_reported_without_the_others() -> None:
    texts = [[REFERENCE] * 3, [REFERENCE] * 3, [REFERENCE] * 2 + [FAR], [FAR] * 3]
    pairs = find_similarities(["A", "B", "C", "D"], texts, WORDS)
    expected = [
        "A and B are the same: all 3 summaries are equal",
        "A and C are nearly the same: 2 of 3 summaries are equal, and they agree to 66.7",
        "B and C are nearly the same: 2 of 3 summaries are equal, and they agree to 66.7",
    ]
    assert similarity_lines(pairs, 5) == expected
    assert similarity_lines(pairs, 2) == expected[:2]


def test_select_reports_the_most_similar_files_with_the_range_of_the_others(data: str) -> None:
    names = [
        write_rows("a.csv", SUMMARIES),
        write_rows("b.csv", dict.fromkeys(DIALOGUES, "사과를 샀다")),
        write_rows("c.csv", WRONG | {"dev_4": SUMMARIES["dev_4"]}),
    ]
    expected = "most similar: A a.csv and C c.csv agree to 33.3; 1 of 3 summaries are equal; the other pairs 0.0"
    result = llm_summ("select", *names, "--data", data)
    assert (result.code, expected in result.out.splitlines()) == (0, True), result
