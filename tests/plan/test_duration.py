"""How long a training will take, before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_summ.models.duration import ModelSize
from llm_summ.models.machine_speed import MachineSpeed
from llm_summ.plan.duration import quickest_micro_batch
from llm_summ.prompt import TokenizedExample
from llm_summ.recipe import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:::transformers", "ignore:::torch")]


def recipe(base: Path | str, train: dict[str, Any], **sections: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "model": {"base": str(base), "quantization": "none"},
            "data": {"train": "sample:train", "dev": "sample:dev"},
            "train": train,
            **sections,
        }
    )


def test_the_estimate_grows_with_the_work(tiny_model: Path) -> None:
    from llm_summ.check.job import check_recipe

    def seconds(train: dict[str, Any], **sections: Any) -> dict[str, float]:
        report = check_recipe(recipe(tiny_model, train, **sections))
        assert not report.failures
        assert set(report.to_json()["seconds"]) == {"training", "evaluations"}
        assert report.setup.time is not None
        steps, evaluations = report.setup.time.total(report.plan)  # not corrected by earlier trainings
        return {"steps": steps, "evaluations": evaluations}

    once = seconds({"epochs": 1, "batch_size": 4})
    twice = seconds({"epochs": 2, "batch_size": 4})
    alone = seconds({"epochs": 1, "batch_size": 4}, evaluation={"every": "never"})
    assert twice["steps"] == pytest.approx(2 * once["steps"], rel=1e-6)
    assert twice["evaluations"] == pytest.approx(2 * once["evaluations"], rel=1e-6)
    assert alone == {"steps": pytest.approx(once["steps"]), "evaluations": 0.0}


def test_the_line_says_what_a_limit_of_time_cuts(tiny_model: Path) -> None:
    from llm_summ.check.job import check_recipe

    def line(minutes: float | None) -> str:
        report = check_recipe(recipe(tiny_model, {"epochs": 1, "batch_size": 4, "max_minutes": minutes}))
        return next(line for line in report.lines() if line.startswith("time "))

    assert line(None).startswith("time      about ")
    assert "on this machine" in line(None)
    assert line(1000) == line(None)
    assert line(1e-6).startswith("time      1e-06 minutes (train.max_minutes); all 32 steps would take about ")


@pytest.mark.parametrize(
    ("lengths", "most", "expected"),
    [
        ([300] * 64, 50.0, 8),  # nothing is padded: the fewer micro batches, the less is dequantized
        ([300] * 64, 200.0, 8),
        ([10, 2000, 4000, 8000] * 16, 50.0, 1),  # what is saved is lost on padding
    ],
)
def test_the_quickest_micro_batch(lengths: list[int], most: float, expected: int) -> None:
    rows = [TokenizedExample(str(at), tuple(range(length - 1)), (), 2) for at, length in enumerate(lengths)]
    asked = recipe("unused", {"batch_size": 8, "group_by_length": False})
    size = ModelSize(100_000_000, 168_000_000)
    found = quickest_micro_batch(asked, rows, size, MachineSpeed("a CPU", 2, 50.0, most, 25.0, 33.0))
    assert found == expected
