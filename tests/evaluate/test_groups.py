"""Scores of parts of a file."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import row

from llm_summ.evaluate.groups import Group, Grouping, group_rows
from llm_summ.evaluate.rows import ScoredRow


def grouping(rows: list[ScoredRow], by: str) -> Grouping:
    [found] = [one for one in group_rows(rows) if one.by == by]
    return found


def counts(rows: list[ScoredRow], by: str) -> list[tuple[str, int]]:
    return [(group.name, group.rows) for group in grouping(rows, by).groups]


def test_no_rows_have_no_groupings() -> None:
    assert group_rows([]) == ()


def test_one_row_is_one_group_of_everything() -> None:
    found = group_rows([row("dev_0", "#Person1#: 네", "가나다라마", final=40.0, topic="인사")])
    assert [(one.by, one.groups) for one in found] == [
        ("dialogue characters", (Group("12", 1, 40.0, 0.5),)),
        ("turns", (Group("1–4", 1, 40.0, 0.5),)),
        ("speakers", (Group("1", 1, 40.0, 0.5),)),
    ]


def test_fifths_by_length() -> None:
    # Ten dialogues of 1 to 10 letters; the n-th summary has n letters, its reference 10, and it scores 10 n.
    rows = [row(f"dev_{n}", "가" * n, "나" * n, final=10.0 * n) for n in range(10, 0, -1)]
    assert grouping(rows, "dialogue characters").table().rows == [
        ["1–2", "2", "15.00", "0.15x"],
        ["3–4", "2", "35.00", "0.35x"],
        ["5–6", "2", "55.00", "0.55x"],
        ["7–8", "2", "75.00", "0.75x"],
        ["9–10", "2", "95.00", "0.95x"],
    ]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([3, 3, 3, 3], [("3", 4)]),
        ([1, 2], [("1", 1), ("2", 1)]),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1500], [("1", 9), ("1,500", 1)]),
    ],
)
def test_dialogues_of_one_length_stay_together(lengths: list[int], expected: list[tuple[str, int]]) -> None:
    rows = [row(f"dev_{place}", "가" * length, "나") for place, length in enumerate(lengths)]
    assert counts(rows, "dialogue characters") == expected


def test_turns_are_lines_that_are_not_blank() -> None:
    rows = [row(f"dev_{turns}", "\n\n".join(["#Person1#: 네"] * turns), "나") for turns in (1, 4, 5, 16, 17, 60)]
    assert counts(rows, "turns") == [("1–4", 2), ("5–6", 1), ("13–16", 1), ("17 or more", 2)]


def test_speakers() -> None:
    texts = ["네\n아니요", "\n".join(f"#Person{n}#: 네" for n in range(1, 10)), "#Person2#: 네\n#Person1#: 응"]
    texts.append("\n".join(f"#Person{n}#: 네" for n in range(1, 9)))
    rows = [row(f"dev_{place}", text, "나") for place, text in enumerate(texts)]
    assert counts(rows, "speakers") == [("unknown", 1), ("2", 1), ("8 or more", 2)]


def test_the_ten_most_frequent_topics_and_the_others() -> None:
    topics = [f"주제 {n}" for n in range(12) for _ in range(20 - n)] + ["혼자", " 주제 11 ", None, " "]
    rows = [row(f"dev_{place}", "네", "나", topic=topic) for place, topic in enumerate(topics)]
    assert counts(rows, "topic") == [
        *((f"주제 {n}", 20 - n) for n in range(10)),
        ("3 other topics", 10 + 9 + 1 + 1),
        ("no topic", 2),
    ]


@pytest.mark.parametrize("topics", [[None, None], ["하나", "둘"], ["하나", "하나"], [None, " "]])
def test_topics_that_make_no_groups_are_left_out(topics: list[str | None]) -> None:
    rows = [row(f"dev_{place}", "네", "나", topic=topic) for place, topic in enumerate(topics)]
    assert [one.by for one in group_rows(rows)] == ["dialogue characters", "turns", "speakers"]


def test_a_summary_is_measured_by_the_mean_of_its_references() -> None:
    [group] = grouping([row("dev_0", "네", "가" * 6, ["나" * 2, "나" * 4])], "turns").groups
    assert group.length_ratio == 2.0


dialogues = st.builds(
    lambda lines, topic, final: (lines, topic, final),
    st.lists(st.sampled_from(["#Person1#: 네", "#Person2#: 그래요", "상담사: 네", "…"]), min_size=1, max_size=30),
    st.sampled_from([None, "쇼핑", "건강", "여행"]),
    st.floats(0, 100),
)


@given(st.lists(dialogues, min_size=1, max_size=40))
def test_every_row_is_in_one_group(made: list[tuple[list[str], str | None, float]]) -> None:
    rows = [
        row(f"dev_{place}", "\n".join(lines), "나" * len(lines), topic=topic, final=final)
        for place, (lines, topic, final) in enumerate(made)
    ]
    for one in group_rows(rows):
        assert all(group.rows for group in one.groups)
        assert sum(group.rows for group in one.groups) == len(rows)
        assert len({group.name for group in one.groups}) == len(one.groups)
        # The groups' means, weighted by their rows, are the file's.
        whole = sum(group.final * group.rows for group in one.groups) / len(rows)
        assert whole == pytest.approx(fmean(final for _, _, final in made))
        assert len(one.to_json()["groups"]) == len(one.table().rows)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80))
def test_fifths_follow_one_another_and_none_is_more_than_a_fifth_of_different_lengths(lengths: list[int]) -> None:
    rows = [row(f"dev_{place}", "가" * length, "나") for place, length in enumerate(lengths)]
    names = [group.name for group in grouping(rows, "dialogue characters").groups]
    ends = [tuple(map(int, (name.split("–") * 2)[:2])) if "–" in name else (int(name),) * 2 for name in names]
    assert all(first <= last for first, last in ends)
    assert all(before[1] < after[0] for before, after in pairwise(ends))
    assert len(names) <= 5
    if len(set(lengths)) == len(lengths) and len(lengths) % 5 == 0:
        assert [rows for _, rows in counts(rows, "dialogue characters")] == [len(lengths) // 5] * 5
