"""The rows with the lowest scores."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from scored import row

from llm_summ.evaluate.rows import ScoredRow
from llm_summ.evaluate.worst import WorstRow, show_worst, worst_rows
from llm_summ.score import whitespace_tokenizer

SPACES = whitespace_tokenizer()


def worst(rows: list[ScoredRow], most: int = 10) -> tuple[WorstRow, ...]:
    return worst_rows(rows, tokenizer=SPACES, variant="rouge", most=most)


def test_the_worst_come_first_and_ties_stay_in_order() -> None:
    rows = [row(f"dev_{n}", "네", "가", final=final) for n, final in enumerate([30.0, 10.0, 20.0, 10.0, 0.0])]
    assert [(one.id, one.final) for one in worst(rows, 4)] == [
        ("dev_4", 0.0),
        ("dev_1", 10.0),
        ("dev_3", 10.0),
        ("dev_2", 20.0),
    ]
    assert worst([]) == ()


def test_the_best_reference_and_what_parts_it_from_the_summary() -> None:
    references = ["민수 는 내일 온다 .", "수지 는 오늘 오늘 학교 에 간다 .", "비 가 온다 ."]
    [found] = worst([row("dev_0", "네", "수지 는 집 에 집 에 간다 .", references)])
    assert found.reference == references[1]
    assert found.missing == ("오늘", "학교")
    assert found.extra == ("집",)


def test_an_empty_summary_is_missing_everything() -> None:
    [found] = worst([row("dev_0", "네", "", ["비 가 온다"])])
    assert (found.missing, found.extra) == (("비", "가", "온다"), ())
    assert "  summary   (empty)" in show_worst([found], 60)
    assert not [line for line in show_worst([found], 60) if line.startswith("  extra")]


def test_the_dialogue_is_opened_and_shortened() -> None:
    text = "#Person1#: 네\n\n#Person2#: " + "가" * 60 + "\n#Person1#: 응\n#Person2#: 그래\n#Person1#: 잘 가"
    [found] = worst([row("dev_0", text, "가")])
    assert found.opening == ("#Person1#: 네", "#Person2#: " + "가" * 49 + "…", "#Person1#: 응", "… 2 more")


def test_what_people_see() -> None:
    text = "#Person1#: 우산 있어요?\n#Person2#: 없어요."
    rows = [
        replace(row("dev_3", text, "비 가 와서 우산 을 빌린다 .", ["우산 이 없다 ."], final=12.25), cut_off=True),
        row("dev_9", text, "가\x1b[2J나", ["가\n나"], final=20.0),
    ]
    assert show_worst(worst(rows), 32) == [
        "dev_3  12.25  cut off",
        "  summary   비 가 와서 우산 을",
        "            빌린다 .",
        "  reference 우산 이 없다 .",
        "  missing   이 없다",
        "  extra     비 가 와서 을 빌린다",
        "  dialogue  #Person1#: 우산",
        "            있어요?",
        "            #Person2#: 없어요.",
        "",
        "dev_9  20.00",
        "  summary   가 [2J나",
        "  reference 가 나",
        "  missing   가 나",
        "  extra     가 [2J나",
        "  dialogue  #Person1#: 우산",
        "            있어요?",
        "            #Person2#: 없어요.",
    ]


@given(st.text(alphabet="가나 ab#1\n\t\x1b한글.", max_size=300), st.integers(1, 120))
def test_no_line_is_wider_than_asked_and_no_letter_is_lost(text: str, width: int) -> None:
    lines = show_worst(worst([row("dev_0", text or "네", text, ["가 " + text])]), width)
    assert max(map(cell_len, lines)) <= max(width, 30)
    assert all(line.isprintable() for line in lines)
    start = next(place for place, line in enumerate(lines) if line.startswith("  summary"))
    end = next(place for place, line in enumerate(lines) if line.startswith("  reference"))
    shown = "".join(line[12:] for line in lines[start:end])
    wanted = text.replace("\x1b", " ") if text.strip() else "(empty)"
    assert "".join(shown.split()) == "".join(wanted.split())


@pytest.mark.parametrize("cut_off", [True, False, None])
def test_json(cut_off: bool | None) -> None:
    [found] = worst([replace(row("dev_0", "네", "비 온다", ["비 가 온다"], final=5.0), cut_off=cut_off)])
    assert found.to_json() == {
        "id": "dev_0",
        "final": 5.0,
        "cut_off": cut_off,
        "summary": "비 온다",
        "reference": "비 가 온다",
        "missing": ["가"],
        "extra": [],
        "opening": ["네"],
    }
