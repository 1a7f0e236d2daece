"""A training without a check: the same adapter, and no memory estimate or search for leaks before it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from messages import raises

from llm_summ.core.errors import InputError
from llm_summ.data import read_dialogues
from llm_summ.recipe import load_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

RECIPE = """
model: {base: ./tiny}
data: {train: train.csv, dev: train.csv}
prompt: {max_prompt_tokens: 300}
lora: {r: 4, dropout: 0.1}
train: {max_steps: 2, learning_rate: 1e-2, batch_size: 4, micro_batch_size: 2}
evaluation: {every: never}
generate: {max_new_tokens: 12}
"""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[None]:
    """A folder with a recipe and its data, in which the tests run."""
    folder = tmp_path_factory.mktemp("unchecked")
    before = Path.cwd()
    os.chdir(folder)
    Path("tiny").symlink_to(tiny_model)
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    rows = [[one.id, one.text, one.references[0]] for one in read_dialogues("sample:train")[:8]]
    with Path("train.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["fname", "dialogue", "summary"], *rows])
    yield
    os.chdir(before)


def test_the_adapter_is_the_same_and_nothing_is_estimated_or_searched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from llm_summ.train.job import resume, sft

    recipe, runs = load_recipe(Path("recipe.yaml")), Path("runs")
    checked = sft(recipe, runs=runs, name="checked", stem="recipe").run
    shown = capsys.readouterr().err
    assert "memory    about" in shown
    assert "8 dialogues are in train as well" in shown
    unchecked = sft(recipe, runs=runs, name="unchecked", stem="recipe", check=False).run
    shown = capsys.readouterr().err
    assert "memory" not in shown
    assert "in train as well" not in shown
    adapters = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (checked, unchecked)]
    assert adapters[0] == adapters[1]
    # Its result was not written: it resumes from its last checkpoint, unchecked as well.
    manifest = json.loads(unchecked.manifest_path.read_text(encoding="utf-8"))
    del manifest["training"]
    unchecked.manifest_path.write_text(json.dumps(manifest), encoding="utf-8")
    run = resume(runs, "unchecked", check=False).run
    assert (run.adapter / "adapter_model.safetensors").read_bytes() == adapters[0]


def test_what_no_training_can_do_is_refused_all_the_same() -> None:
    from llm_summ.train.job import sft

    overrides = ["prompt.max_prompt_tokens=20", "prompt.truncation=error"]
    recipe = load_recipe(Path("recipe.yaml"), overrides)
    with raises(InputError) as error:
        sft(recipe, runs=Path("runs"), name="refused", stem="recipe", check=False)
    assert error.message == snapshot(
        "train.csv: 8 rows, the first: prompt of 329 tokens, at most 20 allowed; raise "
        "prompt.max_prompt_tokens or set prompt.truncation to middle (train_0, train_1, train_2, train_3, "
        "train_4, train_5, train_6, train_7)\n"
        "train.csv: 8 rows, the first: prompt of 329 tokens, at most 20 allowed; raise "
        "prompt.max_prompt_tokens or set prompt.truncation to middle (train_0, train_1, train_2, train_3, "
        "train_4, train_5, train_6, train_7)\n"
        "no training row is left"
    )
    assert not Path("runs/refused").exists()


def test_without_an_estimate_auto_is_one_row_at_a_time() -> None:
    from llm_summ.plan.training_setup import set_up

    sizes = {
        asked: set_up(load_recipe(Path("recipe.yaml"), [f"train.micro_batch_size={asked}"]), None).micro_batch_size
        for asked in ("auto", 3, 64)
    }
    assert sizes == {"auto": 1, 3: 3, 64: 4}
