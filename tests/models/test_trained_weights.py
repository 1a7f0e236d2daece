"""Which weights are trained: the one place that knows what follows from a recipe's choice."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from llm_summ.models.trained_weights import FULL, LORA, trained_weights, weights_folder
from llm_summ.recipe import DataFields, LoraFields, ModelFields, Recipe, TrainFields, WeightsName
from llm_summ.runs.run import Run

PACKAGE = Path(__file__).parents[2] / "llm_summ"


@pytest.mark.parametrize("name", get_args(WeightsName))
def test_every_choice_of_a_recipe_has_its_weights(name: WeightsName) -> None:
    recipe = Recipe(
        model=ModelFields(base="x/y", quantization="none"),
        data=DataFields(train="train.csv"),
        train=TrainFields(weights=name),
    )
    assert trained_weights(recipe).name == name


def test_what_is_said_of_an_adapter() -> None:
    assert LORA.describe(LoraFields(r=8, alpha=16)) == "LoRA r 8, alpha 16"
    plus = LoraFields(r=8, alpha=16, rslora=True, init="eva", learning_rate_ratio=16)
    assert LORA.describe(plus) == "rsLoRA r 8, alpha 16, EVA, LoRA+ 16"
    assert FULL.describe(plus) == "all weights are trained"


def test_weights_that_are_trained_are_stored_in_float32() -> None:
    assert (LORA.stored_dtype("bfloat16"), FULL.stored_dtype("bfloat16")) == ("bfloat16", "float32")


def test_the_folder_of_a_run_whose_recipe_cannot_be_read(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert weights_folder(run, "lora") == run.adapter
    assert weights_folder(run, "full") == weights_folder(run, None) == run.model
    run.adapter.mkdir()
    assert weights_folder(run, None) == run.adapter


def test_few_modules_compare_the_name() -> None:
    """The name is compared in the recipe's rules, in `trained_weights`, and nowhere else."""
    comparing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and "train.weights" in ast.unparse(node):
                comparing.add(path.relative_to(PACKAGE).as_posix())
    assert comparing <= {"recipe/fields.py", "models/trained_weights.py"}
