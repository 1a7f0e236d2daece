"""`eval --compare`, as a user runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import plain
from test_cli_eval import shown, write_summaries, write_systems, wrong_options
from test_evaluate import SUMMARIES, WRONG, make_run, predict, write_data

from llm_summ.data import read_dialogues
from llm_summ.runs.run import mark_latest
from llm_summ.score import score_corpus


@pytest.fixture
def there(in_tmp: Path) -> Path:
    write_systems()
    return in_tmp


def test_systems_are_compared_with_the_first_of_them(there: Path) -> None:
    out = shown(llm_summ("eval", "sample:dev", "--compare", "first.csv", "second.csv", "opening.csv"))
    value = json.loads(shown(llm_summ("eval", "sample:dev", "--compare", "--json", "first.csv", "second.csv")))
    first, second = value["systems"]
    assert (first["name"], second["name"], value["rows"]) == ("first.csv", "second.csv", 32)
    [versus] = value["versus_first"]
    assert versus["difference"] == pytest.approx(second["final"] - first["final"])
    assert versus["wins"] + versus["ties"] + versus["losses"] == 32
    assert re.search(rf"^│ A first\.csv .* {first['final']:.2f} │", out, re.MULTILINE)
    assert re.search(rf"^│ B second\.csv .* {second['final']:.2f} │", out, re.MULTILINE)
    more = re.escape(f"{versus['difference']:+.2f}")
    assert re.search(rf"^│ B second\.csv +│ +{more} │", out, re.MULTILINE)
    for text in ("95 % interval", "p boot", "p rand", "wins/ties/losses", "vs. first.csv", "B more", "C more"):
        assert text in out
    assert "with fewer than 50 rows intervals are too narrow" in out
    # Too few rows to say what a public lead is worth.
    assert "public lead" not in out
    assert out.splitlines()[-1] == f"signature  {first['signature']}"


def test_a_comparison_scores_by_the_metric_that_is_asked_for(there: Path) -> None:
    options = ["--rouge", "rouge-score", "--tokens", "character", "--aggregate", "max"]
    arguments = ["eval", "sample:dev", "--compare", "opening.csv", "second.csv", "--json", *options]
    value = json.loads(shown(llm_summ(*arguments)))
    for system in value["systems"]:
        # One of them is near the floor, which a note says.
        alone = json.loads(llm_summ("eval", "sample:dev", "--predictions", system["name"], "--json", *options).out)
        assert system["final"] == alone["final"]
        assert system["interval"] == alone["interval"]
        assert "variant:rouge-score|tok:character|nrefs:3|refs:max|" in system["signature"]


def test_the_same_file_twice_is_said(there: Path) -> None:
    out = shown(llm_summ("eval", "sample:dev", "--compare", "first.csv", "first.csv"))
    assert "A first.csv and B first.csv are the same: all 32 summaries are equal" in out


@pytest.mark.parametrize(
    "option", [["--run", "mine"], ["--predictions", "first.csv"], ["--brief"], ["--explain"], ["--verify"]]
)
def test_a_comparison_takes_no_option_of_a_single_system(there: Path, option: list[str]) -> None:
    assert wrong_options("--compare", "first.csv", "second.csv", *option) == snapshot(
        "--compare takes its systems after DATA: leave out --run, --predictions, --brief, --explain and --verify"
    )


@pytest.mark.parametrize(
    ("systems", "said"),
    [
        (
            ["first.csv"],
            snapshot(
                "--compare: found 1 system after the data sample:dev; expected at least two runs or prediction "
                "files, such as: llm-summ eval dev.csv --compare first.csv second.csv"
            ),
        ),
        (
            ["first.csv", "nowhere.csv"],
            snapshot("nowhere.csv: no such file; expected predictions as CSV or JSONL with fname and summary"),
        ),
        (
            ["first.csv", "nowhere"],
            snapshot(
                "--compare nowhere: neither a run nor a prediction file; expected a run's name, or a CSV or JSONL "
                "with fname and summary"
            ),
        ),
        (
            ["first.csv", "short.csv"],
            snapshot(
                "short.csv: lacks 31 of the 32 ids of sample:dev (dev_1, dev_2, dev_3, dev_5, dev_6, …); expected "
                "exactly the ids of sample:dev"
            ),
        ),
    ],
)
def test_systems_that_cannot_be_compared_are_one_line(there: Path, systems: list[str], said: str) -> None:
    write_summaries("short.csv", [("dev_0", "요약")])
    assert refused(llm_summ("eval", "sample:dev", "--compare", *systems)) == said


def test_runs_are_compared_by_their_names_and_folders(in_tmp: Path) -> None:
    write_data(Path("dev.csv"))
    run = make_run("mine")
    predict(run, "dev.hf")
    predict(make_run("other"), "dev.hf", WRONG | {"dev_3": ""})
    mark_latest(run)
    write_summaries("out.csv", list(SUMMARIES.items()))
    names = ["mine", "other", "runs/other", "latest", "out.csv"]
    result = llm_summ("eval", "dev.csv", "--compare", *names)
    assert result.code == 0
    assert result.err.splitlines() == [
        f"Predictions: runs/{name}/predictions/dev.hf.jsonl" for name in ("mine", "other", "other", "mine")
    ]
    for label, name, final in (("A", "mine", "100.00"), ("B", "other", "0.00"), ("E", "out.csv", "100.00")):
        assert re.search(rf"^│ {label} {re.escape(name)} .* {final} │", result.out, re.MULTILINE)
    # The runs' predictions are post-processed as their recipes say, and a file is not.
    assert re.search(r"^A mine: signature \S+\|post:strip\+cut_unfinished$", result.out, re.MULTILINE)
    assert re.search(r"^E out\.csv: signature \S+\|post:none$", result.out, re.MULTILINE)
    value = json.loads(llm_summ("eval", "dev.csv", "--compare", *names, "--json").out)
    assert [system["label"] for system in value["systems"]] == list("ABCDE")
    assert value["systems"][1]["post"] == {"strip": 0, "cut_unfinished": 0}
    # A comparison writes nothing into the runs.
    assert not run.scores.exists()


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_system_beside_the_wrong_dialogues_is_warned_of_on_stderr(there: Path, option: list[str]) -> None:
    rows = read_dialogues("sample:dev")
    turned = [row.references[0] for row in reversed(rows)]
    write_summaries("turned.csv", [(row.id, text) for row, text in zip(rows, turned, strict=True)])
    result = llm_summ("eval", "sample:dev", "--compare", "first.csv", "turned.csv", *option)
    assert result.code == 0
    [warning] = result.err.splitlines()
    assert plain(warning) == snapshot(
        "warning: B turned.csv: in another order: the summaries fit the dialogues in reverse order (67.5) "
        "better than in the present order (20.3); take each id from the data"
    )
    assert warning not in result.out
    if option:
        said = [system["warnings"] for system in json.loads(result.out)["systems"]]
        assert said == [[], [warning.removeprefix("warning: B turned.csv: ")]]


def test_tokens_that_drop_hangul_are_warned_of_for_each_system(there: Path) -> None:
    result = llm_summ("eval", "sample:dev", "--compare", "first.csv", "second.csv", "--tokens", "rouge-score")
    assert [line.partition(" drops ")[0] for line in result.err.splitlines()] == [
        "warning: A first.csv: --tokens rouge-score",
        "warning: B second.csv: --tokens rouge-score",
    ]


def test_a_single_row_is_compared(in_tmp: Path) -> None:
    Path("one.csv").write_text(
        "fname,dialogue,summary\ndev_7,#Person1#: 비가 와요.,비가 온다고 합니다.\n", "utf-8"
    )
    write_summaries("a.csv", [("dev_7", "비가 온다고 말합니다.")])
    write_summaries("b.csv", [("dev_7", "비가 온다고 합니다.")])
    out = shown(llm_summ("eval", "one.csv", "--compare", "a.csv", "b.csv"))
    final = score_corpus(["비가 온다고 말합니다."], [["비가 온다고 합니다."]]).final
    assert re.search(rf"^│ A a\.csv .* {final:.2f} │$", out, re.MULTILINE)
    assert re.search(rf"^│ B b\.csv +│ \+{100 - final:.2f} │", out, re.MULTILINE)
    assert "public lead" not in out
