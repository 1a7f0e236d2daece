"""A training that begins with the adapter of another run (`train.from_run`)."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import lines_with, plain, raises

from llm_summ.core.errors import InputError, RunError
from llm_summ.data import read_dialogues
from llm_summ.recipe import load_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

RECIPE = """
model: {base: ./tiny}
data: {train: train.csv}
prompt: {max_prompt_tokens: 300}
lora: {r: 4, dropout: 0.1}
train: {max_steps: 2, learning_rate: 1e-2, batch_size: 4}
evaluation: {every: never}
generate: {max_new_tokens: 12}
"""


def train(name: str, *overrides: str) -> Any:
    from llm_summ.train.job import sft

    return sft(load_recipe(Path("recipe.yaml"), overrides), runs=Path("runs"), name=name, stem="recipe")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Path]:
    """A folder with a finished run, in which the tests run."""
    folder = tmp_path_factory.mktemp("from-run")
    before = Path.cwd()
    os.chdir(folder)
    Path("tiny").symlink_to(tiny_model)
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    rows = [[one.id, one.text, one.references[0]] for one in read_dialogues("sample:train")[:8]]
    with Path("train.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["fname", "dialogue", "summary"], *rows])
    train("first")
    yield folder
    os.chdir(before)


def weights(name: str) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(Path("runs") / name / "adapter" / "adapter_model.safetensors"))


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path("runs") / name / "manifest.json").read_text(encoding="utf-8"))
    return found


def test_it_begins_where_the_other_ended(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    # Steps that change nothing: what comes out is what went in.
    train("same", "train.from_run=first", "train.learning_rate=1e-30", "lora.dropout=0.0")
    first, same = weights("first"), weights("same")
    assert first.keys() == same.keys()
    for name, weight in first.items():
        torch.testing.assert_close(same[name], weight, rtol=0, atol=0)
    begun = manifest("same")["from_run"]
    assert begun == {"run": "runs/first", "adapter_sha256": manifest("first")["training"]["adapter_sha256"]}
    err = capsys.readouterr().err
    assert lines_with(err, "runs/first/adapter") == snapshot(
        "base      ./tiny, nf4; LoRA r 4, alpha 32, from runs/first/adapter\nBeginning with runs/first/adapter"
    )
    result = train("second", "train.from_run=runs/first", "lora.dropout=0.0")
    assert (result.run.name, result.steps, result.picked_step, result.score) == ("second", 2, 2, None)
    assert result.seconds > 0
    assert any(not torch.equal(weights("second")[name], weight) for name, weight in first.items())


def test_a_resumption_without_a_checkpoint_begins_with_the_same_adapter(tmp_path: Path) -> None:
    from llm_summ.train.job import resume

    # A training that a kill ended before its first checkpoint: recipe, prompt and manifest are there.
    train("stopped", "train.from_run=first")
    train("whole", "train.from_run=first")
    run = Path("runs/stopped")
    expected = manifest("stopped").pop("training")["adapter_sha256"]
    assert expected == manifest("whole")["training"]["adapter_sha256"]
    for path in ("checkpoints", "adapter"):
        (run / path).rename(tmp_path / path)
    begun = {name: value for name, value in manifest("stopped").items() if name != "training"}
    (run / "manifest.json").write_text(json.dumps(begun), encoding="utf-8")
    other = begun | {"from_run": begun["from_run"] | {"adapter_sha256": "0" * 64}}
    (run / "manifest.json").write_text(json.dumps(other), encoding="utf-8")
    with raises(RunError) as error:
        resume(Path("runs"), "stopped")
    assert error.message == snapshot(
        "runs/first/adapter: was changed after the training of runs/stopped began; restore it, or start a new run"
    )
    (run / "manifest.json").write_text(json.dumps(begun), encoding="utf-8")
    resume(Path("runs"), "stopped")
    assert manifest("stopped")["training"]["adapter_sha256"] == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["lora.r=8"],
            snapshot(
                "train.from_run: first: its adapter has lora.r 4, found 8 in the recipe; set the same values"
            ),
        ),
        (
            ["lora.alpha=8", "lora.targets=[q_proj]"],
            snapshot(
                "train.from_run: first: its adapter has lora.alpha 32, lora.targets all-linear, found 8, "
                "['q_proj'] in the recipe; set the same values"
            ),
        ),
        (
            ["model.base=./other"],
            snapshot(
                "train.from_run: first: its base is ./tiny, found ./other (or other files under that name) in the "
                "recipe; an adapter only fits the base that it was trained on: set model.base to that one"
            ),
        ),
        (["train.from_run=frist"], snapshot("train.from_run frist: no such run in runs; did you mean first?")),
        (
            ["train.from_run=begun"],
            snapshot(
                "train.from_run: runs/begun: no adapter; its training did not finish; train it again, or choose "
                "another run with --run"
            ),
        ),
    ],
)
def test_another_base_or_shape_is_refused(
    folder: Path, tiny_model: Path, overrides: list[str], message: str, tmp_path: Path
) -> None:
    import shutil

    from llm_summ.check.job import check_recipe

    if not Path("other").exists():
        shutil.copytree(tiny_model, "other")
        config = json.loads(Path("other/config.json").read_text(encoding="utf-8"))
        Path("other/config.json").write_text(json.dumps(config | {"rope_theta": 5000.0}), encoding="utf-8")
    if not Path("runs/begun").exists():
        shutil.copytree("runs/first", "runs/begun", ignore=shutil.ignore_patterns("adapter", "checkpoints"))
    overrides = ["train.from_run=first", *overrides]
    with pytest.raises(InputError) as error:
        train("refused", *overrides)
    [line] = str(error.value).splitlines()
    assert plain(line) == message
    assert not Path("runs/refused").exists()
    assert check_recipe(load_recipe(Path("recipe.yaml"), overrides)).failures == [line]
