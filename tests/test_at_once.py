"""Eight commands that work in one run at the same moment: nothing is lost, doubled or mixed."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from at_once import at_once
from command_line import Result, llm_summ

from llm_summ.data import dialogue_hash, read_dialogues
from llm_summ.predictions.identity import PredictionIdentity
from llm_summ.predictions.prediction import Prediction
from llm_summ.predictions.store import PredictionFile
from llm_summ.prompt import load_template
from llm_summ.recipe import DataFields, GenerateFields, ModelFields, Recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import RUNS, Run, create_run, mark_latest, reserve_run

EIGHT = range(8)
IDS = [one.id for one in read_dialogues("sample:dev")]
# Imported once, and the processes are forked from there.
LIGHT = ["llm_summ.cli", "llm_summ.ledger", "llm_summ.submit", "llm_summ.evaluate.evaluation", "filelock"]
HEAVY = ["torch", "transformers", "peft", "bitsandbytes", "llm_summ.generate.job", *LIGHT]


def make_run(base: str = "x") -> Run:
    recipe = Recipe(
        model=ModelFields(base=base),
        data=DataFields(train="sample:train", dev="sample:dev", test="sample:test"),
        generate=GenerateFields(max_new_tokens=24),
    )
    template = load_template("plain")
    return create_run(
        RUNS / "mine",
        recipe,
        template.text,
        Manifest.model_validate({"prompt": {"sha256": template.sha256}, "kept": {}}),
    )


def predict(run: Run, part: str) -> None:
    file = PredictionFile(run.predictions / f"sample-{part}.hf.jsonl")
    file.begin(PredictionIdentity(engine="hf", adapter="abc"))
    with file.appending() as out:
        for one in read_dialogues(f"sample:{part}"):
            out.add(Prediction(one.id, dialogue_hash(one.text), one.references[0], 9, "stop"))


def commands(*lines: Sequence[str], preload: Sequence[str] = LIGHT) -> dict[int, Result]:
    """What commands that run at once print, by their process."""
    return dict(at_once(_command, [tuple(line) for line in lines], preload=preload))


def _command(*arguments: str) -> tuple[int, Result]:
    return os.getpid(), llm_summ(*arguments)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def no_leftovers(run: Run) -> bool:
    """Whether nothing half done is left; lock files are empty, and no one is named as their holder."""
    hidden = {path.relative_to(run.path) for path in run.path.rglob(".*")}
    return hidden == {Path(".locks")} and {path.suffix for path in run.path.glob(".locks/**/*.*")} == {".lock"}


def test_no_leaderboard_score_is_lost(in_tmp: Path) -> None:
    run = make_run()
    done = commands(*(["runs", "--add-lb", "mine", str(40 + score)] for score in EIGHT))
    assert [one.code for one in done.values()] == [0] * 8, done
    found = json.loads((run.path / "leaderboard.json").read_text(encoding="utf-8"))
    assert sorted(one["score"] for one in found) == [40.0 + score for score in EIGHT]
    assert no_leftovers(run)


def test_every_submission_is_recorded_with_its_own_hash(in_tmp: Path) -> None:
    run = make_run()
    predict(run, "test")
    with Path("sample.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["fname", "summary"], *([one.id, "x"] for one in read_dialogues("sample:test"))]
        )
    own = ["submit", "--run", "mine", "--sample", "sample.csv"]
    # Half of them write the run's own submission, the others a file each.
    done = commands(*([*own, *(["--out", f"{number}.csv"] * (number % 2))] for number in EIGHT))
    assert [one.code for one in done.values()] == [0] * 8, done
    recorded = lines(run.submissions_path)
    own_out = str(run.path / "submission.csv")
    assert sorted(one["out"] for one in recorded) == sorted(["1.csv", "3.csv", "5.csv", "7.csv", *[own_out] * 4])
    for one in recorded:
        assert one["sha256"] == hashlib.sha256(Path(one["out"]).read_bytes()).hexdigest()
    assert no_leftovers(run)


def test_scores_of_different_data_with_one_name_keep_files_of_their_own(in_tmp: Path) -> None:
    run = make_run()
    predict(run, "dev")
    dialogues = read_dialogues("sample:dev")
    for number in EIGHT:  # the same dialogues with other references: eight files named dev.csv
        Path(str(number)).mkdir()
        with Path(f"{number}/dev.csv").open("w", encoding="utf-8", newline="") as file:
            rows = [[one.id, one.text, f"{number} {one.references[0]}"] for one in dialogues]
            csv.writer(file).writerows([["fname", "dialogue", "summary"], *rows])
    done = commands(*(["eval", f"{number}/dev.csv", "--run", "mine", "--json"] for number in EIGHT))
    assert [one.code for one in done.values()] == [0] * 8, done
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in run.scores.glob("*.json")]
    assert {one["data"] for one in kept} == {f"{number}/dev.csv" for number in EIGHT}
    assert no_leftovers(run)


def _reserve(name: str | None) -> str | None:
    from llm_summ.core.errors import RunError

    try:
        return reserve_run(RUNS, name, "qlora").name
    except RunError as error:
        return None if "is there already" in str(error) else f"refused: {error}"


def _mark(name: str) -> None:
    mark_latest(Run(RUNS / name))


def _take(name: str | None) -> str | None:
    import time

    from llm_summ.core.errors import RunError
    from llm_summ.train.resume import hold_unfinished

    try:
        with hold_unfinished(RUNS, name) as run:
            time.sleep(1)
            return run.name
    except RunError as error:
        return None if "is being trained by process" in str(error) else f"refused: {error}"


def test_a_new_run_is_made_by_one(in_tmp: Path) -> None:
    assert len(set(at_once(_reserve, [(None,)] * 8, preload=LIGHT))) == 8
    assert at_once(_reserve, [("mine",)] * 8, preload=LIGHT).count("mine") == 1


def test_the_latest_is_one_of_those_that_were_marked(in_tmp: Path) -> None:
    names = [_reserve(f"run-{number}") for number in EIGHT]
    at_once(_mark, [(name,) for name in names], preload=LIGHT)
    assert (RUNS / "latest").resolve().name in names
    assert sorted(path.name for path in RUNS.iterdir()) == ["latest", *map(str, names)]


def test_a_stopped_training_is_taken_up_by_one(in_tmp: Path) -> None:
    run = make_run()
    assert sorted(map(str, at_once(_take, [("mine",)] * 4 + [(None,)] * 4, preload=LIGHT))) == ["None"] * 7 + [
        "mine"
    ]
    shutil.copytree(run.path, RUNS / "other")
    assert sorted(map(str, at_once(_take, [(None,)] * 8, preload=LIGHT))) == ["None"] * 6 + ["mine", "other"]


@pytest.mark.slow
def test_a_prediction_file_is_written_by_one(in_tmp: Path, tiny_model: Path) -> None:
    run = make_run(str(tiny_model))
    generate = ["generate", "--run", "mine", "--engine", "echo", "--data", "sample:dev"]
    done = commands(*[generate] * 8, preload=HEAVY)
    # It takes a moment: the others wait for it, and have nothing left to do, or are refused.
    assert {one.code for one in done.values()} <= {0, 2}
    assert sum(f"{len(IDS)} new" in one.err for one in done.values()) == 1
    found = lines(run.predictions / "sample-dev.echo.jsonl")
    assert [one["fname"] for one in found] == IDS
    assert no_leftovers(run)
