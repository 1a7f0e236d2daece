"""One family of base models through every command, each as a user types it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from command_line import Result, llm_summ, llm_summ_process
from tiny_families import Family

from llm_summ.data import read_dialogues

__all__ = ["STEPS", "Step", "walk"]

STEPS = ("check", "sft", "resume", "hf", "vllm merged", "vllm attached", "merge", "eval")
"""The steps for every family, in this order."""

RECIPE = """
model: {base: ./base, quantization: nf4}
data: {train: train.csv, dev: dev.csv}
prompt: {max_prompt_tokens: 300}
lora: {r: 8, dropout: 0, targets: TARGETS}
train: {max_steps: 4, learning_rate: 1e-2, batch_size: 2, save_steps: 2}
evaluation: {every: 2, rows: 2}
generate: {max_new_tokens: 8, engine: hf, dtype: float32}
"""
ROWS = {"train": 8, "dev": 3}

Step = tuple[str, str]
"""A step, and ``ok`` or the line that it ended with."""


def walk(family: Family, folder: Path, *, vllm: bool) -> Iterator[Step]:
    """Build a family's model in an empty folder, and yield the result of each step.

    Args:
        family: the family.
        folder: the empty folder.
        vllm: whether to run the steps of vLLM; each starts an engine, which takes half a minute.
    """
    family.build(folder / "base")
    (folder / "recipe.yaml").write_text(RECIPE.replace("TARGETS", family.targets), encoding="utf-8")
    for part, rows in ROWS.items():
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            chosen = read_dialogues(f"sample:{part}")[:rows]
            lines = [[dialogue.id, dialogue.text, dialogue.references[0]] for dialogue in chosen]
            csv.writer(file).writerows([["fname", "dialogue", "summary"], *lines])
    run = folder / "runs" / "one"
    steps: dict[str, Callable[[], str]] = {
        "check": lambda: _ended(llm_summ("check", "recipe.yaml", cwd=folder)),
        "sft": lambda: _ended(llm_summ("sft", "recipe.yaml", "--run", "one", cwd=folder)),
        "resume": lambda: _resumed(run, folder),
        "hf": lambda: _ended(llm_summ("generate", "--run", "one", "--engine", "hf", cwd=folder)),
        "vllm merged": lambda: _with_vllm(run, folder, "merge"),
        "vllm attached": lambda: _with_vllm(run, folder, "attach"),
        "merge": lambda: _ended(llm_summ("merge", "--run", "one", "--rows", "2", cwd=folder)),
        "eval": lambda: _ended(llm_summ("eval", "dev.csv", "--run", "one", cwd=folder)),
    }
    for name in STEPS:
        if name.startswith("vllm") and not vllm:
            continue
        result = steps[name]()
        yield name, result
        if name in ("check", "sft") and result != "ok":
            return


def _ended(done: Result) -> str:
    """Return ``ok``, or the last line of the error."""
    if done.code == 0:
        return "ok"
    lines = [
        line for line in (done.out + done.err).splitlines() if line.startswith(("would fail: ", "llm-summ: "))
    ]
    return lines[-1].partition(": ")[2] if lines else f"exit status {done.code} without a line"


def _resumed(run: Path, folder: Path) -> str:
    """Resume as after a kill between two checkpoints; the adapter has to be the same, byte for byte."""
    weights = run / "adapter" / "adapter_model.safetensors"
    before = weights.read_bytes()
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    del manifest["training"]
    shutil.rmtree(run / "adapter")
    shutil.rmtree(run / "checkpoints" / "step-000004")
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    ended = _ended(llm_summ("sft", "--resume", "--run", "one", cwd=folder))
    if ended != "ok":
        return ended
    return "ok" if weights.read_bytes() == before else "another adapter than without the interruption"


def _with_vllm(run: Path, folder: Path, adapter: str) -> str:
    """Generate with vLLM; the texts have to be those of hf."""
    # In a separate process: vLLM changes the one that it runs in.
    way = ("--engine", "vllm", "--set", f"generate.adapter={adapter}")
    ended = _ended(llm_summ_process("generate", "--run", "one", *way, cwd=folder))
    if ended != "ok":
        return ended
    texts = [_texts(run / "predictions" / f"dev.{engine}.jsonl") for engine in ("hf", "vllm")]
    same = sum(texts[0][name] == texts[1][name] for name in texts[0])
    return "ok" if same == len(texts[0]) else f"{same} of {len(texts[0])} texts as with hf"


def _texts(path: Path) -> dict[str, str]:
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {line["fname"]: line["summary"] for line in lines}
