"""Trackers: a training's figures and sample outputs, in Weights & Biases, Trackio and TensorBoard.

Each is transformers' own integration behind a guard: any exception of a tracker turns that tracker off, and
nothing else. Without credentials nothing leaves the machine; all files are written below the run's ``tracking/``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import uuid
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations import TensorBoardCallback, TrackioCallback, WandbCallback

from llm_summ.core.compat.trackers import mark_begun, tracker_module
from llm_summ.core.errors import first_line
from llm_summ.core.files import write_json, write_text
from llm_summ.core.optional_packages import require
from llm_summ.core.progress import say
from llm_summ.recipe import Recipe, Tracker, dump_recipe
from llm_summ.runs.run import Run
from llm_summ.train.evaluation import GeneratedSummary

__all__ = ["GuardedTracker", "require_trackers", "tracking_callbacks"]

_PROJECT = "llm-summ"
# The longest that a training waits for its tracker if the network does not answer.
_SECONDS_TO_START = 30.0
_SECONDS_TO_FINISH = 60.0


def require_trackers(trackers: Sequence[Tracker]) -> None:
    """Check that the packages of the recipe's trackers are installed.

    Raises:
        MissingPackageError: names the first that is not, and the line that installs it.
    """
    for tracker in trackers:
        require(tracker, extra="track", why=f"track: {tracker}")


def tracking_callbacks(
    trackers: Sequence[Tracker], run: Run, recipe: Recipe, *, resumed: bool
) -> list[GuardedTracker]:
    """Return a callback for each tracker; nothing is imported or written until the training begins.

    Args:
        trackers: the recipe's.
        run: its name is the tracked run's name; files go below its ``tracking/``.
        recipe: the configuration that is shown with the run.
        resumed: whether to continue a tracked run.
    """
    tools = {"wandb": _Wandb, "trackio": _Trackio, "tensorboard": _TensorBoard}
    return [
        GuardedTracker(
            tracker,
            partial(tools[tracker], run, recipe, resumed=resumed),
            run.tracking / tracker / "sent.json",
            resumed=resumed,
        )
        for tracker in trackers
    ]


class GuardedTracker(TrainerCallback):  # type: ignore[misc]
    """Forwards the events of a training to a tracker; only the first process has one.

    A figure is sent once for a step: steps that are repeated after a resume are not sent twice. What the tracker
    had not yet written when it was killed (about a second) is missing.

    Only begin, logs and end are forwarded: on other events the integrations upload models.

    Args:
        name: the tracker's.
        start: makes its callback, which also has `location`, `show_samples` and `close`.
        sent_path: a file that stores the last step for which each figure was sent.
        resumed: whether to read that file.
    """

    def __init__(self, name: str, start: Callable[[], Any], sent_path: Path, *, resumed: bool) -> None:
        self.name = name
        self._start, self._sent_path, self._resumed = start, sent_path, resumed
        self._sent: dict[str, int] = {}
        self._tool: Any = None
        self._begun = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the tracker, and print where to see the run; a second call has no effect."""
        if self._begun:
            return
        self._begun = True

        def begin() -> None:
            if self._resumed and self._sent_path.is_file():
                self._sent = json.loads(self._sent_path.read_text(encoding="utf-8"))
            self._tool = self._start()
            self._tool.on_train_begin(args, state, control)
            say(f"track: {self.name}: {self._tool.location()}")

        self._try(begin)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Send the figures of a step; those of dev under the names that trackers use for evaluations."""
        figures = {name: value for name, value in logs.items() if isinstance(value, int | float)}
        fresh = self._fresh(figures, state.global_step)
        shown = {
            f"eval_{name.removeprefix('dev_')}" if name.startswith("dev_") else name: figures[name]
            for name in fresh
        }
        if fresh:
            self._send(fresh, state.global_step, lambda: self._tool.on_log(args, state, control, logs=shown))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Finish the tracked run."""
        self.close()

    def show_samples(self, step: int, samples: Sequence[GeneratedSummary]) -> None:
        """Send the summaries that were generated at an evaluation."""
        if samples and (fresh := self._fresh(["samples"], step)):
            self._send(fresh, step, lambda: self._tool.show_samples(step, samples))

    def close(self) -> None:
        """Finish the tracked run, if that is not done yet; nothing is sent afterwards."""
        tool, self._tool = self._tool, None
        if tool is not None:
            self._try(tool.close)

    def _fresh(self, names: Iterable[str], step: int) -> list[str]:
        return [name for name in names if self._tool is not None and step > self._sent.get(name, -1)]

    def _send(self, names: list[str], step: int, work: Callable[[], None]) -> None:
        def send() -> None:
            work()
            self._sent |= dict.fromkeys(names, step)
            write_json(self._sent_path, self._sent)

        self._try(send)

    def _try(self, work: Callable[[], None]) -> None:
        # Trackers print banners to stdout, which is for results.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                work()
            except Exception as error:  # noqa: BLE001  a tracker may fail in any way
                tool, self._tool = self._tool, None
                say(f"track: {self.name}: {first_line(error)}; the training continues without it")
                if tool is not None:  # else it would finish, and print, when the program ends
                    with contextlib.suppress(Exception):
                        tool.close()


class _Wandb(WandbCallback):  # type: ignore[misc]
    """Weights & Biases; offline without credentials, unless WANDB_MODE is set."""

    def __init__(self, run: Run, recipe: Recipe, *, resumed: bool) -> None:
        self._run, self._recipe = run, recipe
        self._folder = run.path / "tracking" / "wandb"
        id_path = self._folder / "run_id"
        if not (resumed and id_path.is_file()):
            write_text(id_path, uuid.uuid4().hex[:12])
        self._id = id_path.read_text(encoding="utf-8")
        os.environ |= {
            "WANDB_SILENT": "true",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DISABLE_CODE": "true",
            "WANDB_DATA_DIR": str((self._folder / "data").resolve()),
            "WANDB_CACHE_DIR": str((self._folder / "cache").resolve()),
        }
        super().__init__()

    def setup(self, args: Any, state: Any, model: Any) -> None:
        """Start or resume the tracked run; of code and machine it gets nothing but versions."""
        wandb = tracker_module(self)
        mode = None
        if not os.environ.get("WANDB_MODE"):
            mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
        wandb.init(
            project=_PROJECT,
            name=self._run.name,
            id=self._id,
            resume="allow",
            dir=self._folder.parent,  # wandb creates a folder `wandb` there
            mode=mode,
            config=self._recipe.model_dump(mode="json"),
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_disable_viewer=True,
                x_save_requirements=False,
                x_transaction_log_flush_interval=1.0,  # a kill loses what is not in the file; the default is 15 s
                init_timeout=_SECONDS_TO_START,
                finish_timeout=_SECONDS_TO_FINISH,
                finish_timeout_raises=True,
            ),
        )
        wandb.define_metric("train/global_step")
        wandb.define_metric("*", step_metric="train/global_step", step_sync=True)
        mark_begun(self)

    def location(self) -> str:
        """Return where to see the run."""
        run = tracker_module(self).run
        if run.disabled:
            return "disabled by WANDB_MODE"
        if run.offline:
            return f"offline; wandb sync {shlex.quote(str(self._folder))}/offline-run-*"
        return str(run.url)

    def show_samples(self, step: int, samples: Sequence[GeneratedSummary]) -> None:
        """Send a table for each evaluation."""
        tracker = tracker_module(self)
        table = tracker.Table(columns=_columns(samples), data=_rows(samples))
        tracker.log({"samples": table, "train/global_step": step})

    def close(self) -> None:
        """Send what is left; without a network it stays in the folder."""
        tracker_module(self).finish()


class _Trackio(TrackioCallback):  # type: ignore[misc]
    """Trackio, always local: its Spaces are public by default, and dialogues must stay private."""

    def __init__(self, run: Run, recipe: Recipe, *, resumed: bool) -> None:
        self._run, self._recipe = run, recipe
        # Read when trackio is first imported: a second run of one process is written into the first one's folder.
        os.environ["TRACKIO_DIR"] = str((run.path / "tracking" / "trackio").resolve())
        for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
            os.environ.pop(name, None)
        super().__init__()

    def setup(self, args: Any, state: Any, model: Any) -> None:
        """Start or resume the tracked run."""
        tracker_module(self).init(
            project=_PROJECT,
            name=self._run.name,
            config=self._recipe.model_dump(mode="json"),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        mark_begun(self)

    def location(self) -> str:
        """Return where to see the run."""
        return (
            f"TRACKIO_DIR={shlex.quote(str(tracker_module(self).TRACKIO_DIR))} trackio show --project {_PROJECT}"
        )

    def show_samples(self, step: int, samples: Sequence[GeneratedSummary]) -> None:
        """Send a table for each evaluation."""
        tracker = tracker_module(self)
        table = tracker.Table(columns=_columns(samples), data=_rows(samples))
        tracker.log({"samples": table, "train/global_step": step})

    def close(self) -> None:
        """Write what is left."""
        tracker_module(self).finish()


class _TensorBoard(TensorBoardCallback):  # type: ignore[misc]
    """Event files for TensorBoard."""

    def __init__(self, run: Run, recipe: Recipe, *, resumed: bool) -> None:
        self._folder, self._recipe = run.path / "tracking" / "tensorboard", recipe
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(SummaryWriter(self._folder))

    def on_train_begin(self, args: Any, state: Any, control: Any) -> None:
        """Write the recipe instead of the trainer's arguments, which the integration would write."""
        if not state.global_step:
            self.tb_writer.add_text("recipe", _verbatim(dump_recipe(self._recipe)))

    def location(self) -> str:
        """Return where to see the run."""
        return f"tensorboard --logdir {shlex.quote(str(self._folder))}"

    def show_samples(self, step: int, samples: Sequence[GeneratedSummary]) -> None:
        """Write a text for each dialogue, with all of its evaluations."""
        for sample in samples:
            text = "\n\n".join(f"**{name}**\n\n{_verbatim(str(value))}" for name, value in asdict(sample).items())
            self.tb_writer.add_text(f"samples/{sample.id}", text, step)
        self.tb_writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self.tb_writer.close()


def _columns(samples: Sequence[GeneratedSummary]) -> list[str]:
    return list(asdict(samples[0]))


def _rows(samples: Sequence[GeneratedSummary]) -> list[list[Any]]:
    return [list(asdict(sample).values()) for sample in samples]


def _verbatim(text: str) -> str:
    """Return Markdown that shows the text unchanged."""
    return "\n".join(f"    {line}" for line in text.splitlines())
