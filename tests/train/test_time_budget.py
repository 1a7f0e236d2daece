"""A budget of time: how many steps fit, and that a resumption keeps them."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_summ.core.errors import RunError
from llm_summ.recipe import load_recipe
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run
from llm_summ.train.time_budget import FixedSteps, at_evaluation, fitting

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]


@pytest.mark.parametrize(
    ("left", "interval", "done", "expected"),
    [
        # Steps of 10 s, evaluations of 25 s; the last step always has one.
        (1000, 0, 0, (20, 1)),  # all of them: 200 + 25
        (225, 0, 0, (20, 1)),
        (224, 0, 0, (19, 1)),
        (100, 0, 0, (7, 1)),  # 70 + 25
        (100, 4, 0, (5, 2)),  # 50 + 25 after step 4, 25 after step 5
        (95, 4, 0, (4, 1)),  # step 4 is the last: one evaluation
        (100, 4, 3, (8, 2)),  # 50 for steps 4 to 8; evaluations after 4 and 8
        (20, 0, 3, (3, 0)),  # no further step fits
        (-5, 4, 3, (3, 0)),
    ],
)
def test_steps_that_fit(left: float, interval: int, done: int, expected: tuple[int, int]) -> None:
    steps = [10.0] * (20 - done)
    assert fitting(left, steps, evaluation=25, interval=interval, done=done) == expected


@pytest.mark.parametrize(
    ("steps", "interval", "done", "expected"),
    [
        (33, 32, 4, 32),  # one step more would cost an evaluation
        (40, 32, 4, 32),
        (41, 32, 4, 41),
        (32, 32, 4, 32),
        (33, 32, 32, 33),  # the evaluation at 32 was made
        (20, 32, 4, 20),
        (7, 32, 3, 7),  # nothing would be left
        (33, 0, 4, 33),
    ],
)
def test_a_training_ends_at_an_evaluation(steps: int, interval: int, done: int, expected: int) -> None:
    assert at_evaluation(steps, interval, done) == expected


@given(
    st.lists(st.floats(0.1, 50), max_size=40),
    st.floats(0, 500),
    st.floats(0, 60),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_no_step_more_would_fit(
    steps: list[float], left: float, evaluation: float, interval: int, done: int
) -> None:
    found, evaluations = fitting(left, steps, evaluation=evaluation, interval=interval, done=done)

    def needed(last: int) -> float:
        within = {step for step in range(done + 1, last + 1) if interval and step % interval == 0} | {last}
        return sum(steps[: last - done]) + len(within) * evaluation

    assert done <= found <= done + len(steps)
    if found > done:
        assert needed(found) <= left + 1e-6
        within = {step for step in range(done + 1, found + 1) if interval and step % interval == 0} | {found}
        assert evaluations == len(within)
    if found < done + len(steps):
        assert needed(found + 1) > left - 1e-6


def test_stages_of_a_training_whose_steps_were_fixed_twice() -> None:
    once = FixedSteps(30, 8, 4, 64)
    twice = FixedSteps(40, 8, 15, 64, ((4, 30),))
    assert once.stages() == [(4, 64), (math.inf, 30)]
    assert twice.stages() == [(4, 64), (15, 30), (math.inf, 40)]
    for fixed in (once, twice):
        stored = json.loads(json.dumps(Manifest(budget=fixed.to_manifest(5)).to_json()))
        assert stored["budget"]["minutes"] == 5
        assert FixedSteps.of(Manifest.model_validate(stored)) == fixed


@pytest.mark.parametrize(
    "found", [7, "many", {"steps": 3}, {"steps": "x", "rows": 1, "fixed_at": 1, "all_steps": 9}]
)
def test_a_damaged_manifest_is_a_line(tmp_path: Path, found: Any) -> None:
    run = Run(tmp_path)
    run.manifest_path.write_text(json.dumps({"budget": found}), encoding="utf-8")
    with pytest.raises(RunError, match=r"^[^\n]*manifest\.json: budget[^\n]*$"):
        run.manifest()


RECIPE = """
model: {base: ./tiny, quantization: none}
data: {train: 'sample:train', dev: 'sample:dev'}
prompt: {max_prompt_tokens: 200}
lora: {r: 4, dropout: 0.1}
train:
  {epochs: 100, learning_rate: 2e-3, batch_size: 2, warmup_ratio: 0.1, save_steps: 5, keep_checkpoints: 99,
   max_minutes: 0.3}
evaluation: {every: 25, rows: 4}
generate: {max_new_tokens: 2}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    import llm_summ.train.model_and_trainer  # noqa: F401  no budget is spent on imports

    folder = tmp_path_factory.mktemp("budget")
    (folder / "tiny").symlink_to(tiny_model)
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


def log_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def cut_after(whole: Path, name: str, last: int) -> None:
    """Copy a run as a kill leaves it: everything up to the checkpoint of step `last`, 0: none, and no result."""
    copy = whole.with_name(name)
    shutil.copytree(whole, copy)
    shutil.rmtree(copy / "adapter")
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    del manifest["training"]
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for checkpoint in (copy / "checkpoints").iterdir():
        if int("".join(filter(str.isdigit, checkpoint.name))) > last:
            shutil.rmtree(checkpoint)


def assert_the_same(run: Path, whole: Path) -> None:
    assert log_of(run) == log_of(whole)
    weights = [(one / "adapter" / "adapter_model.safetensors").read_bytes() for one in (run, whole)]
    assert weights[0] == weights[1]
    fixed = [FixedSteps.of(Run(one).manifest()) for one in (run, whole)]
    assert fixed[0] == fixed[1]


def test_what_was_found_first_does_not_hold(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Fixed after step 4, and again after step 8; a kill after that resumes to the same end.

    The last checkpoint is the one between the two, or there is none.
    """
    from llm_summ.train import time_budget
    from llm_summ.train.job import resume, sft

    found = {4: FixedSteps(30, 4, 4, 6400), 8: FixedSteps(20, 4, 8, 6400, ((4, 30),))}
    monkeypatch.chdir(folder)
    settings = ["train.save_steps=5", "evaluation.every=10"]
    with monkeypatch.context() as patch:
        patch.setattr(time_budget.TimeBudget, "is_due", lambda self: self._steps in found)
        patch.setattr(time_budget.TimeBudget, "fix", lambda self, step, paused, may_shrink: found[step])
        whole = sft(
            load_recipe(Path("recipe.yaml"), settings), runs=Path("runs"), name="twice", stem="recipe"
        ).run.path
    err = capfd.readouterr().err
    assert "30 of 6400 steps fit into 0.3 minutes" in err
    assert "20 of 6400 steps fit into 0.3 minutes" in err
    manifest = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))
    assert FixedSteps.of(Manifest.model_validate(manifest)) == found[8]
    rates = [line["learning_rate"] for line in log_of(whole) if "loss" in line]
    assert len(rates) == 20
    assert rates[-1] < 0.1 * max(rates)
    for name, last in (("between", 5), ("before", 0)):
        cut_after(whole, name, last)
        assert_the_same(resume(Path("runs"), name).run.path, whole)


def test_a_budget_is_kept_and_a_resumption_ends_with_the_same_adapter(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from llm_summ.train.job import resume, sft

    monkeypatch.chdir(folder)
    whole = sft(load_recipe(Path("recipe.yaml"), []), runs=Path("runs"), name="whole", stem="recipe").run.path
    manifest = json.loads((whole / "manifest.json").read_text(encoding="utf-8"))
    fixed = FixedSteps.of(Manifest.model_validate(manifest))
    assert fixed is not None
    assert manifest["budget"]["minutes"] == 0.3
    assert fixed.all_steps == 100 * 64
    assert 3 <= fixed.fixed_at < fixed.steps < fixed.all_steps
    assert manifest["training"]["steps"] == fixed.steps
    assert f"{fixed.steps} of {fixed.all_steps} steps fit into 0.3 minutes" in capfd.readouterr().err
    # The learning rate ends at its end, though the number of steps was not known at the beginning.
    rates = [line["learning_rate"] for line in log_of(whole) if "loss" in line]
    assert len(rates) == fixed.steps
    assert rates[-1] < 0.1 * max(rates)
    settled = rates[max(fixed.fixed_at + 1, fixed.steps // 2) :]
    assert all(later <= earlier for earlier, later in itertools.pairwise(settled))

    last = next(step for step in range(5, fixed.steps, 5) if step >= fixed.fixed_at)
    cut_after(whole, "middle", last)
    assert_the_same(resume(Path("runs"), "middle").run.path, whole)


def test_a_training_that_fits_is_not_shortened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from llm_summ.check.job import check_recipe
    from llm_summ.train.time_budget import TimeBudget, by_tokens

    monkeypatch.chdir(folder)
    plan = check_recipe(load_recipe(Path("recipe.yaml"), ["train.max_steps=9", "evaluation.every=8"])).plan
    began = time.monotonic()
    budget = TimeBudget(600, began, plan, by_tokens(plan), [], [])
    for step in range(1, 5):
        budget.note_step(step, 0.0)
    assert budget.fix(4, 0.0, may_shrink=True) == FixedSteps(9, 0, 4, 9)
