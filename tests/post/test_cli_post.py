"""The command `post`, as a user runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from command_line import Result, llm_summ, refused
from inline_snapshot import snapshot
from messages import plain

from llm_summ.data import dialogue_hash, read_dialogues, read_hypotheses
from llm_summ.predictions.identity import PredictionIdentity
from llm_summ.predictions.prediction import Prediction
from llm_summ.predictions.store import PredictionFile
from llm_summ.recipe import DataFields, ModelFields, Recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run, create_run, mark_latest

DIALOGUES = read_dialogues("sample:dev")
BROKEN = {
    one.id: " " + one.references[0].replace("#Person1#", "# person 1 #").replace("#Person2#", "#Person 2#")
    for one in DIALOGUES
}
TAGGED = sum(BROKEN[one.id] != f" {one.references[0]}" for one in DIALOGUES)


@pytest.fixture
def run(in_tmp: Path) -> Run:
    """The latest run, with predictions whose tags are broken; the first was cut off."""
    recipe = Recipe(model=ModelFields(base="x"), data=DataFields(train="sample:train", dev="sample:dev"))
    run = create_run(Path("runs") / "mine", recipe, "", Manifest())
    mark_latest(run)
    file = PredictionFile(run.predictions / "sample-dev.hf.jsonl")
    file.begin(PredictionIdentity(engine="hf", adapter="abc"))
    with file.appending() as out:
        for number, one in enumerate(DIALOGUES):
            text = BROKEN[one.id] + ("" if number else " #Person1#은 그")
            out.add(Prediction(one.id, dialogue_hash(one.text), text, 9, "stop" if number else "length"))
    return run


def write_file(name: str, texts: dict[str, str]) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("fname", "summary"), *texts.items()])


def shown(result: Result) -> str:
    assert result.code == 0, result
    return result.out


def test_the_steps_are_those_of_the_latest_runs_recipe(run: Run) -> None:
    result = llm_summ("post", "--json")
    [found] = json.loads(shown(result))
    assert result.err.splitlines()[0] == "Run: runs/mine (the latest)"
    assert (found["predictions"], found["data"]) == ("runs/mine/predictions/sample-dev.hf.jsonl", "sample:dev")
    assert found["rows"] == len(DIALOGUES)
    assert found["changed"] == {
        "strip": len(DIALOGUES),
        "join_lines": 0,
        "collapse_whitespace": 0,
        "cut_unfinished": 1,
    }
    assert found["changes"][-1]["step"] == "cut_unfinished"
    assert found["changes"][-1]["fname"] == DIALOGUES[0].id


def test_examples_escape_invisible_characters(run: Run) -> None:
    out = shown(llm_summ("post", "--steps", "strip,cut_unfinished", "--show", "2"))
    lines = out.splitlines()
    assert lines.count(f"strip  {DIALOGUES[1].id}") == 1
    assert f"  before  «{BROKEN[DIALOGUES[1].id]}»" in lines
    assert f"  after   «{BROKEN[DIALOGUES[1].id].strip()}»" in lines
    assert f"strip  {DIALOGUES[2].id}" not in lines


def test_the_written_texts_score_as_in_the_sweep(run: Run) -> None:
    [swept] = json.loads(shown(llm_summ("post", "--sweep", "--json")))
    worths = {one["step"]: one for one in swept["worths"]}
    assert (swept["added"], swept["recommended"][0]) == (["repair_tags"], "repair_tags")
    assert worths["repair_tags"]["rows"] == TAGGED
    assert worths["repair_tags"]["gain"]["low"] > 0
    shown(llm_summ("post", "--steps", ",".join(swept["recommended"]), "--out", "out.csv"))
    assert list(read_hypotheses(Path("out.csv"))) == [one.id for one in DIALOGUES]
    for predictions, final in (
        ("out.csv", worths["repair_tags"]["final_with"]),
        ("runs/mine/predictions/sample-dev.hf.jsonl", swept["final"]),
    ):
        scored = json.loads(shown(llm_summ("eval", "sample:dev", "--predictions", predictions, "--json")))
        assert scored["final"] == pytest.approx(final)


def test_the_sweep_prints_the_recommended_list_or_that_there_is_none(run: Run) -> None:
    assert shown(llm_summ("post", "--sweep")).splitlines()[-2:] == [
        "gain more than chance: repair_tags",
        "for the recipe, and for runs/NAME/recipe.yaml: post: [repair_tags, strip, join_lines, "
        "collapse_whitespace, cut_unfinished]",
    ]
    write_file("good.csv", {one.id: one.references[1] for one in DIALOGUES})
    out = shown(llm_summ("post", "good.csv", "--data", "sample:dev", "--sweep"))
    assert out.splitlines()[-1] == "no step gains or costs more than chance here: leave the list as it is"


def test_several_files_are_shown_one_after_the_other(in_tmp: Path) -> None:
    write_file("first.csv", BROKEN)
    write_file("second.csv", {one.id: one.references[0] for one in DIALOGUES})
    arguments = ("post", "first.csv", "second.csv", "--data", "sample:dev", "--steps", "repair_tags,strip")
    found = json.loads(shown(llm_summ(*arguments, "--json")))
    assert [(one["predictions"], one["changed"]["repair_tags"]) for one in found] == [
        ("first.csv", TAGGED),
        ("second.csv", 0),
    ]
    out = shown(llm_summ(*arguments))
    assert out.index(f"first.csv: {len(DIALOGUES)} summaries") < out.index("second.csv: ")


def test_raw_predictions_outside_their_run_get_the_default_steps(run: Run) -> None:
    """They still have whether each of them was cut off."""
    (run.predictions / "sample-dev.hf.jsonl").rename("moved.jsonl")
    result = llm_summ("post", "moved.jsonl", "--data", "sample:dev", "--json")
    assert result.err == (
        "moved.jsonl: raw predictions outside their run: used as they are, without its post-processing\n"
    )
    [found] = json.loads(shown(result))
    assert found["changed"] == {
        "strip": len(DIALOGUES),
        "join_lines": 0,
        "collapse_whitespace": 0,
        "cut_unfinished": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--steps", "strip,repair_tag"],
            snapshot("llm-summ: --steps: found 'repair_tag', which is not a step; did you mean repair_tags?\n"),
        ),
        (["f.csv", "--run", "mine"], snapshot("Error: --run and FILE exclude each other; choose one\n")),
        (
            ["f.csv", "g.csv", "--data", "sample:dev", "--out", "o.csv"],
            snapshot("Error: --out takes the result of one FILE, found 2; name one\n"),
        ),
        (["f.csv"], snapshot("llm-summ: --data is missing: name the data that f.csv is of\n")),
        (["--sweep", "--out", "o.csv"], snapshot("Error: --sweep only scores; leave out --show and --out\n")),
    ],
)
def test_options_that_do_not_go_together_are_refused(in_tmp: Path, arguments: list[str], message: str) -> None:
    result = llm_summ("post", *arguments)
    assert (result.code, result.out) == (2, ""), result
    assert plain(result.err) == message


def test_nothing_is_overwritten_and_nothing_is_scored_without_references(in_tmp: Path) -> None:
    write_file("f.csv", BROKEN)
    with Path("bare.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("fname", "dialogue"), *((one.id, one.text) for one in DIALOGUES)])
    Path("o.csv").write_text("mine", encoding="utf-8")
    arguments = ("post", "f.csv", "--data", "bare.csv", "--out")
    assert refused(llm_summ(*arguments, "o.csv")) == (
        "--out o.csv: is there already; choose another name, or replace it: --force"
    )
    assert refused(llm_summ(*arguments, "o.txt")) == "--out o.txt: expected a name that ends in .csv"
    for name in ("f.csv", "bare.csv"):
        line = refused(llm_summ(*arguments, name, "--force"))
        assert line == f"--out {name}: is one of the input files; choose another name"
    assert Path("o.csv").read_text(encoding="utf-8") == "mine"
    shown(llm_summ(*arguments, "o.csv", "--force"))
    assert list(read_hypotheses(Path("o.csv"))) == [one.id for one in DIALOGUES]
    assert refused(llm_summ("post", "f.csv", "--data", "bare.csv", "--sweep")) == snapshot(
        "bare.csv: no column summary (or summary1, summary2 …); found fname, dialogue; this command needs "
        "references"
    )
    assert refused(llm_summ("post")) == snapshot(
        "runs: no finished run here; make one with `llm-summ sft recipes/qlora.yaml`, or change to the "
        "folder that has it"
    )
