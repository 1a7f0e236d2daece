"""Every command that reads a run, with a run whose adapter was trained and one whose whole model was."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import command_line
import pytest
from command_line import Result

from llm_summ.data import read_dialogues
from llm_summ.predictions.store import PredictionFile
from llm_summ.runs.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

RECIPE = """
model: {{base: {base}, quantization: {quantization}}}
data: {{train: train.csv, dev: dev.csv, test: test.csv}}
prompt: {{max_prompt_tokens: 300}}
lora: {{r: 4}}
train: {{weights: {method}, epochs: 1, batch_size: 4, learning_rate: 1e-3}}
generate: {{max_new_tokens: 8, engine: hf, dtype: float32}}
"""
ROWS = {"train": 8, "dev": 3, "test": 3}


class Trained(NamedTuple):
    """A finished run."""

    method: str
    name: str
    path: Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with two finished runs and their predictions, in which the tests stand."""
    folder = tmp_path_factory.mktemp("methods")
    before = Path.cwd()
    os.chdir(folder)
    for part, rows in ROWS.items():
        with Path(f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            dialogues = read_dialogues(f"sample:{part}")[:rows]
            rows_of = [[one.id, one.text, one.references[0]] for one in dialogues]
            csv.writer(file).writerows([["fname", "dialogue", "summary"], *rows_of])
    with Path("sample_submission.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["fname", "summary"], *([one.id, "x"] for one in read_dialogues("sample:test")[: ROWS["test"]])]
        )
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module", params=["lora", "full"])
def trained(folder: Path, tiny_model: Path, request: pytest.FixtureRequest) -> Trained:
    method = request.param
    quantization = "none" if method == "full" else "nf4"
    Path(f"{method}.yaml").write_text(
        RECIPE.format(base=tiny_model, method=method, quantization=quantization), encoding="utf-8"
    )
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    assert llm_summ("sft", f"{method}.yaml", "--run", method).out == f"runs/{method}\n"
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before
    llm_summ("generate", "--run", method)
    return Trained(method, method, Path("runs") / method)


def llm_summ(*arguments: str) -> Result:
    done = command_line.llm_summ(*arguments)
    assert done.code == 0, done.err
    return done


def refused(*arguments: str) -> str:
    done = command_line.llm_summ(*arguments)
    assert (done.code, done.out) == (2, "")
    return done.err.splitlines()[-1].removeprefix("llm-summ: ")


def test_runs(trained: Trained) -> None:
    found = json.loads(llm_summ("runs", trained.name, "--json").out)
    assert (found["state"], found["reasons"]) == ("finished", [])
    folder = trained.path / {"lora": "adapter", "full": "model"}[trained.method]
    assert found["weights_bytes"] == sum(path.stat().st_size for path in folder.glob("*.safetensors")) > 0
    assert "damaged" not in llm_summ("runs").out


def test_generate(trained: Trained) -> None:
    for part in ("dev", "test"):
        file = trained.path / "predictions" / f"{part}.hf.jsonl"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        assert sorted(line["fname"] for line in lines) == sorted(one.id for one in read_dialogues(f"{part}.csv"))
        identity = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        assert identity["adapter"] == _manifest(trained)["training"]["adapter_sha256"]


def test_generate_without_what_was_trained(trained: Trained) -> None:
    llm_summ("generate", "--run", trained.name, "--data", "dev.csv", "--untuned")
    file = trained.path / "predictions" / "dev.hf.untuned.json"
    assert json.loads(file.read_text(encoding="utf-8"))["adapter"] is None


def test_eval(trained: Trained) -> None:
    found = json.loads(llm_summ("eval", "dev.csv", "--run", trained.name, "--json").out)
    assert (found["rows"], found["engine"], found["untuned"]) == (ROWS["dev"], "hf", False)
    scores = json.loads(llm_summ("runs", trained.name, "--json").out)["scores"]
    assert [(score["engine"], score["final"]) for score in scores] == [("hf", found["final"])]


def test_select(trained: Trained) -> None:
    llm_summ("select", "--run", trained.name, "--data", "dev.csv", "--out", f"{trained.name}-chosen.csv")
    with Path(f"{trained.name}-chosen.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == ROWS["dev"]


def test_submit(trained: Trained) -> None:
    done = command_line.llm_summ("submit", "--run", trained.name, "--allow-empty")
    assert done.code in (0, 1)  # a model of two layers writes what the check finds fault with
    with (trained.path / "submission.csv").open(encoding="utf-8", newline="") as file:
        assert [row["fname"] for row in csv.DictReader(file)] == [one.id for one in read_dialogues("test.csv")]
    [recorded] = json.loads(llm_summ("runs", trained.name, "--json").out)["submissions"]
    assert recorded["engine"] == "hf"


def test_post(trained: Trained) -> None:
    [found] = json.loads(llm_summ("post", "--run", trained.name, "--data", "dev.csv", "--json").out)
    assert found["rows"] == ROWS["dev"]


def test_sweep(trained: Trained) -> None:
    found = json.loads(llm_summ("sweep", "--run", trained.name, "--over", "post=[strip]", "--json").out)
    assert [one["setting"] for one in found["tried"]] == [{}, {"post": "[strip]"}]


def test_merge(trained: Trained) -> None:
    assert llm_summ("merge", "--run", trained.name, "--no-verify").out == f"runs/{trained.name}/merged\n"
    card = (trained.path / "merged" / "README.md").read_text(encoding="utf-8")
    assert ("Training: all weights" in card) == (trained.method == "full")


@pytest.mark.parametrize("command", ["generate --engine echo --data dev.csv", "merge --no-verify"])
def test_what_another_process_does_is_refused(trained: Trained, command: str) -> None:
    if (trained.method, command) == ("full", "merge --no-verify"):
        return
    run = Run(trained.path)
    file = PredictionFile(run.predictions / "dev.echo.jsonl")
    held = file.writing() if command.startswith("generate") else run.lock_merged(wait=False)
    with ThreadPoolExecutor(1) as other, held:  # in a thread, to which the lock is another's as well
        done = other.submit(command_line.llm_summ, *command.split(), "--run", trained.name).result()
    line = done.err.splitlines()[-1]
    assert (done.code, f" by process {os.getpid()} (" in line) == (2, True), done.err
    assert not file.path.exists()


def test_resume(trained: Trained) -> None:
    assert refused("sft", "--resume", "--run", trained.name) == (
        f"{trained.path}: its training is finished; next: llm-summ generate --run {trained.name}"
    )


def _manifest(trained: Trained) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((trained.path / "manifest.json").read_text(encoding="utf-8"))
    return found
