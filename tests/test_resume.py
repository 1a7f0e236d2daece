"""A training that was killed or stopped resumes to the result of an uninterrupted one, or reports why not."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from messages import lines_with, raises

from llm_summ.core.errors import InputError, RunError, StoppedError, TrainingError
from llm_summ.data import read_dialogues
from llm_summ.recipe import load_recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::transformers", "ignore:::trl", "ignore:::torch", "ignore:::peft"),
]

RECIPE = """
model: {base: ./tiny}
data: {train: train.csv, dev: dev.csv}
prompt: {max_prompt_tokens: 300}
lora: {r: 4, dropout: 0.1}
train: {epochs: 3, learning_rate: 2e-2, batch_size: 6, micro_batch_size: 3, log_every: 2, save_steps: 3}
evaluation: {every: epoch, rows: 4}
generate: {max_new_tokens: 12}
"""
STEPS, EPOCH = 12, 4


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    shutil.copytree(tiny_model, folder / "tiny")
    for part, rows in (("train", 22), ("dev", 6)):
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["fname", "dialogue", "summary"])
            writer.writerows(
                [item.id, item.text, item.references[0]] for item in read_dialogues(f"sample:{part}")[:rows]
            )
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def train(name: str, *overrides: str) -> Any:
    from llm_summ.train.job import sft

    return sft(load_recipe(Path("recipe.yaml"), overrides), runs=Path("runs"), name=name, stem="recipe").run


def resume_run(name: str | None = None, given: Any = None) -> Any:
    from llm_summ.train.job import resume

    return resume(Path("runs"), name, given)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Path:
    """An uninterrupted run, in a process of its own."""
    subprocess.run(
        [sys.executable, "-m", "llm_summ", "sft", "recipe.yaml", "--run", "reference"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=600,
    )
    return folder / "runs" / "reference"


def adapter_of(run: Path) -> str:
    return hashlib.sha256((run / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()


def log_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    # The clock is the only thing that a kill may change.
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def assert_same(run: Path, reference: Path) -> None:
    assert adapter_of(run) == adapter_of(reference)
    assert log_of(run) == log_of(reference)
    for path in (reference / "evaluations").iterdir():
        assert (run / "evaluations" / path.name).read_bytes() == path.read_bytes()
    training = [
        json.loads((one / "manifest.json").read_text(encoding="utf-8"))["training"] for one in (run, reference)
    ]
    for name in ("steps", "tokens", "last_loss", "picked_step", "picked_score", "adapter_sha256"):
        assert training[0][name] == training[1][name]
    assert [path.name for path in run.glob(".*")] == [".locks"]
    assert not list((run / "checkpoints").glob(".*"))


def test_the_log_holds_both_curves_and_the_best_is_kept(reference: Path) -> None:
    log = log_of(reference)
    assert [line["step"] for line in log if "loss" in line] == [2, 4, 6, 8, 10, 12]
    evaluated = [line for line in log if "dev_score" in line]
    assert [line["step"] for line in evaluated] == [EPOCH, 2 * EPOCH, STEPS]
    best_line = max(evaluated, key=lambda line: (line["dev_score"], -line["step"]))
    best = best_line["step"]
    training = json.loads((reference / "manifest.json").read_text(encoding="utf-8"))["training"]
    assert (training["picked_step"], training["picked_score"]) == (best, best_line["dev_score"])
    kept = sorted(path.name for path in (reference / "checkpoints").iterdir())
    assert set(kept) == {f"step-{step:06d}" for step in (best, 9, STEPS)}
    weights = (reference / "checkpoints" / f"step-{best:06d}" / "adapter_model.safetensors").read_bytes()
    assert (reference / "adapter" / "adapter_model.safetensors").read_bytes() == weights
    for line in evaluated:
        texts = (reference / "evaluations" / f"step-{line['step']:06d}.jsonl").read_text(encoding="utf-8")
        assert len(texts.splitlines()) == line["dev_rows"] == 4


def during_a_step(run: Path) -> bool:
    log = run / "log.jsonl"
    return log.is_file() and '"step": 6' in log.read_text(encoding="utf-8")


def during_a_save(run: Path) -> bool:
    return (run / "checkpoints" / "step-000003").is_dir() and bool(list((run / "checkpoints").glob(".step-*")))


def evaluates(run: Path, step: int) -> bool:
    saved = run / "checkpoints" / f"step-{step:06d}"
    return saved.is_dir() and not (run / "evaluations" / f"{saved.name}.jsonl").is_file()


def during_an_evaluation(run: Path) -> bool:
    return evaluates(run, 2 * EPOCH)


def during_the_last_evaluation(run: Path) -> bool:
    return evaluates(run, STEPS)


@pytest.mark.parametrize(
    "moment", [during_a_step, during_a_save, during_an_evaluation, during_the_last_evaluation]
)
def test_killed_at_any_moment(here: Path, reference: Path, moment: Callable[[Path], bool]) -> None:
    run = here / "runs" / moment.__name__
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", "llm_summ", "sft", "recipe.yaml", "--run", run.name]
    process = subprocess.Popen(command, **silent)  # type: ignore[call-overload]
    deadline = time.monotonic() + 500
    while not moment(run):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not (run / "adapter").exists()
    resume_run(run.name)
    assert_same(run, reference)


@contextlib.contextmanager
def signalled(run: Path, when: Callable[[Path], bool], kind: signal.Signals) -> Iterator[None]:
    """Send this process a signal at a moment of the training that the block does."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set() and not when(run):
            time.sleep(0.001)
        if not over.is_set():
            os.kill(os.getpid(), kind)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", [during_a_step, during_the_last_evaluation])
def test_stopped_by_a_signal(
    here: Path, reference: Path, kind: signal.Signals, moment: Callable[[Path], bool]
) -> None:
    run = here / "runs" / f"{kind.name}-{moment.__name__}"
    with signalled(run, moment, kind), pytest.raises(StoppedError) as stopped:
        train(run.name)
    assert stopped.value.exit_code == 128 + kind
    assert f"of {STEPS} by {kind.name}; resume with: llm-summ sft --resume --run {run.name}" in str(stopped.value)
    assert not (run / "adapter").exists()
    assert resume_run().run.path.resolve() == run  # the unfinished run that was started last
    assert_same(run, reference)
    with pytest.raises(RunError, match="its training is finished; next: llm-summ generate"):
        resume_run(run.name)


@pytest.fixture
def stopped(here: Path, reference: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A run that was stopped after its second epoch."""
    kept = here / "stopped"
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    run = here / "runs" / name
    if not kept.is_dir():
        with signalled(here / "runs" / "kept", during_an_evaluation, signal.SIGTERM), pytest.raises(StoppedError):
            train("kept")
        (here / "runs" / "kept").rename(kept)
    shutil.copytree(kept, run)
    yield run
    shutil.rmtree(run, ignore_errors=True)


def test_a_signal_while_an_evaluation_is_made_up_for(stopped: Path, reference: Path) -> None:
    """No further step is made before the evaluation that is still due."""

    def is_resumed(run: Path) -> bool:
        return signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL

    with (
        signalled(stopped, is_resumed, signal.SIGTERM),
        raises(StoppedError) as error,
    ):
        resume_run(stopped.name)
    assert error.message == snapshot(
        "stopped at step 8 of 12 by SIGTERM; resume with: llm-summ sft --resume --run "
        "test-a-signal-while-an-evaluation-is-made-up-for"
    )
    assert max(line["step"] for line in log_of(stopped)) == 2 * EPOCH
    resume_run(stopped.name)
    assert_same(stopped, reference)


def test_a_damaged_checkpoint_is_reported_and_an_earlier_one_used(
    stopped: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = max((stopped / "checkpoints").iterdir())
    (last / "optimizer.pt").write_bytes((last / "optimizer.pt").read_bytes()[:-100] + bytes(100))
    resume_run(stopped.name)
    reports = [line for line in capsys.readouterr().err.splitlines() if "the checkpoint is damaged" in line]
    assert len(reports) == 1
    assert f"{last.name}: the checkpoint is damaged (optimizer.pt differs from its checksum)" in reports[0]
    assert_same(stopped, reference)


def test_without_an_undamaged_checkpoint_the_training_starts_again(
    stopped: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for checkpoint in (stopped / "checkpoints").iterdir():
        (checkpoint / "adapter_model.safetensors").unlink()
    resume_run(stopped.name)
    assert lines_with(capsys.readouterr().err, "Resuming ") == snapshot(
        "Resuming runs/test-without-an-undamaged-checkpoint-the-training-starts-again from the first step "
        "(no checkpoint found)"
    )
    assert len(list((stopped / "checkpoints").glob("damaged-step-*"))) >= 2
    assert_same(stopped, reference)


def change_recipe(run: Path) -> None:
    path = run / "recipe.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("0.02", "0.01"), encoding="utf-8")


def change_prompt(run: Path) -> None:
    path = run / "prompt.md"
    path.write_text(
        path.read_text(encoding="utf-8").replace("{{ dialogue }}", "- {{ dialogue }}"), encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_recipe, "recipe.yaml: was changed after the training began"),
        (change_prompt, "prompt.md: was changed after the training began"),
        (lambda run: (run / "manifest.json").write_text("{", encoding="utf-8"), "manifest.json: cannot be read"),
        (lambda run: (run / "recipe.yaml").unlink(), "no recipe.yaml"),
    ],
)
def test_recipe_prompt_and_manifest_must_be_unchanged(
    stopped: Path, change: Callable[[Path], None], message: str
) -> None:
    change(stopped)
    with pytest.raises(InputError, match=message) as refused:
        resume_run(stopped.name)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train.csv", "train.csv: was changed after the training of runs/"),
        ("tiny", "model.base: ./tiny: no such folder"),
    ],
)
def test_data_and_base_must_be_unchanged(here: Path, stopped: Path, name: str, message: str) -> None:
    before = sorted(path.name for path in (stopped / "checkpoints").iterdir())
    away = here / "away"
    (here / name).rename(away)
    try:
        if name == "train.csv":
            (here / name).write_bytes(away.read_bytes().replace(b"train_1", b"train_x", 1))
        with pytest.raises(InputError, match=message):
            resume_run(stopped.name)
    finally:
        if name == "train.csv":
            (here / name).unlink()
        away.rename(here / name)
    assert sorted(path.name for path in (stopped / "checkpoints").iterdir()) == before


def test_another_recipe_is_refused_field_by_field(stopped: Path) -> None:
    other = load_recipe(Path("recipe.yaml"), ["train.learning_rate=1e-3", "seed=7"])
    with raises(RunError) as refused:
        resume_run(stopped.name, other)
    assert refused.message == snapshot(
        "runs/test-another-recipe-is-refused-field-by-field: was started with another recipe (seed: "
        "started with 42, now 7, train.learning_rate: started with 0.02, now 0.001); leave RECIPE and "
        "--set out to resume it as it was, or start a new run"
    )


def test_only_one_process_trains_a_run(stopped: Path) -> None:
    from llm_summ.runs.run import Run

    # In a thread: one that holds a run may hold it again.
    with Run(stopped).lock_training(), ThreadPoolExecutor(1) as other:
        refused = other.submit(resume_run, stopped.name).exception()
    assert isinstance(refused, RunError)
    assert f"is being trained by process {os.getpid()} (" in str(refused)


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Make the system refuse longer files, as on a full disk or under a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_refused_write_leaves_the_last_checkpoint(stopped: Path, reference: Path) -> None:
    last = max(path.name for path in (stopped / "checkpoints").iterdir())
    with files_no_larger_than(20_000), pytest.raises(TrainingError) as refused:
        resume_run(stopped.name)
    message = str(refused.value)
    assert "the checkpoint cannot be written (" in message
    assert f"{last} is intact; make room; resume with: llm-summ sft --resume --run {stopped.name}" in message
    assert len(message.splitlines()) == 1
    assert (stopped / "checkpoints" / last).is_dir()
    resume_run(stopped.name)
    assert_same(stopped, reference)


def test_a_refused_last_write_reports_how_to_resume(here: Path) -> None:
    """Checkpoints fit and the tokenizer of the result does not, which its library raises as a plain Exception."""
    with files_no_larger_than(64 * 1024), pytest.raises(TrainingError) as refused:
        train("last-write", "lora.r=1", "lora.targets=[q_proj]", "train.epochs=1")
    [line] = str(refused.value).splitlines()
    assert line.startswith("the result cannot be written: ")
    assert "tokenizer.json: File too large; " in line
    assert line.endswith("llm-summ sft --resume --run last-write")
    run = here / "runs" / "last-write"
    assert not (run / "adapter").exists()
    resume_run(run.name)
    assert (run / "adapter" / "tokenizer.json").is_file()


def test_early_stopping(here: Path) -> None:
    settings = ("evaluation.every=2", "evaluation.patience=1", "evaluation.min_gain=90")
    run = train("early", *settings)
    log = log_of(run.path)
    assert [line["step"] for line in log if "dev_score" in line] == [2, 4]
    training = run.manifest().training
    assert training is not None
    assert (training.steps, training.stopped_early, training.picked_step) in [(4, True, 2), (4, True, 4)]
    # Killed during the evaluation that ends it: no step is made after it.
    again = here / "runs" / "early-again"
    with signalled(again, lambda path: evaluates(path, 4), signal.SIGTERM), pytest.raises(StoppedError):
        train(again.name, *settings)
    resume_run(again.name)
    assert log_of(again) == log
    assert adapter_of(again) == adapter_of(run.path)


def test_all_weights_are_trained_by_the_same_recipe(here: Path) -> None:
    """Full fine-tuning: a model instead of an adapter; `generate` takes it."""
    from llm_summ.generate.job import prepare
    from llm_summ.models.trained_weights import weights_sha256

    settings = ("train.weights=full", "model.quantization=none", "train.epochs=1", "train.learning_rate=1e-3")
    run = train("full", *settings)
    assert not run.adapter.exists()
    training = run.manifest().training
    assert training is not None
    assert training.adapter_sha256 == weights_sha256(run.model)
    assert weights_sha256(run.model) != weights_sha256(here / "tiny")
    (file,) = prepare(run, sources=["dev.csv"], engine_name="hf").run()
    assert len(file.read()) == 6
    (run.model / "config.json").unlink()
    with raises(RunError) as error:
        prepare(run, sources=["dev.csv"], engine_name="hf")
    assert error.message == snapshot(
        "runs/full/model: no config.json; the model is incomplete; train it again, or choose another run "
        "with --run"
    )


@pytest.mark.parametrize(
    "settings",
    [
        ("lora.rslora=true", "lora.init=gaussian", "train.schedule=linear"),
        ("lora.init=eva", "train.optimizer=adafactor", "train.packing=true"),
        ("lora.learning_rate_ratio=8", "train.neftune_alpha=5", "train.label_smoothing=0.1"),
        ("model.quantization=int8", "train.optimizer=sgd", "train.max_grad_norm=0"),
        ("model.quantization=fp4", "train.gradient_checkpointing=on", "train.schedule=inverse_sqrt"),
    ],
)
def test_every_kind_of_training_resumes_exactly(here: Path, settings: tuple[str, ...]) -> None:
    settings = (*settings, "evaluation.every=never", "train.max_steps=6", "train.log_every=1")
    name = "".join(letter if letter.isalnum() else "-" for letter in settings[0])
    whole = train(f"{name}-whole", *settings)
    halves = here / "runs" / f"{name}-halves"
    saved = halves / "checkpoints" / "step-000003"
    with signalled(halves, lambda run: saved.is_dir(), signal.SIGTERM), pytest.raises(StoppedError):
        train(halves.name, *settings)
    resume_run(halves.name)
    assert adapter_of(halves) == adapter_of(whole.path)
    assert log_of(halves) == log_of(whole.path)
    losses = [line["loss"] for line in log_of(halves)]
    assert len(set(losses)) == len(losses) == 6
