"""Manifests of every version: what is known is typed, what is not is kept, and nothing is made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import RunError
from llm_summ.runs.manifest import Budget, DataPart, Manifest, Resumption, TrainingResult
from llm_summ.runs.run import Run

STORED: dict[str, Any] = {
    "started": "2026-03-01T10:00:00+00:00",
    "seed": 42,
    "device": {"kind": "cuda", "name": "H100", "dtype": "bfloat16"},
    "data": {"train": {"rows": 3, "sha256": {"train.csv": "a"}}},
    "git": None,
    "later": {"field": [1, {"a": None}]},
    "budget": {"minutes": 5.0, "steps": 9, "rows": 4, "fixed_at": 3, "all_steps": 99, "earlier": [[2, 8]]},
    "training": {"steps": 9, "last_loss": None, "later": 1.5},
}


def stored(run: Run) -> Any:
    return json.loads(run.manifest_path.read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.manifest_path.write_text(json.dumps(STORED), encoding="utf-8")
    return run


def test_a_manifest_is_written_as_it_was_read(run: Run) -> None:
    run.write_manifest(run.manifest())
    assert stored(run) == STORED


def test_what_a_manifest_lacks_has_a_default(run: Run) -> None:
    manifest = run.manifest()
    assert manifest.device is not None
    assert manifest.training is not None
    assert (manifest.device.count, manifest.resumed, manifest.kept, manifest.prompt) == (1, [], None, None)
    assert (manifest.training.picked_score, manifest.training.steps) == (None, 9)
    assert manifest.budget is not None
    assert manifest.budget.earlier == ((2, 8),)
    assert (Manifest().is_finished, manifest.is_finished) == (False, True)


def test_what_is_set_is_written_under_its_key(run: Run) -> None:
    manifest = Manifest(data={"dev": DataPart(rows=1, sha256={"dev.csv": "b"})})
    manifest.kept = {}
    manifest.resumed = [*manifest.resumed, Resumption(at="now", step=3)]
    manifest.budget = Budget(minutes=1.0, steps=1, rows=2, fixed_at=3, all_steps=4)
    manifest.training = TrainingResult(steps=4, picked_step=2, picked_score=31.5)
    run.write_manifest(manifest)
    assert stored(run) == {
        "data": {"dev": {"rows": 1, "sha256": {"dev.csv": "b"}}},
        "kept": {},
        "resumed": [{"at": "now", "step": 3}],
        "budget": {"minutes": 1.0, "steps": 1, "rows": 2, "fixed_at": 3, "all_steps": 4},
        "training": {"steps": 4, "picked_step": 2, "picked_score": 31.5},
    }


def test_the_first_versions_had_one_file_of_each_part() -> None:
    manifest = Manifest.model_validate({"data": {"train": {"source": "t.csv", "rows": 3, "sha256": "a"}}})
    assert manifest.data["train"].sha256 == {"t.csv": "a"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "{",
            snapshot("…/manifest.json: cannot be read (…); put it back, or train the run again"),
        ),
        ("[]", snapshot("…/manifest.json: found list, expected an object; put it back, or train the run again")),
        (
            '{"training": 3}',
            snapshot(
                "…/manifest.json: training: Input should be a valid dictionary or instance of TrainingResult; put "
                "it back, or train the run again"
            ),
        ),
        (
            '{"training": {"steps": "many"}}',
            snapshot(
                "…/manifest.json: training.steps: Input should be a valid integer, unable to parse string as an "
                "integer; put it back, or train the run again"
            ),
        ),
        (
            '{"resumed": [{"at": "now"}]}',
            snapshot("…/manifest.json: resumed.entry 1.step: Field required; put it back, or train the run again"),
        ),
    ],
)
def test_a_damaged_manifest_is_one_line(run: Run, content: str, message: str) -> None:
    run.manifest_path.write_text(content, encoding="utf-8")
    with raises(RunError) as error:
        run.manifest()
    assert error.message == message
