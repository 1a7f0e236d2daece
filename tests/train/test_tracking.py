"""Trackers get what a training logs, write it below the run, and cannot harm it (the real packages, offline)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from inline_snapshot import snapshot
from messages import lines_with, raises

from llm_summ.core.errors import MissingPackageError
from llm_summ.recipe import Recipe, Tracker
from llm_summ.runs.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:::transformers", "ignore:::torch", "ignore:::accelerate", "ignore:::datasets"
    ),
]
TRACKERS: list[Tracker] = ["wandb", "trackio", "tensorboard"]
SUMMARY = "#Person1#은 회의를 금요일로 옮기자고 한다."


@pytest.fixture
def run(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A run's folder, on a machine without credentials."""
    monkeypatch.setenv("HOME", str(in_tmp / "home"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "TRACKIO_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    path = Path("runs/first")
    path.mkdir(parents=True)
    yield Run(path)
    with contextlib.suppress(ImportError):
        import wandb

        wandb.teardown()


@pytest.fixture
def trackio_of_this_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trackio reads its folder when it is imported, once in a process: here once in a test."""
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)
    return run.path / "tracking" / "trackio"


def recipe() -> Recipe:
    return Recipe.model_validate({"model": {"base": "tiny"}, "data": {"train": "sample:train"}, "track": TRACKERS})


def train(callbacks: list[Any], *, steps: int = 3) -> Any:
    """A real training of a few steps that also logs figures of dev data; gives all weights that come of it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    class Evaluate(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            from llm_summ.train.tracking import GeneratedSummary, GuardedTracker

            step = state.global_step
            trainer.log({"dev_loss": 2.0, "dev_score": 10.0 + step})
            control.should_log = True  # it is taken back by every log
            for callback in callbacks:
                assert isinstance(callback, GuardedTracker)
                callback.show_samples(
                    step, [GeneratedSummary("대화-1", "#Person1#: 금요일?", SUMMARY, "회의", 12.5)]
                )

    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        attention_dropout=0.2,
    )
    rows = [{"input_ids": torch.arange(n, n + 9), "labels": torch.arange(n, n + 9)} for n in range(3, 9)]
    trainer = Trainer(
        model=LlamaForCausalLM(config),
        args=TrainingArguments(
            output_dir="scratch",
            use_cpu=True,
            max_steps=steps,
            logging_steps=1,
            per_device_train_batch_size=2,
            learning_rate=1e-2,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=rows,
        callbacks=[*callbacks, Evaluate()],
    )
    trainer.train()
    assert trainer.state.global_step == steps
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The weights of a training without trackers."""
    with contextlib.chdir(tmp_path_factory.mktemp("plain")):
        return train([])


def callbacks_for(tracker: Tracker, run: Run, *, resumed: bool = False) -> list[Any]:
    from llm_summ.train.tracking import tracking_callbacks

    return list(tracking_callbacks([tracker], run, recipe(), resumed=resumed))


def wandb_records(run: Run) -> Iterator[Any]:
    """The content of the files of wandb's runs: LevelDB's log format, after a header of seven bytes."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # its service writes the last of it when it ends
    block = 32768
    for path in sorted((run.path / "tracking" / "wandb").glob("offline-run-*/*.wandb")):
        content, at, record = path.read_bytes(), 7, b""
        assert content.startswith(b":W&B")
        while at + 7 <= len(content):
            if block - at % block < 7:  # no record begins that near to the end of a block
                at += block - at % block
                continue
            _, length, part = struct.unpack_from("<IHB", content, at)
            record += content[at + 7 : at + 7 + length]
            at += 7 + length
            if part in (1, 4):  # a whole one, or a last part
                yield Record.FromString(record)
                record = b""


def wandb_history(run: Run) -> list[dict[str, Any]]:
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in wandb_records(run)
        if record.HasField("history")
    ]


def trackio_history(folder: Path) -> list[dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(folder / "llm-summ.db")) as database:
        return [json.loads(row[0]) for row in database.execute("SELECT metrics FROM metrics ORDER BY id")]


def tensorboard_events(run: Run) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tracking" / "tensorboard"))
    events.Reload()
    return events


def pairs(history: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(line["train/global_step"], line[name]) for line in history if name in line]


def test_tensorboard(run: Run, plain: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(callbacks_for("tensorboard", run)).equal(plain)
    err = capfd.readouterr().err
    events = tensorboard_events(run)
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3]
    assert [(event.step, event.value) for event in events.Scalars("eval/score")] == [(1, 11), (2, 12), (3, 13)]
    assert "base: tiny" in events.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0].decode()
    samples = events.Tensors("samples/대화-1/text_summary")
    assert [event.step for event in samples] == [1, 2, 3]
    assert SUMMARY in samples[0].tensor_proto.string_val[0].decode()
    assert lines_with(err, "track: ") == snapshot(
        "track: tensorboard: tensorboard --logdir runs/first/tracking/tensorboard"
    )
    assert len([line for line in err.splitlines() if "tensorboard" in line.lower()]) == 1


def test_trackio(run: Run, plain: Any, trackio_of_this_run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(callbacks_for("trackio", run)).equal(plain)
    out, err = capfd.readouterr()
    history = trackio_history(trackio_of_this_run)
    assert [step for step, _ in pairs(history, "train/loss")] == [1, 2, 3]
    assert pairs(history, "eval/score") == [(1, 11), (2, 12), (3, 13)]
    tables = [line["samples"] for line in history if "samples" in line]
    assert len(tables) == 3
    assert SUMMARY in json.dumps(tables[0], ensure_ascii=False)
    assert lines_with(err, "trackio") == snapshot(
        "track: trackio: TRACKIO_DIR=…/runs/first/tracking/trackio trackio show --project llm-summ"
    )
    assert "rackio" not in out
    assert len([line for line in err.splitlines() if "rackio" in line]) == 1


def test_wandb(run: Run, plain: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert train(callbacks_for("wandb", run)).equal(plain)
    out, err = capfd.readouterr()
    history = wandb_history(run)
    assert [step for step, _ in pairs(history, "train/loss")] == [1, 2, 3]
    assert pairs(history, "eval/score") == [(1, 11), (2, 12), (3, 13)]
    folder = run.path / "tracking" / "wandb"
    tables = list(folder.glob("offline-run-*/files/media/table/*.json"))
    assert len(tables) == 3
    assert SUMMARY in json.loads(tables[0].read_text(encoding="utf-8"))["data"][0]
    config = {
        item.key: json.loads(item.value_json)
        for record in wandb_records(run)
        if record.HasField("run")
        for item in record.run.config.update
    }
    assert config["model"]["base"] == "tiny"
    assert lines_with(err, "wandb") == snapshot(
        "track: wandb: offline; wandb sync runs/first/tracking/wandb/offline-run-*"
    )
    assert "wandb" not in out
    assert len([line for line in err.splitlines() if "wandb" in line]) == 1


def test_wandb_writes_nothing_elsewhere_and_nothing_of_code_or_machine(run: Run) -> None:
    train(callbacks_for("wandb", run), steps=1)
    assert [path for path in Path("home").rglob("*") if path.is_file()] == []
    assert {path.name for path in Path().iterdir()} <= {"runs", "scratch", "home"}
    names = {path.name for path in run.path.rglob("*") if path.is_file()}
    assert not names & {
        "requirements.txt",
        "wandb-metadata.json",
        "diff.patch",
        "output.log",
        "conda-environment.yaml",
    }
    assert not [
        record for record in wandb_records(run) if record.HasField("environment") or record.HasField("stats")
    ]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_resumed_training_goes_on_and_doubles_no_step(
    tracker: Tracker, run: Run, trackio_of_this_run: Path
) -> None:
    train(callbacks_for(tracker, run), steps=2)  # killed; made again from the beginning, since
    train(callbacks_for(tracker, run, resumed=True), steps=4)  # there was no checkpoint
    if tracker == "tensorboard":
        events = tensorboard_events(run)
        losses = [event.step for event in events.Scalars("train/loss")]
        samples = [event.step for event in events.Tensors("samples/대화-1/text_summary")]
    else:
        history = wandb_history(run) if tracker == "wandb" else trackio_history(trackio_of_this_run)
        losses = [step for step, _ in pairs(history, "train/loss")]
        samples = [line["train/global_step"] for line in history if {"samples", "samples/_type"} & line.keys()]
    assert losses == samples == [1, 2, 3, 4]
    if tracker == "wandb":
        ids = {record.run.run_id for record in wandb_records(run) if record.HasField("run")}
        assert len(ids) == 1


def failing(where: str) -> Callable[[], Any]:
    class Failing:
        seen: ClassVar[list[str]] = []

        def __init__(self) -> None:
            self.step("start")

        def step(self, now: str) -> None:
            self.seen.append(now)
            if now == where:
                raise RuntimeError(f"no route to host\nwhile at {now}")

        def log(self, step: int, figures: Any) -> None:
            self.step("log")

        def location(self) -> str:
            self.step("location")
            return "here"

        def show_samples(self, step: int, samples: Any) -> None:
            self.step("samples")

        def close(self) -> None:
            self.step("close")

    return Failing


@pytest.mark.parametrize("where", ["start", "location", "log", "samples", "close"])
def test_a_tracker_that_raises_is_off_and_the_training_ends_as_without_it(
    where: str, run: Run, plain: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    from llm_summ.train.tracking import GuardedTracker

    kind: Any = failing(where)
    assert train([GuardedTracker("wandb", kind, run.path / "sent.json", resumed=False)]).equal(plain)
    assert kind.seen.count(where) == 1
    assert set(kind.seen[kind.seen.index(where) + 1 :]) <= {"close"}
    err = capfd.readouterr().err
    assert err.count("track: wandb: no route to host; the training continues without it\n") == 1
    assert "Traceback" not in err


def test_a_tracker_that_cannot_write_is_off(
    run: Run, plain: Any, capfd: pytest.CaptureFixture[str], trackio_of_this_run: Path
) -> None:
    (run.path / "tracking").write_text("a file where the folder should be")
    callbacks = [callback for tracker in TRACKERS for callback in callbacks_for(tracker, run)]
    assert train(callbacks).equal(plain)
    err = capfd.readouterr().err
    for tracker in TRACKERS:
        assert f"track: {tracker}: " in err
    assert err.count("the training continues without it\n") == 3


def test_wandb_without_an_answer_is_given_up(
    run: Run, plain: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_summ.train import tracking

    monkeypatch.setattr(tracking, "_SECONDS_TO_START", 1.0)
    key = "a" * 40
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    assert train(callbacks_for("wandb", run)).equal(plain)
    # The reason is in the words of wandb.
    assert "; the training continues without it\n" in capfd.readouterr().err
    written = [path.read_bytes() for path in run.path.rglob("*") if path.is_file()]
    assert written
    assert not [content for content in written if key.encode() in content]


def test_a_tracker_that_is_not_installed_is_reported_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from llm_summ.train.tracking import require_trackers

    require_trackers(TRACKERS)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trackio" else find(name))
    with raises(MissingPackageError) as error:
        require_trackers(TRACKERS)
    assert error.message == snapshot(
        "track: trackio: the package trackio is not installed; install it: pip install '…'"
    )
