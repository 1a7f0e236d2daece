"""Runs as `sft`, `eval` and `submit` leave them, and what the ledger says of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from llm_summ.cli.runs import runs as runs_command
from llm_summ.core.files import append_lines, write_json
from llm_summ.ledger import RunEntry, Sort, listing, note_score, read_entry, read_ledger
from llm_summ.recipe import DataFields, ModelFields, PromptFields, Recipe, TrainFields
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import RUNS, Run, create_run, open_run

SIGNATURE = "variant:rouge|tok:mecab-ko:1.3.7,dic:2.1.1.post2|nrefs:3|refs:mean|empty:0|v:0.1.0|post:strip"
OTHER = SIGNATURE.replace("v:0.1.0", "v:0.2.0")
DEV = "d" * 64


def recipe(**train: Any) -> Recipe:
    quantization = "none" if train.get("weights") == "full" else "nf4"
    return Recipe(
        model=ModelFields(base="x/y-8b", quantization=quantization),
        data=DataFields(train="train.csv"),
        prompt=PromptFields(template="expert"),
        train=TrainFields(**train),
    )


def make(
    name: str,
    *,
    hour: int = 10,
    made: Recipe | None = None,
    train: dict[str, str] | None = None,
    trained: bool = True,
) -> Run:
    """Make a run like `sft`; it ended at `hour`. `train` is the hash of every training file."""
    manifest: dict[str, Any] = {
        "started": f"2026-03-01T{hour:02}:00:00+00:00",
        "seed": 42,
        "device": {"kind": "cuda", "name": "H100", "dtype": "bfloat16"},
        "prompt": {"name": "expert", "sha256": "e" * 64},
        "data": {"train": {"rows": 12457, "sha256": train or {"train.csv": "a" * 64}}},
        "versions": {"llm-summ": "0.1.0"},
    }
    if trained:
        manifest["training"] = {
            "finished": f"2026-03-01T{hour:02}:30:00+00:00",
            "seconds": 1800.0,
            "steps": 779,
            "tokens": 5000000,
            "last_loss": 1.25,
            "adapter_sha256": "f" * 64,
        }
    run = create_run(RUNS / name, made or recipe(), "prompt", Manifest.model_validate(manifest))
    if trained:
        full = made is not None and made.train.weights == "full"
        weights = run.model / "model.safetensors" if full else run.adapter / "adapter_model.safetensors"
        weights.parent.mkdir()
        weights.write_bytes(b"\0")
    return run


def give_score(
    run: Run,
    final: float,
    *,
    data: str = "dev.csv",
    sha256: str = DEV,
    signature: str = SIGNATURE,
    name: str = "dev.vllm",
    hour: int = 12,
    **more: Any,
) -> Path:
    """Write a score like `eval`."""
    path = run.scores / f"{name}.json"
    found = {
        "data": data,
        "data_sha256": sha256,
        "scored": f"2026-03-02T{hour:02}:00:00+00:00",
        **{"rouge1": final, "rouge2": final, "rougeL": final, "final": final},
        "signature": signature,
        "interval": None,
        "per_row": [{"fname": "dev_0", "final": final}],
    }
    write_json(path, found | more)
    return path


def submit(run: Run, text: str, engine: str | None = "vllm") -> str:
    """Write a submission like `submit`, with its line in the run; return its SHA-256."""
    out = run.path / "submission.csv"
    out.write_text(text, encoding="utf-8")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    line = {
        "written": "2026-03-03T10:00:00+00:00",
        "out": str(out),
        "sha256": sha256,
        "predictions": f"test.{engine}.jsonl",
        "engine": engine,
    }
    with append_lines(run.submissions_path) as lines:
        lines.write(json.dumps(line) + "\n")
    return sha256


def both(rows: list[tuple[str, float, float]]) -> None:
    """Make runs with a local and a leaderboard score, the first the newest."""
    for place, (name, local, posted) in enumerate(rows):
        run = make(name, hour=20 - place)
        give_score(run, local)
        note_score(run, str(posted))


def runs(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(runs_command, arguments, catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def lines() -> list[str]:
    return listing(read_ledger(RUNS))[1]


def table() -> list[tuple[str, ...]]:
    (headers, rows), _ = listing(read_ledger(RUNS))
    return [headers, *rows]


def entry(name: str) -> RunEntry:
    return read_entry(open_run(RUNS, name))


def names(sort: Sort = "time") -> list[str]:
    return [one.run.name for one in read_ledger(RUNS, sort).entries]
