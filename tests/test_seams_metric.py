"""A metric of another package: installed next to llm-summ, `eval` scores and compares by it next to ROUGE."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from statistics import fmean

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import plain, raises
from seams import installed, own_registry, write_recipe

from llm_summ import __version__
from llm_summ.core.errors import InputError
from llm_summ.data import read_dialogues
from llm_summ.evaluate.evaluation import evaluate_file
from llm_summ.score.other_metrics import METRICS, MetricSpec, score_by

pytestmark = pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft")

# All of a package with a metric: the share of characters that summary and best reference have in common.
TOY = """
from difflib import SequenceMatcher

from llm_summ.score.other_metrics import MetricSpec

TOY = MetricSpec("toy", "toy_metric:same_characters", version="1.5")


def same_characters(hypotheses, references):
    return [
        max(100 * SequenceMatcher(None, text, reference).ratio() for reference in references_of_row)
        for text, references_of_row in zip(hypotheses, references, strict=True)
    ]
"""
SIGNATURE = f"metric:toy|version:1.5|nrefs:3|v:{__version__}|post:none"


@pytest.fixture
def toy(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with installed(METRICS, "toy_metric", TOY, in_tmp / "site", monkeypatch) as facts:
        yield facts


@pytest.fixture
def systems(in_tmp: Path) -> list[str]:
    """Two prediction files for the sample's dev: a reference without its end, and the same sentence for all."""
    dialogues = read_dialogues("sample:dev")
    texts = {
        "good.csv": [one.references[0][:-5] for one in dialogues],
        "dull.csv": ["대화입니다."] * len(dialogues),
    }
    for name, summaries in texts.items():
        with Path(name).open("w", encoding="utf-8", newline="") as file:
            rows = [[one.id, text] for one, text in zip(dialogues, summaries, strict=True)]
            csv.writer(file).writerows([["fname", "summary"], *rows])
    return list(texts)


def test_a_file_is_scored_by_it(toy: Path, systems: list[str]) -> None:
    arguments = ("eval", "sample:dev", "--predictions", "good.csv", "--metric", "toy")
    done = llm_summ(*arguments, "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    [metric] = value.pop("metrics")
    dialogues = read_dialogues("sample:dev")
    expected = [
        max(100 * SequenceMatcher(None, one.references[0][:-5], reference).ratio() for reference in one.references)
        for one in dialogues
    ]
    assert metric["per_row"] == expected
    assert metric["mean"] == pytest.approx(fmean(expected))
    assert metric["interval"]["low"] < metric["mean"] < metric["interval"]["high"]
    assert (metric["name"], metric["signature"]) == ("toy", SIGNATURE)
    # ROUGE is the same to the last bit, with and without it.
    plain = json.loads(llm_summ("eval", "sample:dev", "--predictions", "good.csv", "--json").out)
    assert plain.pop("metrics") == []
    assert value == plain

    done = llm_summ(*arguments, "--brief")
    assert done.code == 0, done.err
    lowest = dialogues[expected.index(min(expected))].id
    assert re.search(rf"^│ toy +│ +{metric['mean']:.2f} │", done.out, re.MULTILINE)
    assert f"toy: {lowest} {min(expected):.2f}, " in done.out
    assert done.out.endswith(f" {SIGNATURE}\n")


def test_systems_are_compared_by_it(toy: Path, systems: list[str]) -> None:
    done = llm_summ("eval", "sample:dev", "--compare", *systems, "--metric", "toy", "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    means = [system["metrics"][0]["mean"] for system in value["systems"]]
    [versus] = value["versus_first"][0]["metrics"]
    assert versus["name"] == "toy"
    assert versus["difference"] == pytest.approx(means[1] - means[0])
    assert versus["low"] <= versus["difference"] <= versus["high"] < 0
    assert versus["p_randomisation"] < 0.01
    assert versus["losses"] == len(read_dialogues("sample:dev"))

    shown = llm_summ("eval", "sample:dev", "--compare", *systems, "--metric", "toy").out
    assert all(f"{mean:.2f}" in shown for mean in means)
    assert f"{versus['difference']:+.2f}" in shown
    assert shown.endswith(f" {SIGNATURE}\n")


@pytest.mark.slow
def test_a_run_is_scored_by_it(toy: Path, tiny_model: Path) -> None:
    recipe = write_recipe(Path("mine.yaml"), tiny_model)
    assert llm_summ("sft", str(recipe), "--run", "mine").code == 0
    assert llm_summ("generate", "--run", "mine").code == 0
    done = llm_summ("eval", "dev.csv", "--run", "mine", "--metric", "toy", "--metric", "toy", "--json")
    assert done.code == 0, done.err
    [metric] = json.loads(done.out)["metrics"]
    assert len(metric["per_row"]) == 3
    steps = "strip+join_lines+collapse_whitespace+cut_unfinished"
    assert metric["signature"] == f"metric:toy|version:1.5|nrefs:1|v:{__version__}|post:{steps}"


def test_what_cannot_be_scored_by_it_is_refused(toy: Path, systems: list[str]) -> None:
    arguments = ("eval", "sample:dev", "--predictions", "good.csv")
    error = llm_summ(*arguments, "--metric", "tooy")
    assert error.code == 2
    assert plain(error.err) == snapshot("Error: --metric: found 'tooy', expected 'toy'; did you mean toy?\n")
    error = llm_summ(*arguments, "--metric", "toy", "--html", "page.html")
    assert error.code == 2
    assert plain(error.err) == snapshot("Error: --html shows ROUGE only: leave out --metric, or --html\n")
    assert not Path("page.html").exists()


def test_a_package_that_is_broken_is_named(toy: Path, systems: list[str]) -> None:
    (toy / "entry_points.txt").write_text("[llm_summ.metrics]\ntoy = toy_metric:missing\n", encoding="utf-8")
    line = refused(llm_summ("eval", "sample:dev", "--predictions", "good.csv", "--metric", "toy"))
    assert line == snapshot(
        "entry point toy of llm_summ.metrics: module 'toy_metric' has no attribute 'missing', expected a "
        "MetricSpec; remove or repair the package that declares it"
    )


def half(hypotheses: list[str], references: list[list[str]]) -> list[float]:
    return [50.0] * (len(hypotheses) // 2)


def not_a_number(hypotheses: list[str], references: list[list[str]]) -> list[float]:
    return [float("nan")] * len(hypotheses)


def test_a_program_registers_one(systems: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    own_registry(METRICS, monkeypatch)
    with raises(ValueError) as raised:
        METRICS.check("toy")
    assert raised.message == snapshot(
        "found 'toy', and no installed package has a metric; install one or leave it out"
    )
    METRICS.register(MetricSpec("length", f"{__name__}:lengths", "1"))
    result = evaluate_file(Path("dull.csv"), "sample:dev", metrics=["length"])
    assert result.metrics[0].mean == len("대화입니다.")
    messages = []
    for name in ("half", "not_a_number"):
        METRICS.register(MetricSpec(name, f"{__name__}:{name}", "1"))
        with raises(InputError) as raised:
            score_by(name, ["가", "나"], [["가"], ["나"]])
        messages.append(raised.message)
    assert messages == snapshot(
        [
            "--metric half: test_seams_metric:half: found 1 figure, expected one for each of 2 dialogues; "
            "repair the metric",
            "--metric not_a_number: test_seams_metric:not_a_number: found nan for row 1, expected a finite "
            "number; repair the metric",
        ]
    )


def lengths(hypotheses: list[str], references: list[list[str]]) -> list[int]:
    return list(map(len, hypotheses))
