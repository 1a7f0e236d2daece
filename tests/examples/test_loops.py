"""The loops in examples/: a team copies them, so they train what `llm-summ sft` trains, step by step."""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from command_line import llm_summ, run_script
from tiny_seq2seq import make_tiny_seq2seq

import llm_summ as package

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = Path(__file__).parents[2] / "scripts"
LOOPS = ("ignite_loop", "lightning_loop")
RECIPE = """
model: {base: ./tiny, quantization: none, compute_dtype: float32}
data: {train: sample:train, dev: sample:dev, limit: 46}
prompt: {max_prompt_tokens: 200}
lora: {r: 4, dropout: 0.1}
train: {epochs: 3, learning_rate: 1e-2, weight_decay: 0.1, batch_size: 6, micro_batch_size: 4}
evaluation: {every: 12, rows: 4, pick: score}
generate: {max_new_tokens: 24}
"""
STEPS, EPOCH = 24, 8
FULL = ("train.weights=full", "train.learning_rate=2e-3")
ENCODER_DECODER = (*FULL, "prompt.template=dialogue", "generate.beams=2", "evaluation.decoding=recipe")
SETTINGS: dict[str, tuple[str, ...]] = {
    "lora": (),
    "full": FULL,
    "bart": (*ENCODER_DECODER, "model.base=./bart", "train.label_smoothing=0.1"),
    "t5": (*ENCODER_DECODER, "model.base=./t5"),
}

pytestmark = [
    pytest.mark.slow,
    *(
        pytest.mark.filterwarnings(f"ignore:::{name}")
        for name in ("transformers", "trl", "torch", "peft", "lightning", "ignite", "tensorboard")
    ),
]


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loops")
    shutil.copytree(tiny_model, folder / "tiny")
    make_tiny_seq2seq(folder / "bart", "bart")
    make_tiny_seq2seq(folder / "t5", "t5")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parts_of(*overrides: str) -> Any:
    return package.training_parts(package.load_recipe(Path("recipe.yaml"), overrides))


@pytest.fixture(scope="module")
def ours(folder: Path) -> dict[str, tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Log and result of `llm-summ sft`, for each of the settings."""
    found = {}
    for setting, overrides in SETTINGS.items():
        options = [word for override in overrides for word in ("--set", override)]
        done = llm_summ("sft", "recipe.yaml", "--run", setting, *options, cwd=folder)
        assert done.code == 0, done.err
        run = folder / "runs" / setting
        log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
        found[setting] = (log, manifest["training"])
    return found


@pytest.mark.parametrize("name", ["hooks", *LOOPS])
def test_an_example_uses_public_names_only(name: str) -> None:
    tree = ast.parse((EXAMPLES / f"{name}.py").read_text(encoding="utf-8"))
    modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [module for module in modules if module.startswith("llm_summ.")] == []
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "llm_summ"
    }
    assert used <= set(package.__all__)
    private = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr[0] == "_"}
    assert private <= {"__init__", "__doc__"}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", LOOPS)
def test_the_losses_and_the_result_are_those_of_sft(
    here: Path, ours: dict[str, Any], name: str, setting: str
) -> None:
    """Over three epochs, with dropout, weight decay, a warmup, micro batches, and evaluations in between."""
    log, training = ours[setting]
    module, parts = example(name), parts_of(*SETTINGS[setting])
    losses = module.train(parts, here / f"{name}-{setting}")
    expected = [line["loss"] for line in log if "loss" in line]
    assert len(expected) == STEPS
    assert losses == pytest.approx(expected, abs=1e-5)
    assert losses[-1] < losses[0] - 0.3
    metrics = module.evaluate(parts, parts.dev)
    assert metrics["dev_score"] == pytest.approx(training["picked_score"], abs=1e-6)
    [evaluated] = [line for line in log if line["step"] == training["picked_step"] and "dev_loss" in line]
    assert metrics["dev_loss"] == pytest.approx(evaluated["dev_loss"], abs=1e-5)


@pytest.mark.parametrize("name", LOOPS)
def test_early_stopping_ends_the_loop(here: Path, name: str) -> None:
    parts = parts_of("evaluation.every=4", "evaluation.patience=1", "evaluation.min_gain=99")
    losses = example(name).train(parts, here / f"{name}-early")
    assert len(losses) == 8  # the second evaluation gained less than 99 points


@pytest.mark.parametrize("name", LOOPS)
def test_the_program_trains_by_a_recipe_and_leaves_an_adapter_that_loads(
    here: Path, folder: Path, name: str
) -> None:
    done = run_script(EXAMPLES / f"{name}.py", "recipe.yaml", "--steps", "3", "--set", "data.limit=12", cwd=folder)
    assert done.code == 0, done.err
    assert "final: {'dev_score': " in done.out
    out = folder / name.removesuffix("_loop")
    [best] = (out / "checkpoints").iterdir()
    assert best.stat().st_size < (folder / "tiny" / "model.safetensors").stat().st_size  # no frozen weights
    from peft import AutoPeftModelForCausalLM

    AutoPeftModelForCausalLM.from_pretrained(out / "adapter")


@pytest.mark.parametrize("name", LOOPS)
def test_without_dev_data_the_last_weights_are_kept(here: Path, name: str) -> None:
    parts = parts_of("data.dev=null", "train.max_steps=2")
    before = {key: value.clone() for key, value in parts.state_dict().items()}
    assert len(example(name).train(parts, here / f"{name}-no-dev")) == 2
    assert any(not value.equal(before[key]) for key, value in parts.state_dict().items())


def test_the_bench_shows_the_sides_next_to_each_other(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    done = run_script(
        SCRIPTS / "bench_loops.py",
        *(str(folder / "recipe.yaml"), "--set", f"model.base={folder / 'tiny'}", "--set", "train.max_steps=4"),
        *("--sides", "ours", "lightning", "--json", str(out)),
        cwd=tmp_path,
    )
    assert done.code == 0, done.err
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert list(figures) == ["ours", "lightning"]
    first = figures["ours"][0]
    for [side] in figures.values():
        assert side["losses"] == pytest.approx(first["losses"], abs=1e-5)
        assert side["score"] == pytest.approx(first["score"], abs=1e-6)
        assert side["seconds"] > 0
    assert "| lightning | " in done.out
