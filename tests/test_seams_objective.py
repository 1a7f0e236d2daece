"""An objective of another package: installed next to llm-summ, a recipe names it and it trains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import llm_summ, refused
from inline_snapshot import snapshot
from messages import raises
from seams import installed, log_of, own_registry, write_recipe

from llm_summ.core.errors import InputError
from llm_summ.core.objective_registry import OBJECTIVES, ObjectiveSpec
from llm_summ.recipe import TrainFields

pytestmark = pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft")

# All of a package with an objective: every dialogue counts the same, however long its summary is.
TOY = """
from llm_summ.core.objective_registry import ObjectiveSpec
from llm_summ.train.objectives.completion_loss import sft

TOY = ObjectiveSpec("toy", "toy_objective:MeanOfRows")


class MeanOfRows:
    def __init__(self, inputs):
        self.examples, self._whole, self._rows = inputs.examples, sft(inputs), 0

    def length(self, example):
        return len(example)

    def weight(self, example):
        return 1.0

    def prepare(self, model):
        self._whole.prepare(model)

    def loss(self, model, examples):
        self._rows += len(examples) if model.training else 0
        return sum(self._whole.loss(model, [one]) / one.target_tokens for one in examples)

    def log_fields(self):
        rows, self._rows = self._rows, 0
        return {"rows": float(rows)}
"""


@pytest.fixture
def toy(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with installed(OBJECTIVES, "toy_objective", TOY, in_tmp / "site", monkeypatch) as facts:
        yield facts


@pytest.mark.slow
def test_it_trains_by_its_name(toy: Path, tiny_model: Path) -> None:
    recipe = write_recipe(Path("mine.yaml"), tiny_model)
    for name in ("sft", "toy"):
        done = llm_summ("sft", str(recipe), "--run", name, "--set", f"train.objective={name}")
        assert (done.code, done.out) == (0, f"runs/{name}\n"), done.err
    assert [line["objective/rows"] for line in log_of("toy")] == [4, 4]
    assert [line["loss"] for line in log_of("toy")] != [line["loss"] for line in log_of("sft")]
    assert "objective: toy" in Path("runs/toy/recipe.yaml").read_text(encoding="utf-8")
    done = llm_summ("generate", "--run", "toy")
    assert done.code == 0, done.err
    assert "signature" in llm_summ("eval", "dev.csv", "--run", "toy").out


def test_a_recipe_may_name_it(toy: Path) -> None:
    assert TrainFields(objective="toy").objective == "toy"
    write_recipe(Path("mine.yaml"), Path("embedded:gemma-3-270m"), objective="tooy")
    line = refused(llm_summ("check", "mine.yaml"))
    assert line == snapshot(
        "mine.yaml:1: train.objective: found 'tooy', expected 'sft' or 'toy'; did you mean toy?"
    )


def test_a_package_that_is_broken_is_named(toy: Path) -> None:
    (toy / "entry_points.txt").write_text("[llm_summ.objectives]\ntoy = toy_objective:sft\n", encoding="utf-8")
    with raises(InputError) as raised:
        OBJECTIVES.names()
    assert raised.message == snapshot(
        "entry point toy of llm_summ.objectives: objective: found <function sft at 0x…>, "
        "expected an ObjectiveSpec; remove or repair the package that declares it"
    )
    assert OBJECTIVES.get("sft").name == "sft"  # the package's own is known nevertheless


def test_a_program_registers_one(monkeypatch: pytest.MonkeyPatch) -> None:
    own_registry(OBJECTIVES, monkeypatch)
    OBJECTIVES.register(ObjectiveSpec("other", "a:b"))
    assert TrainFields(objective="other").objective == "other"
    with raises(InputError) as raised:
        OBJECTIVES.get("other").load()
    assert raised.message == snapshot(
        "train.objective: other: cannot load a:b (No module named 'a'); expected module:class of an Objective"
    )
    with raises(ValueError) as raised:
        OBJECTIVES.register(ObjectiveSpec("sft", "a:b"))
    assert raised.message == snapshot(
        "objective sft: there is another objective of this name; choose another name"
    )
    with raises(ValueError) as raised:
        OBJECTIVES.register(ObjectiveSpec("my-own", "a:b"))
    assert raised.message == snapshot("objective 'my-own': expected letters, digits and '_', as in file names")
    with raises(ValueError) as raised:
        OBJECTIVES.register("mine")  # type: ignore[arg-type]
    assert raised.message == snapshot("objective: found 'mine', expected an ObjectiveSpec")
