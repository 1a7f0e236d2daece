"""All runs side by side: which scores are compared and in what order, what differs, and one run in detail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from ledger_runs import DEV, OTHER, SIGNATURE, entry, give_score, lines, make, names, recipe, runs, submit, table
from messages import raises

from llm_summ.core.errors import RunError
from llm_summ.core.files import write_json
from llm_summ.ledger import note_score, read_ledger, run_page
from llm_summ.predictions.identity import PredictionIdentity
from llm_summ.predictions.store import PredictionFile
from llm_summ.runs.manifest import DataPart
from llm_summ.runs.run import RUNS, mark_latest


def test_runs_side_by_side(in_tmp: Path) -> None:
    first = make("r1", hour=10)
    second = make("r2", hour=11, made=recipe(learning_rate=1e-4))
    mark_latest(first)
    give_score(first, 47.5, interval={"low": 46.04, "high": 48.96, "confidence": 0.95, "resamples": 1000})
    give_score(second, 48.25)
    note_score(first, "51.24")
    assert table() == [
        ("run", "score", "lb", "finished (UTC)", "min", "MB"),
        ("r2", "48.25", "", "2026-03-01 11:30", "30.0", "0.0"),
        ("r1 (latest)", "47.50 [46.0, 49.0]", "51.24", "2026-03-01 10:30", "30.0", "0.0"),
    ]
    assert lines() == [
        "in all runs that have it:",
        "  scored on          dev.csv",
        "  model.base         x/y-8b",
        "  model.quantization nf4",
        "  prompt.template    expert",
        "  prompt.sha256      eeeeeeee",
        "  data.train         train.csv",
        "  data.train.rows    12457",
        "  data.train.sha256  aaaaaaaa",
        "  lora.r             16",
        "what differs:",
        "  r2  train.learning_rate=0.0001",
        "  r1  train.learning_rate=0.0002",
        f"signature  {SIGNATURE}",
        "leaderboard against local scores: 1 run has both, of the same data and signature; the "
        "correlation needs 2 more",
    ]


def test_the_engine_is_what_the_score_says(in_tmp: Path) -> None:
    run = make("a")
    give_score(run, 40, name="dev.v2")  # by an earlier version, which named it in the file's name only
    assert [score.engine for score in entry("a").scores] == ["v2"]
    give_score(run, 40, name="dev.v2", engine="hf.untuned")
    [score] = entry("a").scores
    assert (score.engine, score.untuned) == ("hf.untuned", True)


def test_the_engine_of_an_early_score_is_that_of_its_predictions(in_tmp: Path) -> None:
    run = make("a")
    file = PredictionFile(run.predictions / "dev.v2.hf.jsonl")
    file.begin(PredictionIdentity(engine="vllm", adapter=None))
    path = give_score(run, 40, name="dev.v2.hf", predictions="elsewhere/runs/a/predictions/dev.v2.hf.jsonl")
    [score] = entry("a").scores
    assert (score.engine, score.untuned) == ("vllm.untuned", True)
    file.identity_path.unlink()
    [score] = entry("a").scores
    assert (score.engine, score.untuned, score.path) == ("hf", False, path)


def test_data_that_changed_under_their_name_are_seen(in_tmp: Path) -> None:
    make("a", hour=1)
    make("b", hour=2, train={"train.csv": "1" * 64, "둘.jsonl": "2" * 64})
    assert lines()[-2:] == ["  b  data.train.sha256=11111111 22222222", "  a  data.train.sha256=aaaaaaaa"]


def test_what_differs_stands_in_columns_beside_korean_names(in_tmp: Path) -> None:
    make("요약", hour=1)
    make("run-12", hour=2, made=recipe(epochs=1))
    assert lines()[-2:] == ["  run-12  train.epochs=1.0", "  요약    train.epochs=2.0"]


def test_a_recipe_of_other_fields_is_compared_in_what_it_has(in_tmp: Path) -> None:
    path = make("a", hour=1).recipe_path
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("learning_rate: 0.0002", "lr: 0.3"), encoding="utf-8")
    make("b", hour=2)
    assert entry("a").state == "finished"
    assert entry("a").fields["train.lr"] == 0.3
    assert "what differs:" not in lines()


def test_the_order_of_runs(in_tmp: Path) -> None:
    for name, hour, final in (("a", 3, 40.0), ("b", 2, 42.0), ("c", 1, 41.0)):
        give_score(make(name, hour=hour), final)
    give_score(make("other-data", hour=4), 60, data="easy.csv", sha256="e" * 64)
    give_score(make("untuned", hour=5), 70, name="dev.vllm.untuned")
    make("bare", hour=6)
    assert names() == ["bare", "untuned", "other-data", "a", "b", "c"]
    assert names("score") == ["b", "c", "a", "other-data", "untuned", "bare"]


def test_a_better_score_of_another_signature_does_not_lead(in_tmp: Path) -> None:
    for name, final, signature in (("a", 48.3, SIGNATURE), ("b", 47, SIGNATURE), ("d", 49, OTHER)):
        give_score(make(name), final, signature=signature)
    assert names("score") == ["a", "b", "d"]


def test_runs_of_other_data_do_not_say_which_signature_is_common(in_tmp: Path) -> None:
    for name in ("a", "b", "c"):
        give_score(make(name), 50, data=f"{name}.csv", sha256=name * 64, signature=OTHER)
    for name, final, signature in (("d", 40, SIGNATURE), ("e", 39, SIGNATURE), ("f", 45, OTHER)):
        give_score(make(name), final, signature=signature)
    assert names("score")[:2] == ["d", "e"]
    assert read_ledger(RUNS).signatures == (SIGNATURE, OTHER)


def test_the_best_leaderboard_score_of_a_run_counts(in_tmp: Path) -> None:
    noted = {"a": ["52", "52.5", "40"], "b": ["50"], "zero": ["0"], "none": []}
    for hour, (name, scores) in enumerate(noted.items()):
        run = make(name, hour=hour)
        for score in scores:
            note_score(run, score)
    assert names("lb") == ["a", "b", "zero", "none"]
    assert {row[0]: row[1] for row in table()[1:]} == {"a": "52.50", "b": "50.00", "zero": "0.00", "none": ""}


def test_scores_with_other_signatures_are_marked(in_tmp: Path) -> None:
    for name, signature, hour in (("a", SIGNATURE, 1), ("b", SIGNATURE, 2), ("c", OTHER, 3)):
        give_score(make(name, hour=hour), 40, signature=signature)
    assert [row[:3] for row in table()] == [
        ("run", "score", "sig"),
        ("c", "40.00", "B"),
        ("b", "40.00", "A"),
        ("a", "40.00", "A"),
    ]
    assert lines()[-3:] == [
        f"signature A  {SIGNATURE}",
        f"signature B  {OTHER}",
        "scores with different signatures are not comparable",
    ]


def test_runs_are_compared_by_their_dev_data_whatever_was_scored_last(in_tmp: Path) -> None:
    run = make("a")
    manifest = run.manifest()
    manifest.data["dev"] = DataPart(rows=2, sha256={"dev.csv": DEV})
    run.write_manifest(manifest)
    give_score(run, 40, hour=12)
    give_score(run, 60, data="other.csv", sha256="0" * 64, name="other.vllm", hour=13)
    assert [row[:2] for row in table()[1:]] == [("a", "40.00")]


def test_data_of_one_name_and_different_content_are_told_apart(in_tmp: Path) -> None:
    give_score(make("a", hour=1), 40)
    give_score(make("b", hour=2), 40, sha256="b" * 64)
    assert [row[2] for row in table()] == ["data", "dev.csv bbbbbbbb", "dev.csv dddddddd"]


def test_data_of_one_content_have_one_name(in_tmp: Path) -> None:
    give_score(make("a", hour=1), 40, data="dev.csv", hour=1)
    give_score(make("b", hour=2), 41, data="자료/dev.csv", hour=2)
    assert "data" not in table()[0]
    assert lines()[1] == "  scored on          자료/dev.csv"


def test_which_score_stands_for_a_run(in_tmp: Path) -> None:
    first, second = make("a", hour=1), make("b", hour=2)
    give_score(first, 40, name="dev.hf", hour=1)
    newest = give_score(first, 41, name="dev.vllm", hour=2)
    give_score(first, 60, name="dev.vllm.untuned", hour=3)
    give_score(first, 70, name="easy.vllm", data="easy.csv", sha256="e" * 64, hour=4)
    untuned = give_score(second, 25, name="dev.vllm.untuned")
    give_score(make("c", hour=3), 42)
    ledger = read_ledger(RUNS)
    assert ledger.data == DEV
    assert {one.run.name: score.path for one in ledger.entries if (score := ledger.score(one))} == {
        "a": newest,
        "b": untuned,
        "c": RUNS / "c" / "scores" / "dev.vllm.json",
    }
    assert ("b", "25.00", "dev.csv, untuned") in [row[:3] for row in table()]


@pytest.mark.parametrize(
    ("name", "engine", "untuned"),
    [
        ("dev.vllm", "vllm", False),
        ("dev.v2.hf", "hf", False),
        ("sample-dev.hf.untuned", "hf.untuned", True),
    ],
)
def test_a_score_names_its_engine(in_tmp: Path, name: str, engine: str, untuned: bool) -> None:
    give_score(make("a"), 30, name=name)
    [score] = entry("a").scores
    assert (score.engine, score.untuned) == (engine, untuned)


def test_one_run_in_detail(in_tmp: Path) -> None:
    mark_latest(make("newer", hour=11, made=recipe(learning_rate=1e-4)))
    run = make("a")
    give_score(run, 47.5, rouge1=56.5, interval={"low": 46.04, "high": 48.96, "confidence": 0.95})
    give_score(run, 25, name="dev.hf.untuned", signature=OTHER, hour=11)
    sha256 = submit(run, "fname,summary\n")
    noted, _ = note_score(run, "51.24", "공개")
    facts, (scores, submissions, posted, fields), said = run_page(read_ledger(RUNS), entry("a"))
    assert facts[:2] == ["run                      runs/a", "state                    finished"]
    assert "device.name              H100" in facts
    assert "training.last_loss       1.25" in facts
    assert scores[1] == [
        (
            "dev.csv",
            "dddddddd",
            "vllm",
            "56.50",
            "47.50",
            "47.50",
            "47.50 [46.04, 48.96]",
            "2026-03-02 12:00",
            "A",
        ),
        ("dev.csv", "dddddddd", "hf.untuned", "25.00", "25.00", "25.00", "25.00", "2026-03-02 11:00", "B"),
    ]
    assert submissions[1] == [("runs/a/submission.csv", sha256[:8], "test.vllm.jsonl", "vllm", "2026-03-03 10:00")]
    assert posted[1] == [("51.24", noted.noted[:16].replace("T", " "), sha256[:8], "공개")]
    assert ("train.learning_rate", "0.0002", "0.0001") in fields[1]
    assert ("model.base", "x/y-8b", "") in fields[1]
    assert said[:2] == [f"signature A  {SIGNATURE}", f"signature B  {OTHER}"]


def test_everything_for_programs(in_tmp: Path) -> None:
    run = make("a")
    path = give_score(run, 47.5, interval={"low": 46, "high": 49, "confidence": 0.95})
    sha256 = submit(run, "x")
    noted, _ = note_score(run, "50")
    mark_latest(run)
    code, out, _ = runs("--json")
    assert code == 0
    found = json.loads(out)
    [one] = found["runs"]
    assert one["manifest"] == json.loads(run.manifest_path.read_text(encoding="utf-8"))
    assert one["fields"]["train.learning_rate"] == 2e-4
    assert one["submissions"][0]["sha256"] == sha256
    assert one["leaderboard_scores"] == [noted.model_dump()]
    assert one["compared"] == str(path)
    assert (one["name"], one["path"], one["latest"], one["state"]) == ("a", "runs/a", True, "finished")
    assert one["scores"] == [
        {
            "path": str(path),
            "engine": "vllm",
            "data": "dev.csv",
            "data_sha256": DEV,
            **dict.fromkeys(("rouge1", "rouge2", "rougeL", "final"), 47.5),
            "interval": {"low": 46.0, "high": 49.0},
            "signature": SIGNATURE,
            "scored": "2026-03-02T12:00:00+00:00",
        }
    ]
    assert found["agreement"]["runs"] == [{"name": "a", "local": 47.5, "leaderboard": 50.0}]
    assert found["agreement"]["spearman"] is None
    for name in ("a", "latest", "runs/a"):
        assert json.loads(runs(name, "--json")[1]) == one


def test_a_run_elsewhere_is_shown(in_tmp: Path) -> None:
    run = make("요약_실험-1")
    give_score(run, 40, data="자료/검증.csv")
    (in_tmp / "old").mkdir()
    run.path.rename(in_tmp / "old" / "요약_실험-1")
    code, out, _ = runs("old/요약_실험-1")
    assert code == 0
    assert "old/요약_실험-1" in out
    assert "자료/검증.csv" in out


def test_no_runs_at_all(in_tmp: Path) -> None:
    said = "runs: no runs here; make one: llm-summ sft recipes/qlora.yaml\n"
    assert runs() == (0, "", said)
    RUNS.mkdir()
    assert runs() == (0, "", said)
    code, out, _ = runs("--json")
    assert code == 0
    assert json.loads(out)["runs"] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", snapshot("runs: no recipe.yaml; expected a folder made by `llm-summ sft`")),
        (".", snapshot("runs: no recipe.yaml; expected a folder made by `llm-summ sft`")),
        ("..", snapshot("runs/..: no recipe.yaml; expected a folder made by `llm-summ sft`")),
        ("notes", snapshot("runs/notes: no recipe.yaml; expected a folder made by `llm-summ sft`")),
    ],
)
def test_a_folder_that_is_no_run_is_not_shown(in_tmp: Path, name: str, message: str) -> None:
    make("a")
    (RUNS / "notes").mkdir()
    with raises(RunError) as error:
        runs(name)
    assert error.message == message


def test_a_run_that_is_not_there(in_tmp: Path) -> None:
    make("lr1e-4")
    (RUNS / "notes").mkdir()
    with raises(RunError) as error:
        runs("lr1e4")
    assert error.message == snapshot("runs lr1e4: no such run in runs; did you mean lr1e-4?")
    with raises(RunError) as error:
        runs("--add-lb", "zzz", "50")
    assert error.message == snapshot("--add-lb zzz: no such run in runs; runs here: lr1e-4")


def test_a_score_file_may_hold_more(in_tmp: Path) -> None:
    path = give_score(make("a"), 40)
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"of tomorrow": [1]})
    assert entry("a").state == "finished"
