"""A comparison for people: its tables and lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_compare import FAR, NEAR, REFERENCE, WORDS, write_rows, write_words
from test_evaluate import SUMMARIES, WRONG, make_run, predict, write_data

from llm_summ.evaluate.compare import compare_systems


def test_a_table_has_a_line_a_system_and_another_what_it_has_more_than_the_first(in_tmp: Path) -> None:
    data, names = write_words(2, far=[FAR, FAR], near=[NEAR, NEAR])
    found = compare_systems(names, data, WORDS)
    # Every row differs by as much, so that no resample differs; 4 exchanges of 2 rows, of which 2 are as large.
    p_boot, p_rand = found.versus[0].paired.p_bootstrap, found.versus[0].paired.p_randomisation
    assert p_boot == pytest.approx(2 / 10_001)
    assert p_rand == pytest.approx(0.5, abs=0.03)
    table = found.table()
    assert table.headers == ["", "R-1", "R-2", "R-L", "final", "95 % interval"]
    assert table.rows == [
        ["A far.csv", "0.00", "0.00", "0.00", "0.00", "0.00–0.00"],
        ["B near.csv", "75.00", "33.33", "75.00", "61.11", "61.11–61.11"],
    ]
    versus = found.versus_table()
    assert versus.headers == ["vs. far.csv", "more", "95 % interval", "p boot", "p rand", "wins/ties/losses"]
    assert versus.rows == [
        ["B near.csv", "+61.11", "+61.11 to +61.11", "<0.001", f"{p_rand:.3f}", "2/0/0"],
    ]


@pytest.mark.parametrize(("systems", "first", "last"), [(2, "A", "B"), (26, "A", "Z"), (27, "1", "27")])
def test_systems_have_letters_or_numbers_where_letters_are_too_few(
    in_tmp: Path, systems: int, first: str, last: str
) -> None:
    data, [name] = write_words(1, near=[NEAR])
    found = compare_systems([name] * systems, data, WORDS)
    assert (str(found.systems[0]), str(found.systems[-1])) == (f"{first} near.csv", f"{last} near.csv")
    assert len({system.label for system in found.systems}) == systems
    assert [system.to_json()["label"] for system in found.systems] == [one.label for one in found.systems]
    labels = [row[0] for row in found.length_table().rows]
    assert labels == [f"{first} near.csv", *(f"{one.label} more" for one in found.systems[1:])]


def test_every_row_is_in_one_group_of_length(in_tmp: Path) -> None:
    data, names = write_words(11, far=[FAR] * 11, near=[FAR] * 5 + [NEAR] * 6)
    found = compare_systems(names, data, WORDS)
    assert sum(group.rows for group in found.by_length) == 11
    for place, system in enumerate(found.systems):
        total = sum(group.finals[place] * group.rows for group in found.by_length)
        assert total / 11 == pytest.approx(system.score.final)
    table = found.length_table()
    assert table.headers[:2] == ["dialogue characters (rows)", "12–14 (3)"]
    # The longer dialogues are those in which the second is better: row n has 12 + n characters.
    first, second = table.rows
    assert first[:2] == ["A far.csv", "0.00"]
    assert (second[:2], second[-2:]) == (["B more", "+0.00"], ["+61.11", "+61.11"])


def test_few_rows_are_reported(in_tmp: Path) -> None:
    few = "with fewer than 50 rows intervals are too narrow and p boot is too small; use p rand"

    def lines(rows: int) -> list[str]:
        data, names = write_words(rows, far=[FAR] * rows, near=[NEAR] + [FAR] * (rows - 1))
        return compare_systems(names, data, WORDS).lines()

    assert few in lines(49)
    assert few not in lines(50)


def test_how_often_a_public_lead_is_lost_is_a_line_for_every_other_system(in_tmp: Path) -> None:
    data, names = write_words(
        50, far=[FAR] * 50, near=[NEAR] * 50, good=[REFERENCE] * 10 + [FAR] * 40, same=[FAR] * 50
    )
    found = compare_systems(names, data, WORDS)
    near, good, same = found.versus
    assert near.lead is not None
    assert good.lead is not None
    # Better by the same amount in every row: no split can reverse it.
    assert (near.lead.kept, near.lead.turned) == (1, 0)
    assert [one.lead for one in near.worth] == [0.1, 0.3, 0.5, 1]
    table = found.lead_table()
    assert table.headers == [
        *("public leader behind in private", "of these"),
        *("lead 0.1", "lead 0.3", "lead 0.5", "lead 1"),
    ]
    # Where no row differs, neither system leads.
    assert table.rows == [
        ["B near.csv", "0%", "0%", "0%", "0%", "0%"],
        ["C good.csv", f"{good.lead.turned:.0%}", *(f"{one.turns:.0%}" for one in good.worth)],
    ]
    assert all(0 < one.turns < 0.5 for one in good.worth)
    assert (same.lead is not None, same.paired.difference) == (True, 0)


def test_few_rows_have_no_table_of_leads(in_tmp: Path) -> None:
    data, names = write_words(49, far=[FAR] * 49, near=[NEAR] * 49)
    assert compare_systems(names, data, WORDS).lead_table().rows == []


def test_p_of_several_comparisons_are_reported_as_uncorrected(in_tmp: Path) -> None:
    data, names = write_words(2, far=[FAR] * 2, near=[NEAR] * 2, good=[REFERENCE] * 2)
    message = "p is not corrected for 2 comparisons (Bonferroni: multiply it by that number)"
    assert message in compare_systems(names, data, WORDS).lines()
    assert not [line for line in compare_systems(names[:2], data, WORDS).lines() if line.startswith("p is")]


def test_empty_summaries_are_reported_for_their_system(in_tmp: Path) -> None:
    data, names = write_words(3, near=[NEAR] * 3, gaps=["", NEAR, " "])
    message = [line for line in compare_systems(names, data, WORDS).lines() if "empty" in line]
    assert message[0] == "B gaps.csv: 2 empty summaries count as 0"
    # A different number of empty summaries gives another signature.
    assert [line.partition(":")[0] for line in message[1:]] == ["A near.csv", "B gaps.csv"]


def test_one_signature_is_shown_alone_and_several_with_their_systems(in_tmp: Path) -> None:
    data = write_data(Path("dev.csv"))
    predict(make_run("mine"), "dev.hf")
    names = [write_rows("out.csv", SUMMARIES), write_rows("wrong.csv", WRONG)]
    same = compare_systems(names, data)
    assert same.lines()[-1] == f"signature  {same.systems[0].signature}"
    assert same.systems[0].signature == f"{same.systems[0].score.signature}|post:none"
    other = compare_systems([names[0], "mine"], data)
    assert [line for line in other.lines() if "signature" in line] == [
        f"A out.csv: signature {other.systems[0].score.signature}|post:none",
        f"B mine: signature {other.systems[1].score.signature}|post:strip+cut_unfinished",
    ]
