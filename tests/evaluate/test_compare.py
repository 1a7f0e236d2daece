"""Several systems on the same dialogues."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import plain, raises
from test_evaluate import SUMMARIES, WRONG, make_run, predict, write_data, write_summaries

from llm_summ.core.errors import DataError, PredictionError
from llm_summ.evaluate.compare import compare_systems
from llm_summ.evaluate.comparison import Comparison
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
        ("B good.csv", 25.93),
        ("C far.csv", -53.7),
    ]
    wins = [(one.paired.wins, one.paired.ties, one.paired.losses) for one in found.versus]
    assert wins == [(2, 1, 0), (0, 1, 2)]
    turned = compare_systems(["good.csv", "near.csv"], data, WORDS).versus[0].paired
    assert round(turned.difference, 2) == -25.93
    assert (turned.wins, turned.ties, turned.losses) == (0, 1, 2)


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
        # post-processed by the steps of the run's recipe
        assert round(system.score.final, 4) == 100
        assert system.to_json()["post"] == {"strip": 3, "cut_unfinished": 3}
        assert round(found.versus[0].paired.difference, 4) == 100
    assert not run.scores.exists()


def test_a_run_may_have_a_name_as_files_have(data: str) -> None:
    run = make_run("mine.csv")
    file = predict(run, "dev.hf")
    other = write_rows("wrong.csv", WRONG)
    assert compare_systems([other, "mine.csv"], data).systems[1].summaries.path == file.path
    # A file of that name takes precedence over the run.
    write_rows("mine.csv", WRONG)
    assert compare_systems([other, "mine.csv"], data).systems[1].summaries.path == Path("mine.csv")


def test_files_of_one_name_are_distinguished_by_their_folders(data: str) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
    names = [write_rows("a/out.csv", SUMMARIES), write_rows("b/out.csv", WRONG)]
    assert [system.name for system in compare_systems(names, data).systems] == ["a/out.csv", "b/out.csv"]


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (
            [],
            snapshot(
                "--compare: found 0 systems after the data dev.csv; expected at least two runs or prediction "
                "files, such as: llm-summ eval dev.csv --compare first.csv second.csv"
            ),
        ),
        (
            ["out.csv"],
            snapshot(
                "--compare: found 1 system after the data dev.csv; expected at least two runs or prediction "
                "files, such as: llm-summ eval dev.csv --compare first.csv second.csv"
            ),
        ),
    ],
)
def test_fewer_than_two_systems_are_refused(data: str, names: list[str], count: str) -> None:
    write_rows("out.csv", SUMMARIES)
    with raises(PredictionError) as error:
        compare_systems(names, data)
    assert error.message == count


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere.csv",
            snapshot("nowhere.csv: no such file; expected predictions as CSV or JSONL with fname and summary"),
        ),
        (
            "nowhere.jsonl",
            snapshot("nowhere.jsonl: no such file; expected predictions as CSV or JSONL with fname and summary"),
        ),
        (
            "runs/nowhere.csv",
            snapshot(
                "runs/nowhere.csv: no such file; expected predictions as CSV or JSONL with fname and summary"
            ),
        ),
    ],
)
def test_a_file_that_is_not_there_is_refused_in_one_line(data: str, name: str, message: str) -> None:
    with raises(PredictionError) as error:
        compare_systems([write_rows("out.csv", SUMMARIES), name], data)
    assert error.message == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mien",
            snapshot(
                "--compare mien: neither a run nor a prediction file; expected a run's name, or a CSV or JSONL "
                "with fname and summary"
            ),
        ),
        (
            "folder",
            snapshot(
                "--compare folder: neither a run nor a prediction file; expected a run's name, or a CSV or JSONL "
                "with fname and summary"
            ),
        ),
        (
            "runs",
            snapshot(
                "--compare runs: neither a run nor a prediction file; expected a run's name, or a CSV or JSONL "
                "with fname and summary"
            ),
        ),
        (
            "",
            snapshot(
                "--compare '': neither a run nor a prediction file; expected a run's name, or a CSV or JSONL with "
                "fname and summary"
            ),
        ),
    ],
)
def test_a_name_that_is_neither_a_run_nor_a_file_is_refused_in_one_line(
    data: str, name: str, message: str
) -> None:
    predict(make_run("mine"), "dev.hf")
    Path("folder").mkdir()
    with raises(PredictionError) as error:
        compare_systems(["mine", name], data)
    assert error.message == message


def test_systems_of_other_rows_are_refused_and_the_file_is_named(data: str) -> None:
    names = [write_rows("out.csv", SUMMARIES), write_rows("other.csv", {"dev_0": "네", "dev_1": "네"})]
    with raises(PredictionError) as error:
        compare_systems(names, data)
    assert error.message == snapshot(
        "other.csv: lacks 2 of the 3 ids of dev.csv (dev_3, dev_4) and has 1 id that is not in dev.csv "
        "(dev_1); expected exactly the ids of dev.csv"
    )


def test_a_run_without_predictions_for_the_data_names_the_command(data: str) -> None:
    make_run("mine")
    with raises(PredictionError) as error:
        compare_systems([write_rows("out.csv", SUMMARIES), "mine"], data)
    assert error.message == snapshot(
        "runs/mine: no predictions for the dialogues of dev.csv; make them: llm-summ generate --run mine "
        "--data dev.csv"
    )


def test_data_without_references_cannot_be_compared_on(in_tmp: Path) -> None:
    Path("test.csv").write_text("fname,dialogue\ntest_0,x\n", encoding="utf-8")
    with raises(DataError) as error:
        compare_systems(["a.csv", "b.csv"], "test.csv")
    assert error.message == snapshot(
        "test.csv: no column summary (or summary1, summary2 …); found fname, dialogue; this command needs "
        "references"
    )


def test_rows_are_matched_by_id_and_not_by_their_order(data: str) -> None:
    names = [write_rows("out.csv", SUMMARIES), write_rows("turned.csv", dict(reversed(SUMMARIES.items())))]
    found = compare_systems(names, data)
    assert found.versus[0].paired.difference == 0
    assert found.similarities[0].equal == 3


def test_a_single_row_has_no_interval_and_no_leaderboard(in_tmp: Path) -> None:
    data, names = write_words(1, far=[FAR], near=[NEAR])
    found = compare_systems(names, data, WORDS)
    assert [system.interval for system in found.systems] == [None, None]
    [versus] = found.versus
    assert round(versus.paired.difference, 2) == 61.11
    assert (versus.paired.p_bootstrap, versus.lead, versus.worth) == (1, None, ())
    assert [len(row) for row in (found.table().headers, *found.table().rows)] == [5, 5, 5]
    assert found.versus_table().rows == [["B near.csv", "+61.11", "", "", "", "1/0/0"]]
    assert found.lead_table().rows == []
    value = json.loads(json.dumps(found.to_json()))
    assert value["rows"] == 1
    assert [system["interval"] for system in value["systems"]] == [None, None]
    assert (value["versus_first"][0]["lead"], value["versus_first"][0]["worth"]) == (None, [])


def test_a_system_warns_as_it_does_alone(in_tmp: Path) -> None:
    references = [f"낱말{n} 가{n} 나{n} 다{n} 라{n}" for n in range(16)]
    with Path("dev.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("fname", "dialogue", "summary"), *((f"dev_{n}", "대화", text) for n, text in enumerate(references))]
        )
    right = write_rows("right.csv", {f"dev_{n}": text for n, text in enumerate(references)})
    turned = write_rows("turned.csv", {f"dev_{n}": text for n, text in enumerate(reversed(references))})
    first, second = compare_systems([right, turned], "dev.csv", WORDS).systems
    assert first.warnings == ()
    [warning] = second.warnings
    assert plain(warning) == snapshot(
        "in another order: the summaries fit the dialogues in reverse order (100.0) better than in the "
        "present order (0.0); take each id from the data"
    )
    assert list(second.warnings) == evaluate_file(Path(turned), "dev.csv", WORDS).warnings
    assert second.to_json()["warnings"] == [warning]
    naive = compare_systems([right, turned], "dev.csv", Metric("rouge-score", "rouge-score"))
    assert all("drops every Hangul letter" in system.warnings[-1] for system in naive.systems)


def test_the_json_has_everything(data: str) -> None:
    partly = WRONG | {"dev_0": SUMMARIES["dev_0"], "dev_3": ""}
    found: Comparison = compare_systems([write_rows("a.csv", SUMMARIES), write_rows("b.csv", partly)], data)
    value = json.loads(json.dumps(found.to_json()))
    assert (value["data"], value["rows"]) == ("dev.csv", 3)
    first, second = value["systems"]
    assert (first["name"], first["predictions"], round(first["final"], 4)) == ("a.csv", "a.csv", 100)
    assert (first["empty"], second["empty"]) == (0, 1)
    assert [round(final, 4) for final in second["per_row"]] == [100, 0, 0]
    assert set(second) >= {"rouge1", "rouge2", "rougeL", "interval", "signature", "post", "label", "warnings"}
    [versus] = value["versus_first"]
    assert versus["name"] == "B b.csv"
    assert round(versus["difference"], 4) == -66.6667
    assert (versus["wins"], versus["ties"], versus["losses"]) == (0, 1, 2)
    assert set(versus) >= {"low", "high", "confidence", "p_bootstrap", "p_randomisation", "lead", "worth"}
    assert sum(group["rows"] for group in value["by_length"]) == 3
    assert all(len(group["finals"]) == 2 for group in value["by_length"])
    [alike] = value["alike"]
    assert (alike["systems"], alike["equal"], alike["nearly_same"]) == (["A a.csv", "B b.csv"], 1, False)
