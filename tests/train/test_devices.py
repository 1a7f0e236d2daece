"""Several processes train the same as one, and behave as one program to the caller."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import llm_summ
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from messages import lines_with, plain

from llm_summ.data import read_dialogues
from llm_summ.train.distributed import joined
from llm_summ.train.process_group import ALONE, ProcessGroup

COMMAND = [sys.executable, "-m", "llm_summ", "sft"]
FULL = ["--set", "train.weights=full", "--set", "model.quantization=none"]
FSDP = ["--set", "train.parallel=fsdp"]


@given(rows=st.integers(1, 40), world=st.integers(1, 9))
def test_shares_are_of_one_size_and_leave_nothing_out(rows: int, world: int) -> None:
    shares = [ProcessGroup(rank, world).share(rows) for rank in range(world)]
    assert {len(share) for share in shares} == {ALONE.most(rows) if world == 1 else -(-rows // world)}
    assert {index for share in shares for index in share} == set(range(rows))


def test_alone_there_is_nobody_to_ask() -> None:
    assert ALONE.is_first
    assert ALONE.sum(1.5, True) == [1.5, True]
    assert (ALONE.any(True), ALONE.any(False)) == (True, False)
    assert ALONE.gather("x") == ["x"]
    assert ALONE.of_first(lambda: "x") == ALONE.agree(lambda: "x") == ALONE.in_turn(lambda: "x") == "x"


def test_processes_are_started_by_one_launcher(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "recipe.yaml", "--devices", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "RANK": "0", "WORLD_SIZE": "2"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert plain(done.stderr.removesuffix("\n")) == snapshot(
        "llm-summ: --devices 2: found WORLD_SIZE 2 in the environment; under torchrun or accelerate "
        "launch, leave --devices out"
    )


def test_what_is_wrong_with_a_recipe_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("model: {base: ./tiny}\ndata: {train: train.csv}\ntrian: {}\n")
    done = subprocess.run(
        [*COMMAND, "recipe.yaml", "--devices", "2"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "trian" in done.stderr


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, ten rows, and a recipe of three steps: four rows, four, and two."""
    folder = tmp_path_factory.mktemp("devices")
    shutil.copytree(tiny_model, folder / "tiny")
    for part, rows in (("train", 10), ("dev", 3)):
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["fname", "dialogue", "summary"])
            writer.writerows(
                [one.id, one.text, one.references[0]] for one in read_dialogues(f"sample:{part}")[:rows]
            )
    (folder / "recipe.yaml").write_text(
        """
model: {base: ./tiny, compute_dtype: float32}
data: {train: train.csv, dev: dev.csv}
prompt: {max_prompt_tokens: 200}
lora: {r: 4, dropout: 0}
train: {epochs: 1, learning_rate: 1e-2, warmup_ratio: 0, batch_size: 4, micro_batch_size: 1}
evaluation: {batch_size: 2}
generate: {max_new_tokens: 8}
"""
    )
    return folder


def sft(folder: Path, *arguments: str, code: int = 0, start: list[str] = COMMAND, **environment: str) -> Any:
    done = subprocess.run(
        [*start, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def alone(folder: Path, *arguments: str) -> Path:
    """Train in this process, which has its libraries already."""
    done = llm_summ("sft", *arguments, cwd=folder)
    assert done.code == 0, done.err
    return folder / done.out.strip()


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def weights_of(run: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    folder = run / ("model" if (run / "model").is_dir() else "adapter")
    return {name: one for path in sorted(folder.glob("*.safetensors")) for name, one in load_file(path).items()}


def assert_alike(run: Path, other: Path) -> None:
    """The same log, except for time and rounding, and nearly the same weights."""
    assert len(log_of(run)) == len(log_of(other)) == 4
    for line, same in zip(log_of(run), log_of(other), strict=True):
        assert {**line, "seconds": 0} == pytest.approx({**same, "seconds": 0}, abs=1e-4)
    weights, others = weights_of(run), weights_of(other)
    assert weights.keys() == others.keys()
    for name, one in weights.items():
        assert one.shape == others[name].shape
        assert abs(one - others[name]).max() < 1e-3, name


@pytest.fixture(scope="module")
def one(folder: Path) -> Path:
    return alone(folder, "recipe.yaml", "--run", "one")


DROPOUT = ["--set", "lora.dropout=0.2", "--set", "train.epochs=2", "--set", "evaluation.every=never"]

# Most of the time of a training goes into the imports of its processes: several trainings share them.
SEVERAL = """
import json, os, shutil, sys
from pathlib import Path
from llm_summ.__main__ import main
from llm_summ.train.distributed import RENDEZVOUS
from llm_summ.train.launch import is_started, launch

def cut(run, copy):
    # As if killed after a checkpoint: the last one and the result are missing.
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "model")
    shutil.rmtree(copy / "checkpoints" / "step-000003")
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["training"]
    (copy / "manifest.json").write_text(json.dumps(manifest))

if not is_started():
    sys.exit(launch(2))
launcher, commands = dict(os.environ), json.loads(sys.argv[1])
for number, command in enumerate(commands):
    os.environ.update(launcher, **{RENDEZVOUS: f"{launcher[RENDEZVOUS]}-{number}"})
    if "--resume" in command and os.environ["RANK"] == "0":
        cut(Path("runs/parts"), Path("runs/resumed"))  # the other process waits for this one in `main`
    sys.argv[1:] = ["sft", *command]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.fixture(scope="module")
def several(folder: Path) -> Any:
    """The runs two, fsdp, straight, parts and resumed, trained by the same two processes; and their output."""
    (folder / "several.py").write_text(SEVERAL)
    commands = [
        ["recipe.yaml", "--run", "two"],
        ["recipe.yaml", "--run", "fsdp", *FSDP],
        ["recipe.yaml", "--run", "straight", *DROPOUT],
        ["recipe.yaml", "--run", "parts", *FULL, *FSDP, "--set", "train.save_steps=2"],
        ["--resume", "--run", "resumed"],
    ]
    done = sft(folder, json.dumps(commands), start=[sys.executable, "several.py"])
    assert done.stdout.split() == [f"runs/{name}" for name in ("two", "fsdp", "straight", "parts", "resumed")]
    return done


@pytest.mark.slow
def test_two_processes_make_the_training_of_one(folder: Path, one: Path, several: Any) -> None:
    assert_alike(folder / "runs" / "two", one)
    assert json.loads((folder / "runs/two/manifest.json").read_text())["device"]["count"] == 2
    texts = [(run / "evaluations" / "step-000003.jsonl").read_text() for run in (folder / "runs" / "two", one)]
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_a_divided_base_makes_the_same_adapter(folder: Path, one: Path, several: Any) -> None:
    assert_alike(folder / "runs" / "fsdp", one)


@pytest.mark.slow
def test_a_model_that_is_trained_in_parts_is_the_whole_ones_equal_and_resumes(folder: Path, several: Any) -> None:
    whole = alone(folder, "recipe.yaml", "--run", "whole", *FULL)
    parts, resumed = (folder / "runs" / name for name in ("parts", "resumed"))
    assert_alike(parts, whole)
    assert lines_with(several.stderr, "Resuming ") == snapshot("Resuming runs/resumed from step 2 of 3")
    before = weights_of(parts)
    assert all((one == before[name]).all() for name, one in weights_of(resumed).items())


@pytest.mark.slow
def test_torchrun_starts_it_as_well(folder: Path, one: Path) -> None:
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--", "llm_summ", "sft"]
    done = sft(folder, "recipe.yaml", "--run", "torchrun", start=start)
    assert done.stdout == "runs/torchrun\n"
    assert_alike(folder / "runs" / "torchrun", one)


@pytest.mark.slow
def test_a_signal_stops_all_and_the_resumed_end_is_the_same_with_one_voice(folder: Path, several: Any) -> None:
    command = [*COMMAND, "recipe.yaml", "--run", "stopped", "--devices", "2", *DROPOUT]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as started:
        wait_for(folder / "runs" / "stopped" / "log.jsonl")
        started.send_signal(signal.SIGTERM)
        err = started.communicate(timeout=200)[1]
    assert started.returncode == 128 + signal.SIGTERM
    [line] = [line for line in err.splitlines() if line.startswith("llm-summ: ")]
    assert plain(line) == snapshot(
        "llm-summ: stopped at step 2 of 6 by SIGTERM; resume with: llm-summ sft --resume --run stopped --devices 2"
    )
    assert "Traceback" not in err
    done = sft(folder, "--resume", "--run", "stopped", "--devices", "2")
    assert done.stdout == "runs/stopped\n"
    assert done.stderr.count("Loading ./tiny") == done.stderr.count("Next: llm-summ generate") == 1
    straight, stopped = (folder / "runs" / name for name in ("straight", "stopped"))
    assert [{**line, "seconds": 0} for line in log_of(straight)] == [
        {**line, "seconds": 0} for line in log_of(stopped)
    ]
    weights = weights_of(straight)
    assert all((weight == weights[name]).all() for name, weight in weights_of(stopped).items())


def wait_for(path: Path) -> None:
    until = time.monotonic() + 200
    while not (path.is_file() and path.stat().st_size):
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.05)


def test_an_environment_that_no_launcher_made(tmp_path: Path) -> None:
    done = sft(tmp_path, "recipe.yaml", "--dry-run", code=2, WORLD_SIZE="two")
    assert plain(done.stderr.removesuffix("\n")) == snapshot(
        "llm-summ: WORLD_SIZE: found 'two' in the environment, expected a number, as torchrun sets it; "
        "unset WORLD_SIZE"
    )


def test_only_variables_of_launchers_are_removed_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = ("RANK", "LOCAL_RANK", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "ACCELERATE_USE_FSDP")
    for name in (*launcher, "LOCAL_BIN", "RANKING", "MASTER_PASSWORD", "ROLE_ARN"):
        monkeypatch.setenv(name, "1")
    with joined() as processes:
        assert (processes.rank, processes.world) == (0, 1)
    assert not set(launcher) & set(os.environ)
    assert {"LOCAL_BIN", "RANKING", "MASTER_PASSWORD", "ROLE_ARN"} <= set(os.environ)


@pytest.mark.slow
def test_an_error_in_all_processes_is_printed_once(folder: Path) -> None:
    done = sft(folder, "recipe.yaml", "--devices", "2", "--set", "data.train=none.csv", code=2)
    assert done.stdout == ""
    assert plain(done.stderr.removesuffix("\n")) == snapshot(
        "llm-summ: none.csv: no such file; did you mean dev.csv? Name yours: --set data.train=PATH"
    )


FAILING = """
import os, signal, sys, time
import llm_summ.cli as cli
from llm_summ.__main__ import main
from llm_summ.core.errors import TrainingError
from llm_summ.train.launch import is_started, launch
from llm_summ.train.distributed import joined

@cli.cli.command()
def fail():
    if not is_started():
        return launch(2)
    with joined() as processes:
        if processes.rank == 1:
            {what}
        processes.sum(1)

main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("raise TrainingError('step 3: it failed here')", snapshot("llm-summ: step 3: it failed here")),
        ("raise ValueError('a slip')", snapshot("llm-summ: ValueError: a slip (--debug shows where)")),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            snapshot(
                "llm-summ: process 1 of 2 was ended by SIGKILL; the system may lack memory for all of them; "
                "resume with: llm-summ sft --resume"
            ),
        ),
    ],
)
def test_an_error_in_one_ends_all_with_its_line(tmp_path: Path, what: str, line: str) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING.format(what=what))
    done = subprocess.run([sys.executable, script, "fail"], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (1, "")
    assert plain(done.stderr.removesuffix("\n")) == line


SLOW_TO_CONNECT = """
import os, pathlib, time
import torch.distributed as dist
from llm_summ.train.distributed import joined

connect, connected = dist.init_process_group, pathlib.Path("connected")

def slowly(*arguments, **named):
    connect(*arguments, **named)
    if os.environ["RANK"] == "1":
        time.sleep(1)
        connected.touch()

dist.init_process_group = slowly
with joined():
    assert connected.exists()
"""

LOSING_THE_OTHER = """
import pathlib, time
from llm_summ.train.distributed import joined

def running():
    names = []
    for one in pathlib.Path("/proc/self/task").iterdir():
        try:
            names.append((one / "comm").read_text())
        except OSError:
            pass  # it has just ended
    return [name for name in names if "gloo" in name]

try:
    with joined() as processes:
        processes.wait()
        assert running()
        if not processes.is_first:
            raise ValueError("the first loses this one")
        processes.gather("x")
except (ValueError, SystemExit):
    until = time.monotonic() + 20  # one that was waited for may still be listed
    while running() and time.monotonic() < until:
        time.sleep(0.01)
    assert not running()
else:
    raise AssertionError("nothing was lost")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        # What one that fails at once leaves behind, another would report while it is still connecting.
        pytest.param(SLOW_TO_CONNECT, id="none begins before all are connected"),
        # C++ would abort the process when it ends.
        pytest.param(LOSING_THE_OTHER, id="no thread stays when another process is gone"),
    ],
)
def test_processes_come_and_go_in_order(tmp_path: Path, script: str) -> None:
    launcher = {"LLM_SUMM_RENDEZVOUS": str(tmp_path / "rendezvous"), "GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": "2"}
    outputs = [tmp_path / "0.txt", tmp_path / "1.txt"]
    with contextlib.ExitStack() as ending:
        started = [
            ending.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", script],
                    cwd=tmp_path,
                    env={**os.environ, **launcher, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdin=subprocess.PIPE,  # open until both have ended: one whose input is closed ends
                    stderr=ending.enter_context(path.open("w")),
                )
            )
            for rank, path in enumerate(outputs)
        ]
        for one in started:
            ending.callback(one.kill)
        codes = [one.wait(timeout=100) for one in started]
    assert (codes, [path.read_text() for path in outputs]) == ([0, 0], ["", ""])


@pytest.mark.slow
def test_processes_do_not_outlive_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(
        FAILING.format(what="pass").replace("processes.sum(1)", "print(os.getpid(), flush=True); time.sleep(300)")
    )
    with subprocess.Popen([sys.executable, script, "fail"], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        worker = int(started.stdout.readline())
        started.kill()
    until = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and "State:\tZ" not in Path(f"/proc/{worker}/status").read_text():
        assert time.monotonic() < until, "it is still there"
        time.sleep(0.05)
