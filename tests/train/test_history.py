"""Which checkpoint is the best, when to stop, and what is left of a log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_summ.recipe import EvaluationFields
from llm_summ.train.history import Evaluated, cut_log, evaluations, pick, stops_early, table


def evaluated(step: int, score: float, loss: float = 1.0) -> Evaluated:
    return Evaluated(step, step / 10, loss, score, score, score, score, 0, 8)


def fields(**given: object) -> EvaluationFields:
    return EvaluationFields.model_validate(given)


def test_the_best_is_the_first_of_the_highest_scores_or_of_the_lowest_losses() -> None:
    found = [
        evaluated(10, 30.0, 1.5),
        evaluated(20, 32.0, 1.4),
        evaluated(30, 32.0, 1.2),
        evaluated(40, 31.0, 1.2),
    ]
    assert pick(found, fields(pick="score")) == 20
    assert pick(found, fields(pick="loss")) == 30
    assert pick(found, fields(pick="last")) == 40
    assert pick([], fields()) is None


@pytest.mark.parametrize(
    ("scores", "patience", "min_gain", "stops"),
    [
        ([30.0, 31.0, 32.0], 1, 0.0, False),
        ([30.0, 30.0], 1, 0.0, True),
        ([30.0, 29.0], 2, 0.0, False),
        ([30.0, 29.0, 28.0], 2, 0.0, True),
        ([30.0, 29.0, 31.0, 28.0], 2, 0.0, False),
        # 30.3 betters the best by less than is asked for, and so does 30.4: the best stays 30
        ([30.0, 30.3, 30.4], 2, 0.5, True),
        ([30.0, 30.3, 30.5], 2, 0.5, False),
        ([30.0], 1, 0.0, False),
        ([30.0, 1.0, 1.0], None, 0.0, False),
    ],
)
def test_early_stopping(scores: list[float], patience: int | None, min_gain: float, stops: bool) -> None:
    found = [evaluated(step, score) for step, score in enumerate(scores, 1)]
    assert stops_early(found, fields(patience=patience, min_gain=min_gain)) is stops


def test_early_stopping_by_loss_looks_at_the_loss() -> None:
    found = [evaluated(1, 30.0, 1.0), evaluated(2, 31.0, 1.1)]
    assert stops_early(found, fields(patience=1, pick="loss"))
    assert not stops_early(found, fields(patience=1, pick="score"))


LINES = [
    {"step": 1, "epoch": 0.5, "loss": 3.0, "tokens": 10, "seconds": 1.5},
    {"step": 2, "epoch": 1.0, "loss": 2.0, "tokens": 20, "seconds": 2.5},
    {
        **{"step": 2, "epoch": 1.0, "dev_loss": 2.5, "dev_score": 9.0, "dev_rouge1": 8.0, "dev_rouge2": 9.0},
        **{"dev_rougeL": 10.0, "dev_by_length": 1, "dev_rows": 4, "seconds": 3.0},
    },
    {"step": 3, "epoch": 1.5, "loss": 1.0, "tokens": 30, "seconds": 4.5},
]


def test_a_log_is_cut_after_a_step(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in LINES) + '{"step": 4, "lo', encoding="utf-8")
    assert [one.step for one in evaluations(log)] == [2]
    assert cut_log(log, 2) == LINES[1] | LINES[2]
    assert [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] == LINES[:3]
    assert cut_log(log, 0) == {}
    assert log.read_text(encoding="utf-8") == ""
    assert cut_log(tmp_path / "none.jsonl", 5) == {}


def test_the_table_says_what_each_way_of_picking_takes() -> None:
    found = [evaluated(10, 30.0, 1.1), evaluated(20, 32.0, 1.3), evaluated(30, 31.0, 1.2)]
    lines = table(found, fields(pick="score"))
    assert [line.split("  best by ")[1:] for line in lines] == [[], ["loss"], ["score  <- kept"], ["last"]]
    assert lines[2].split()[:3] == ["20", "2.00", "1.3000"]
    assert "32.00" in lines[2]
