"""Runs in every state are listed, with the reason for what is not whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_runs import DEV, SIGNATURE, entry, give_score, lines, make, names, recipe, runs, table

from llm_summ.core.files import write_json
from llm_summ.ledger import listing, read_ledger, run_page
from llm_summ.recipe import bundled_dir, dump_recipe, load_recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import RUNS, create_run

SCORE = {
    "data": "dev.csv",
    "data_sha256": DEV,
    "scored": "2026-03-02T12:00:00+00:00",
    "signature": SIGNATURE,
    **dict.fromkeys(("rouge1", "rouge2", "rougeL", "final"), 40),
}


def test_a_training_that_has_not_ended(in_tmp: Path) -> None:
    make("a", trained=False)
    assert entry("a").state == "unfinished"
    assert table() == [("run", "finished (UTC)"), ("a", "unfinished")]
    assert "a: unfinished: stopped, or still training; see runs/a/log.jsonl" in lines()


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("manifest.json", "{", ": cannot be read (Expecting property name enclosed in double"),
        ("manifest.json", "[]", ": found list, expected an object"),
        ("manifest.json", None, ": cannot be read ("),
        ("recipe.yaml", "a: [", ": not a recipe in YAML ("),
        ("recipe.yaml", "- a", ": not a recipe in YAML ("),
        ("scores/dev.hf.json", "", ": not a valid score (Expecting value"),
        (
            "scores/dev.hf.json",
            "[]",
            ": not a valid score (found list, expected an object); score it again",
        ),
        ("scores/dev.hf.json", "{}", ": not a valid score (data: Field required); score it again: "),
        ("scores/dev.hf.json", json.dumps(SCORE | {"final": 101}), ": not a valid score (final: Input sh"),
        (
            "scores/dev.hf.json",
            json.dumps(SCORE | {"final": True}),
            ": not a valid score (final: Input sh",
        ),
        (
            "scores/dev.hf.json",
            json.dumps(SCORE | {"final": float("nan")}),
            ": not a valid score (final: ",
        ),
        ("leaderboard.json", "[", ": Invalid JSON: EOF while parsing a list"),
        (
            "leaderboard.json",
            "{}",
            ": Input should be a valid array; expected a list of objects with score, noted",
        ),
        ("leaderboard.json", "[1]", ": entry 1: "),
        ("leaderboard.json", '[{"score": "5", "noted": ""}]', ": entry 1.score: Input should be a valid number"),
        (
            "leaderboard.json",
            '[{"score": 101, "noted": ""}]',
            ": entry 1.score: Input should be less than or equal",
        ),
        ("leaderboard.json", '[{"score": 5, "noted": 1}]', ": entry 1.noted: Input should be a valid string"),
        ("submissions.jsonl", "[1]\n", ":1: found list; expected a JSON object a line"),
        ("submissions.jsonl", "{}\n", ":1: written: Field required; fix the line or remove it"),
    ],
)
def test_a_damaged_run_is_listed_with_the_reason(
    in_tmp: Path, file: str, content: str | None, reason: str
) -> None:
    path = make("a").path / file
    give_score(make("b", hour=1), 40)
    path.parent.mkdir(exist_ok=True)
    if content is None:
        path.unlink()
    else:
        path.write_text(content, encoding="utf-8")
    damaged = entry("a")
    assert damaged.state == "damaged"
    assert len(damaged.reasons) == 1
    assert damaged.reasons[0].startswith(f"runs/a/{file}{reason}"), damaged.reasons
    assert ("b", "40.00") in [row[:2] for row in table()]
    assert f"a: damaged: {damaged.reasons[0]}" in lines()
    for arguments in ([], ["--json"], ["a"], ["a", "--json"]):
        code, out, _ = runs(*arguments)
        assert code == 0
        assert "damaged" in out


@pytest.mark.parametrize(
    ("method", "folder", "name"),
    [("lora", "adapter", "adapter_model.safetensors"), ("full", "model", "model.safetensors")],
)
def test_a_run_has_the_weights_of_its_method(in_tmp: Path, method: str, folder: str, name: str) -> None:
    run = make("a", made=recipe(weights=method))
    assert (entry("a").state, entry("a").reasons) == ("finished", ())
    assert entry("a").weights_bytes == 1
    (run.path / folder / "model-00002-of-00002.safetensors").write_bytes(b"\0\0")
    assert entry("a").weights_bytes == 3
    for path in (run.path / folder).iterdir():
        path.unlink()
    said = f"runs/a/{folder}: no weights (*.safetensors), though the training ended"
    assert (entry("a").state, entry("a").reasons, entry("a").weights_bytes) == ("damaged", (said,), None)
    # The weights of the other method do not count.
    other = run.path / ("model" if folder == "adapter" else "adapter")
    other.mkdir()
    (other / name).write_bytes(b"\0")
    assert entry("a").state == "damaged"


def test_a_damaged_recipe_is_the_only_damage_of_a_run_that_was_trained_as_a_whole(in_tmp: Path) -> None:
    run = make("a", made=recipe(weights="full"))
    run.recipe_path.write_text("a: [", encoding="utf-8")
    assert len(entry("a").reasons) == 1
    assert entry("a").weights_bytes == 1


def test_a_torn_record_of_a_submission_is_simply_not_there_yet(in_tmp: Path) -> None:
    run = make("a")
    run.submissions_path.write_text('{"written": "2026', encoding="utf-8")
    assert (entry("a").state, entry("a").submissions) == ("finished", ())


def test_a_folder_that_is_no_run_and_files_beside_runs(in_tmp: Path) -> None:
    make("a", hour=23)
    (RUNS / "notes").mkdir()
    (RUNS / ".trainer.x").mkdir()
    (RUNS / "todo.txt").write_text("", encoding="utf-8")
    os.utime(RUNS / "notes", (0, 0))
    assert names() == ["a", "notes"]
    reason = "notes: damaged: runs/notes: no recipe.yaml; expected a folder made by `llm-summ sft`"
    assert [line for line in lines() if line.startswith("notes")] == [reason]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_run_that_may_not_be_read(in_tmp: Path) -> None:
    path = make("a").path
    path.chmod(0)
    try:
        [found] = read_ledger(RUNS).entries
        assert found.reasons == (
            "runs/a: cannot be read (Permission denied); change its permissions, or ask its owner",
        )
    finally:
        path.chmod(0o755)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PARTS = ("started", "seed", "device", "prompt", "data", "versions", "training")


@settings(deadline=None, max_examples=40)
@given(manifest=st.fixed_dictionaries({}, optional=dict.fromkeys(PARTS, JSON)), inner=JSON, score=JSON)
def test_whatever_json_a_run_holds_it_is_listed(
    tmp_path_factory: pytest.TempPathFactory, manifest: dict[str, Any], inner: Any, score: Any
) -> None:
    run = create_run(tmp_path_factory.mktemp("project") / "runs" / "a", recipe(), "prompt", Manifest())
    nested = {"training": dict.fromkeys(("finished", "seconds", "steps", "adapter_sha256"), inner)}
    write_json(run.manifest_path, nested | {"data": {"train": {"sha256": inner, "rows": inner}}} | manifest)
    write_json(run.scores / "dev.hf.json", SCORE | {"interval": inner, "data": score, "signature": score})
    write_json(run.scores / "dev2.hf.json", score)
    write_json(run.path / "leaderboard.json", score)
    run.submissions_path.write_text(f"{json.dumps(score)}\n", encoding="utf-8")
    ledger = read_ledger(run.path.parent)
    (_, rows), _ = listing(ledger)
    assert [row[0] for row in rows] == ["a"]
    assert run_page(ledger, ledger.entries[0])[0]
    json.dumps(ledger.to_json(), allow_nan=False)


@pytest.mark.parametrize("path", sorted(bundled_dir("recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_fields_are_those_of_the_recipe(in_tmp: Path, path: Path) -> None:
    made = load_recipe(path)
    make("a", made=made)
    fields = entry("a").fields
    left: list[tuple[str, Any]] = list(made.model_dump().items())
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += [(f"{name}.{within}", one) for within, one in value.items()]
        else:
            assert fields[name] == value
    assert dump_recipe(made) == (RUNS / "a" / "recipe.yaml").read_text(encoding="utf-8")
