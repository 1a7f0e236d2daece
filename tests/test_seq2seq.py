"""Encoder-decoders through the command line: they learn, resume, generate, and are refused where they must be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import llm_summ
from tiny_seq2seq import Kind, make_tiny_seq2seq

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

RECIPE = """
model: {{base: {base}, quantization: none}}
data: {{train: train.jsonl, dev: train.jsonl}}
prompt: {{template: dialogue}}
train: {{weights: full, max_steps: 2, batch_size: 8, learning_rate: 1e-3}}
evaluation: {{every: never}}
generate: {{max_new_tokens: 60, beams: 2, no_repeat_ngram: 3}}
"""
ROWS = 32


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from llm_summ.data import read_dialogues

    monkeypatch.chdir(tmp_path)
    lines = [
        {"fname": one.id, "dialogue": one.text, "summary": one.references[0], "topic": "일"}
        for one in sorted(read_dialogues("sample:train"), key=lambda one: len(one.text))[:ROWS]
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    Path("train.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def write(base: Path | str, text: str = RECIPE) -> str:
    Path("recipe.yaml").write_text(text.format(base=base), encoding="utf-8")
    return "recipe.yaml"


@pytest.mark.parametrize(
    ("kind", "sizes", "rate", "steps"),
    [
        ("kobart", {"d_model": 128, "dropout": 0.0}, "3e-3", 160),
        ("t5", {"d_model": 128, "d_kv": 32, "dropout_rate": 0.0}, "5e-3", 160),
    ],
)
def test_a_small_model_learns_32_dialogues_by_heart(
    folder: Path, kind: Kind, sizes: dict[str, Any], rate: str, steps: int
) -> None:
    base = make_tiny_seq2seq(folder / kind, kind, **sizes)
    options = [f"train.max_steps={steps}", f"train.learning_rate={rate}", "train.batch_size=16"]
    done = llm_summ("sft", write(base), "--run", "a", *(f"--set={one}" for one in options))
    assert done.code == 0, done.err
    done = llm_summ("generate", "--data", "train.jsonl", "--run", "a", "--set", "generate.max_new_tokens=200")
    assert done.code == 0, done.err
    scores = json.loads(llm_summ("eval", "train.jsonl", "--run", "a", "--json").out)
    assert scores["final"] >= 95, scores["final"]
