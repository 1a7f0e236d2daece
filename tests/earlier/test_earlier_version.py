"""What an earlier version stored can still be read.

`project/` was written by revision 8a288ba with the tiny model of `tiny.py` and the shortest rows of the
sample: `sft`, `generate` (tuned, ``--untuned``, and two candidates), `eval` and `submit`. Checkpoints and the
tokenizer are left out.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import llm_summ
from inline_snapshot import snapshot
from messages import lines_with

from llm_summ.predictions.store import PredictionFile
from llm_summ.runs.run import RUNS, open_run

PROJECT = Path(__file__).parent / "project"
FIRST = RUNS / "first"


@pytest.fixture(autouse=True)
def project(in_tmp: Path) -> None:
    shutil.copytree(PROJECT, in_tmp, dirs_exist_ok=True)


def stored(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def printed(*arguments: str) -> Any:
    result = llm_summ(*arguments, "--json")
    assert result.code == 0, result
    return json.loads(result.out)


def test_its_manifest_is_read_and_written_as_it_was() -> None:
    run = open_run(RUNS, "first")
    before = stored(run.manifest_path)
    manifest = run.manifest()
    assert manifest.training is not None
    assert (manifest.seed, manifest.training.steps, manifest.training.picked_score) == (42, 4, None)
    assert manifest.data["dev"].rows == 10
    run.write_manifest(manifest)
    assert stored(run.manifest_path) == before


@pytest.mark.parametrize("path", sorted(PROJECT.rglob("*.hf*.jsonl")), ids=lambda path: path.stem)
def test_its_identities_are_read_and_compared_as_they_were(path: Path) -> None:
    file = PredictionFile(path.relative_to(PROJECT))
    identity = file.identity()
    assert identity is not None
    assert identity.to_json() == stored(file.identity_path)
    assert file.kept(identity) == file.read() != []
    assert identity.label == ("hf.untuned" if "untuned" in path.stem else "hf")
    assert identity.decoding == "greedy" or (identity.decoding is not None and identity.decoding.n == 2)


def test_runs_lists_it() -> None:
    [run] = printed("runs")["runs"]
    assert (run["name"], run["state"], run["reasons"]) == ("first", "finished", [])
    assert run["manifest"] == stored(FIRST / "manifest.json")
    assert run["fields"]["data.dev.rows"] == 10
    [score] = run["scores"]
    assert (score["engine"], score["data"], run["compared"]) == ("hf", "dev.csv", "runs/first/scores/dev.hf.json")
    assert run["weights_bytes"] == (FIRST / "adapter" / "adapter_model.safetensors").stat().st_size
    assert [submission["predictions"] for submission in run["submissions"]] == ["test.hf.jsonl"]
    page = llm_summ("runs", "first")
    assert page.code == 0, page
    assert ["training.picked_step", "4"] in [line.split() for line in page.out.splitlines()]


@pytest.mark.parametrize("named", [["--run", "first"], ["--predictions", "runs/first/predictions/dev.hf.jsonl"]])
def test_eval_scores_its_predictions_as_it_did(named: list[str]) -> None:
    before = stored(FIRST / "scores" / "dev.hf.json")
    assert before["final"] > 0
    score = printed("eval", "dev.csv", *named)
    for name in ("rouge1", "rouge2", "rougeL", "final", "per_row", "post", "by_length"):
        assert score[name] == before[name], name
    assert (score["engine"], score["untuned"]) == ("hf", False)
    assert score["signature"].rpartition("|post:")[2] == before["signature"].rpartition("|post:")[2]


def test_select_tunes_its_files_on_those_for_the_dev_data() -> None:
    (FIRST / "predictions" / "test.hf.jsonl").rename(FIRST / "predictions" / "renamed.jsonl")
    (FIRST / "predictions" / "test.hf.json").rename(FIRST / "predictions" / "renamed.json")
    result = llm_summ("select", "--run", "first", "--data", "test.csv", "--tune", "dev.csv", "--out", "out.csv")
    assert result.code == 0, result
    assert lines_with(result.err, "untuned") == snapshot(
        "runs/first/predictions/test.hf.untuned.jsonl: a floor, written without an adapter; left out"
    )
    assert "generated with different settings" not in result.err
    assert "A renamed.jsonl" in result.out
    assert "B test.hf.n2-t1.jsonl" in result.out
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["fname"] for row in csv.DictReader(file)] == ["test_14", "test_13", "test_30"]


def test_post_reads_its_predictions() -> None:
    [report] = printed("post", "--run", "first")
    assert (report["predictions"], report["rows"]) == ("runs/first/predictions/dev.hf.jsonl", 10)
    before = stored(FIRST / "scores" / "dev.hf.json")
    assert report["changed"] == before["post"]
    [swept] = printed("post", "--run", "first", "--sweep")
    assert swept["final"] == pytest.approx(before["final"])


def test_submit_writes_what_it_wrote() -> None:
    before = [json.loads(line) for line in (FIRST / "submissions.jsonl").read_text(encoding="utf-8").splitlines()]
    llm_summ("submit", "--run", "first", "--sample", "sample_submission.csv")
    after = [json.loads(line) for line in (FIRST / "submissions.jsonl").read_text(encoding="utf-8").splitlines()]
    [again] = after[len(before) :]
    assert {**again, "written": before[0]["written"]} == before[0]
