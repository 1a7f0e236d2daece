"""What the tests of seams share: another package is installed, and forgotten after the test; a small training."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llm_summ.core.registry import Registry
from llm_summ.data import read_dialogues
from llm_summ.prompt import load_template
from llm_summ.recipe import DataFields, ModelFields, Recipe
from llm_summ.runs.manifest import Manifest, PromptRecord
from llm_summ.runs.run import create_run

__all__ = ["installed", "log_of", "own_registry", "run_without_weights", "write_recipe"]


def own_registry(registry: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is registered in a test be known to that test alone."""
    monkeypatch.setattr(registry, "_registered", {entry.name: entry for entry in registry.built_in})
    monkeypatch.setattr(registry, "_searched", False)


@contextmanager
def installed(
    registry: Registry[Any], name: str, code: str, site: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Install a package as pip would: its module and the folder with its metadata, on the path.

    Args:
        registry: that its entry point is for.
        name: of the module, which has an entry ``TOY``.
        code: the module.
        site: the folder to install into.
        monkeypatch: restores the path.
    """
    own_registry(registry, monkeypatch)
    facts = site / f"{name}-1.5.dist-info"
    facts.mkdir(parents=True)
    distribution = name.replace("_", "-")
    (facts / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n", encoding="utf-8"
    )
    (facts / "entry_points.txt").write_text(f"[{registry.group}]\ntoy = {name}:TOY\n", encoding="utf-8")
    (site / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    yield facts
    sys.modules.pop(name, None)


def write_recipe(path: Path, base: Path, **train: Any) -> Path:
    """Write a recipe for two steps with eight dialogues, and their files; the folder is that of the recipe."""
    for part, rows in {"train": 8, "dev": 3}.items():
        with path.with_name(f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            dialogues = read_dialogues(f"sample:{part}")[:rows]
            rows_of = [[one.id, one.text, one.references[0]] for one in dialogues]
            csv.writer(file).writerows([["fname", "dialogue", "summary"], *rows_of])
    recipe = {
        "model": {"base": str(base), "quantization": "none"},
        "data": {"train": "train.csv", "dev": "dev.csv"},
        "prompt": {"max_prompt_tokens": 300},
        "lora": {"r": 4, "dropout": 0.0},
        "train": {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, **train},
        "evaluation": {"every": "never"},
        "generate": {"max_new_tokens": 8, "engine": "hf", "dtype": "float32"},
    }
    path.write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
    return path


def run_without_weights(base: Path) -> Path:
    """Make a run for an engine that needs no weights, and return its folder ``runs/mine``."""
    recipe = Recipe(model=ModelFields(base=str(base)), data=DataFields(train="sample:train", dev="sample:dev"))
    template = load_template("plain")
    manifest = Manifest(prompt=PromptRecord(name=template.name, sha256=template.sha256), kept={})
    return create_run(Path("runs/mine"), recipe, template.text, manifest).path


def log_of(run: str) -> list[dict[str, Any]]:
    """Return the lines of a run's log that are about steps."""
    lines = map(json.loads, Path("runs", run, "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if "loss" in line]
