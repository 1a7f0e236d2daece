"""Several systems on the same dialogues."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from test_evaluate import DIALOGUES, SUMMARIES, WRONG, make_run, predict, write_data, write_summaries

from llm_summ.errors import DataError, PredictionError, RunError
from llm_summ.evaluate.compare import Alike, Comparison, compare_systems
from llm_summ.evaluate.evaluation import evaluate_file
from llm_summ.score.metric import COMPETITION, Metric

WORDS = Metric(tokens="space")
REFERENCE = "민수는 내일 학교에 간다"
NEAR = "민수는 오늘 학교에 간다"  # 3 of 4 words, 1 of 3 pairs of words, 3 words in order: 61.11
FAR = "비가 온다"


@pytest.fixture
def data(in_tmp: Path) -> str:
    return write_data(Path("dev.csv"))


def write_rows(name: str, summaries: dict[str, str]) -> str:
    return str(write_summaries(Path(name), list(summaries.items())))


def write_words(rows: int, **systems: list[str]) -> tuple[str, list[str]]:
    """Data whose every reference is `REFERENCE`, and a prediction file for each system."""
    with Path("words.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [
                ("fname", "dialogue", "summary"),
                *((f"dev_{2 * n}", f"#Person1#: {'가' * (n + 1)}", REFERENCE) for n in range(rows)),
            ]
        )
    names = [
        write_rows(f"{name}.csv", {f"dev_{2 * n}": text for n, text in enumerate(texts)})
        for name, texts in systems.items()
    ]
    return "words.csv", names


def test_a_difference_is_the_system_minus_the_first(in_tmp: Path) -> None:
    data, names = write_words(3, near=[NEAR, NEAR, REFERENCE], good=[REFERENCE] * 3, far=[NEAR, FAR, FAR])
    found = compare_systems(names, data, WORDS)
    assert [system.name for system in found.systems] == ["near.csv", "good.csv", "far.csv"]
    assert [round(system.score.final, 2) for system in found.systems] == [74.07, 100, 20.37]
    assert [(one.name, round(one.paired.difference, 2)) for one in found.versus] == [
        ("good.csv", 25.93),
        ("far.csv", -53.7),
    ]
    wins = [(one.paired.wins, one.paired.ties, one.paired.losses) for one in found.versus]
    assert wins == [(2, 1, 0), (0, 1, 2)]
    turned = compare_systems(["good.csv", "near.csv"], data, WORDS).versus[0].paired
    assert round(turned.difference, 2) == -25.93
    assert (turned.wins, turned.ties, turned.losses) == (0, 1, 2)


def test_the_table_has_a_line_a_system_and_the_first_is_compared_with_nothing(in_tmp: Path) -> None:
    data, names = write_words(2, far=[FAR, FAR], near=[NEAR, NEAR])
    found = compare_systems(names, data, WORDS)
    # Every row differs by as much, so that no resample differs; 4 exchanges of 2 rows, of which 2 are as large.
    p_boot, p_rand = found.versus[0].paired.p_bootstrap, found.versus[0].paired.p_randomisation
    assert p_boot == pytest.approx(2 / 10_001)
    assert p_rand == pytest.approx(0.5, abs=0.03)
    table = found.table()
    assert all(len(row) == len(table.headers) for row in table.rows)
    assert table.rows == [
        ["far.csv", "0.00", "0.00", "0.00", "0.00", "0.00–0.00", *[""] * 5],
        [
            *("near.csv", "75.00", "33.33", "75.00", "61.11", "61.11–61.11"),
            *("+61.11", "+61.11 to +61.11", f"{p_boot:.4f}", f"{p_rand:.4f}", "2/0/0"),
        ],
    ]


@pytest.mark.parametrize(
    "metric", [COMPETITION, Metric("rouge-score"), WORDS, Metric("rouge-score", "character", "max")]
)
def test_every_system_scores_what_it_scores_alone(data: str, metric: Metric) -> None:
    partly = SUMMARIES | {"dev_3": "회의는 네 시에 시작합니다.", "dev_4": ""}
    names = [write_rows("partly.csv", partly), write_rows("wrong.csv", WRONG)]
    for name, system in zip(names, compare_systems(names, data, metric).systems, strict=True):
        alone = evaluate_file(Path(name), data, metric)
        assert system.score == alone.score
        assert system.interval == alone.intervals["final"]


def test_a_run_is_a_system_by_its_name_its_folder_or_its_file(data: str) -> None:
    run = make_run("mine")
    raw = {identity: f"  {summary} 그리고 남은" for identity, summary in SUMMARIES.items()}
    file = predict(run, "dev.hf", raw, finish="length")
    write_rows("wrong.csv", WRONG)
    for name, shown in (("mine", "mine"), ("runs/mine", "mine"), (str(file.path), "dev.hf.jsonl")):
        found = compare_systems(["wrong.csv", name], data)
        system = found.systems[1]
        assert (system.name, system.summaries.path) == (shown, file.path)
        # post-processed as the run's recipe says
        assert round(system.score.final, 4) == 100
        assert system.to_json()["post"] == {"strip": 3, "cut_unfinished": 3}
        assert round(found.versus[0].paired.difference, 4) == 100
    assert not run.scores.exists()


def test_a_run_may_have_a_name_as_files_have(data: str) -> None:
    run = make_run("mine.csv")
    file = predict(run, "dev.hf")
    other = write_rows("wrong.csv", WRONG)
    assert compare_systems([other, "mine.csv"], data).systems[1].summaries.path == file.path
    # A file that is there is meant before a run of that name.
    write_rows("mine.csv", WRONG)
    found = compare_systems([other, "mine.csv"], data)
    assert found.systems[1].summaries.path == Path("mine.csv")
    assert found.alike[0].equal == 3


def test_files_of_one_name_are_told_apart_by_their_folders(data: str) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
    names = [write_rows("a/out.csv", SUMMARIES), write_rows("b/out.csv", WRONG)]
    assert [system.name for system in compare_systems(names, data).systems] == ["a/out.csv", "b/out.csv"]


def test_the_same_file_twice_is_said_to_be_the_same(data: str) -> None:
    name = write_rows("out.csv", WRONG | {"dev_0": SUMMARIES["dev_0"]})
    found = compare_systems([name, name], data)
    assert found.lines()[0] == "out.csv and out.csv are the same: all 3 summaries are equal"
    assert [row[0] for row in found.table().rows] == ["out.csv", "out.csv"]
    assert found.table().rows[1][6:] == ["+0.00", "+0.00 to +0.00", "1.0000", "1.0000", "0/3/0"]


def test_white_space_makes_no_other_summary(data: str) -> None:
    names = [write_rows("out.csv", SUMMARIES)]
    names.append(
        write_rows("spaced.csv", {one: f" {text}\n".replace(" ", "  ") for one, text in SUMMARIES.items()})
    )
    assert compare_systems(names, data).lines()[0] == (
        "out.csv and spaced.csv are the same: all 3 summaries are equal"
    )


def test_nearly_the_same_pairs_are_all_said(data: str) -> None:
    names = [
        write_rows("a.csv", SUMMARIES),
        write_rows("b.csv", SUMMARIES | {"dev_3": "사과를 샀다"}),
        write_rows("c.csv", WRONG | {"dev_4": SUMMARIES["dev_4"]}),
        write_rows("d.csv", WRONG | {"dev_4": SUMMARIES["dev_4"]}),
    ]
    found = compare_systems(names, data)
    # Where they are not equal they have no morpheme in common.
    assert [(one.first, one.second, one.equal, round(one.agreement, 4)) for one in found.alike] == [
        ("c.csv", "d.csv", 3, 100),
        ("a.csv", "b.csv", 2, 66.6667),
        ("a.csv", "c.csv", 1, 33.3333),
        ("a.csv", "d.csv", 1, 33.3333),
        ("b.csv", "c.csv", 1, 33.3333),
        ("b.csv", "d.csv", 1, 33.3333),
    ]
    assert [line for line in found.lines() if "summaries are equal" in line] == [
        "c.csv and d.csv are the same: all 3 summaries are equal",
        "a.csv and b.csv are nearly the same: 2 of 3 summaries are equal, and they agree to 66.7",
    ]


def test_where_none_are_nearly_the_same_the_most_alike_are_said(data: str) -> None:
    names = [
        write_rows("a.csv", SUMMARIES),
        write_rows("b.csv", dict.fromkeys(DIALOGUES, "사과를 샀다")),
        write_rows("c.csv", WRONG | {"dev_4": SUMMARIES["dev_4"]}),
    ]
    assert [line for line in compare_systems(names, data).lines() if "summaries are equal" in line] == [
        "most alike: a.csv and c.csv agree to 33.3; 1 of 3 summaries are equal"
    ]


def test_the_agreement_of_two_systems_needs_no_order(in_tmp: Path) -> None:
    # ROUGE-L of several sentences is another one where summary and reference change places.
    texts = ("가 다", "다 가 . 다")
    ways = [WORDS.score([one], [[other]]).final for one, other in (texts, texts[::-1])]
    assert [round(way, 2) for way in ways] == [88.89, 72.22]
    data, names = write_words(1, one=[texts[0]], other=[texts[1]])
    for order in (names, names[::-1]):
        assert compare_systems(order, data, WORDS).alike[0].agreement == pytest.approx(sum(ways) / 2)


@pytest.mark.parametrize(
    ("equal", "agreement", "nearly", "said"),
    [
        (2000, 100.0, True, "a and b are the same: all 2,000 summaries are equal"),
        (
            1000,
            40.0,
            True,
            "a and b are nearly the same: 1,000 of 2,000 summaries are equal, and they agree to 40.0",
        ),
        (0, 90.0, True, "a and b are nearly the same: 0 of 2,000 summaries are equal, and they agree to 90.0"),
        (999, 89.9, False, "most alike: a and b agree to 89.9; 999 of 2,000 summaries are equal"),
    ],
)
def test_half_equal_or_an_agreement_of_90_is_nearly_the_same(
    equal: int, agreement: float, nearly: bool, said: str
) -> None:
    found = Alike("a", "b", equal, agreement, 2000)
    assert found.nearly_same is nearly
    assert str(found) == said


@pytest.mark.parametrize(("names", "count"), [([], "0 systems"), (["out.csv"], "1 system")])
def test_fewer_than_two_systems_are_refused(data: str, names: list[str], count: str) -> None:
    write_rows("out.csv", SUMMARIES)
    with pytest.raises(PredictionError) as error:
        compare_systems(names, data)
    assert str(error.value) == (
        f"--compare: found {count}; expected at least two runs or prediction files, such as: "
        "llm-summ eval dev.csv --compare first.csv second.csv"
    )


def test_an_unknown_name_is_refused_in_one_line(data: str) -> None:
    predict(make_run("mine"), "dev.hf")
    for name in ("nowhere.csv", "nowhere.jsonl"):
        with pytest.raises(PredictionError, match=rf"^{name}: no such file; expected predictions as CSV or JSONL"):
            compare_systems(["mine", name], data)
    with pytest.raises(RunError, match=r"mien: no such run in runs; did you mean mine\?$"):
        compare_systems(["mine", "mien"], data)


def test_systems_of_other_rows_are_refused_and_the_file_is_named(data: str) -> None:
    names = [write_rows("out.csv", SUMMARIES), write_rows("other.csv", {"dev_0": "네", "dev_1": "네"})]
    with pytest.raises(PredictionError) as error:
        compare_systems(names, data)
    assert str(error.value) == (
        "other.csv: lacks 2 of the 3 ids of dev.csv (dev_3, dev_4) and has 1 ids that are not in dev.csv (dev_1); "
        "expected exactly the ids of dev.csv"
    )


def test_a_run_without_predictions_for_the_data_says_what_makes_them(data: str) -> None:
    make_run("mine")
    with pytest.raises(PredictionError, match=r"make them: llm-summ generate --run mine --data dev\.csv$"):
        compare_systems([write_rows("out.csv", SUMMARIES), "mine"], data)


def test_data_without_references_cannot_be_compared_on(in_tmp: Path) -> None:
    Path("test.csv").write_text("fname,dialogue\ntest_0,x\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test\.csv: no column summary"):
        compare_systems(["a.csv", "b.csv"], "test.csv")


def test_rows_are_matched_by_id_and_not_by_their_order(data: str) -> None:
    names = [write_rows("out.csv", SUMMARIES), write_rows("turned.csv", dict(reversed(SUMMARIES.items())))]
    found = compare_systems(names, data)
    assert found.versus[0].paired.difference == 0
    assert found.alike[0].equal == 3


def test_a_single_row_has_no_interval_and_no_leaderboard(in_tmp: Path) -> None:
    data, names = write_words(1, far=[FAR], near=[NEAR])
    found = compare_systems(names, data, WORDS)
    assert [system.interval for system in found.systems] == [None, None]
    [versus] = found.versus
    assert round(versus.paired.difference, 2) == 61.11
    assert (versus.paired.p_bootstrap, versus.lead, versus.worth) == (1, None, ())
    assert [row[5] for row in found.table().rows] == ["", ""]
    assert not [line for line in found.lines() if "public" in line]
    value = json.loads(json.dumps(found.to_json()))
    assert value["rows"] == 1
    assert [system["interval"] for system in value["systems"]] == [None, None]
    assert (value["versus_first"][0]["lead"], value["versus_first"][0]["worth"]) == (None, [])


def test_every_row_is_in_one_group_of_length(in_tmp: Path) -> None:
    data, names = write_words(11, far=[FAR] * 11, near=[FAR] * 5 + [NEAR] * 6)
    found = compare_systems(names, data, WORDS)
    assert sum(group.rows for group in found.by_length) == 11
    for place, system in enumerate(found.systems):
        total = sum(group.finals[place] * group.rows for group in found.by_length)
        assert total / 11 == pytest.approx(system.score.final)
    table = found.length_table()
    assert table.headers == ["dialogue characters", "rows", "far.csv", "near.csv"]
    # The longer dialogues are those in which the second is better: row n has 12 + n characters.
    assert table.rows[0] == ["12–14", "3", "0.00", "+0.00"]
    assert [row[3] for row in table.rows[-2:]] == ["+61.11", "+61.11"]


def test_few_rows_are_said_to_be_few(in_tmp: Path) -> None:
    few = "with fewer than 50 rows intervals are too narrow and p boot is too small; p rand holds"

    def lines(rows: int) -> list[str]:
        data, names = write_words(rows, far=[FAR] * rows, near=[NEAR] + [FAR] * (rows - 1))
        return compare_systems(names, data, WORDS).lines()

    assert few in lines(49)
    assert few not in lines(50)


def test_what_a_public_lead_is_worth_is_said_of_every_other_system(in_tmp: Path) -> None:
    data, names = write_words(10, far=[FAR] * 10, near=[NEAR] * 10, good=[REFERENCE] * 9 + [FAR])
    found = compare_systems(names, data, WORDS)
    said = [line for line in found.lines() if "differ in the leader" in line]
    assert [line.partition(":")[0] for line in said] == ["near.csv", "good.csv"]
    lead = found.versus[0].lead
    assert lead is not None
    # better by as much in every row: no split can turn it round
    assert (lead.kept, lead.turned) == (1, 0)
    assert said[0].startswith("near.csv: 0% of random public and private halves differ")
    assert [one.lead for one in found.versus[0].worth] == [0.1, 0.3, 0.5, 1]
    assert all(one.turns == 0 for one in found.versus[0].worth)
    assert all(one.turns > 0 for one in found.versus[1].worth)
    for one in found.versus[1].worth:
        assert f"{one.lead:g} in {one.turns:.0%}" in said[1]


def test_the_json_has_everything(data: str) -> None:
    partly = WRONG | {"dev_0": SUMMARIES["dev_0"], "dev_3": ""}
    found: Comparison = compare_systems([write_rows("a.csv", SUMMARIES), write_rows("b.csv", partly)], data)
    value = json.loads(json.dumps(found.to_json()))
    assert (value["data"], value["rows"]) == ("dev.csv", 3)
    first, second = value["systems"]
    assert (first["name"], first["predictions"], round(first["final"], 4)) == ("a.csv", "a.csv", 100)
    assert (first["empty"], second["empty"]) == (0, 1)
    assert [round(final, 4) for final in second["per_row"]] == [100, 0, 0]
    assert set(second) >= {"rouge1", "rouge2", "rougeL", "interval", "signature", "post"}
    [versus] = value["versus_first"]
    assert versus["name"] == "b.csv"
    assert round(versus["difference"], 4) == -66.6667
    assert (versus["wins"], versus["ties"], versus["losses"]) == (0, 1, 2)
    assert set(versus) >= {"low", "high", "confidence", "p_bootstrap", "p_randomisation", "lead", "worth"}
    assert sum(group["rows"] for group in value["by_length"]) == 3
    assert all(len(group["finals"]) == 2 for group in value["by_length"])
    [alike] = value["alike"]
    assert (alike["systems"], alike["equal"], alike["nearly_same"]) == (["a.csv", "b.csv"], 1, False)
