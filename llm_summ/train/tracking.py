"""Trackers: a training's figures and sample outputs, in Weights & Biases, Trackio and TensorBoard.

Each is behind a guard: any exception of a tracker turns that tracker off, and nothing else. Without credentials
nothing leaves the machine; all files are written below the run's ``tracking/``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from transformers import TrainerCallback

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
_STEP = "train/global_step"
# What the library logs at the end about the whole training, not about a step.
_TOTALS = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"}


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
    tools: dict[Tracker, Callable[..., TrackedRun]] = {
        "wandb": _Wandb,
        "trackio": _Trackio,
        "tensorboard": _TensorBoard,
    }
    return [
        GuardedTracker(
            tracker,
            partial(tools[tracker], run, recipe, resumed=resumed),
            run.tracking / tracker / "sent.json",
            resumed=resumed,
        )
        for tracker in trackers
    ]


class TrackedRun(Protocol):
    """A run in a tracker; making the object starts or resumes it."""

    def location(self) -> str:
        """Return where to see the run."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Send figures by the names that the trainer logs."""

    def show_samples(self, step: int, samples: Sequence[GeneratedSummary]) -> None:
        """Send the summaries of an evaluation."""

    def close(self) -> None:
        """Send or write what is left; without a network it stays in the folder."""


class GuardedTracker(TrainerCallback):  # type: ignore[misc]
    """Forwards the events of a training to a tracker; only the first process has one.

    A figure is sent once for a step: steps that are repeated after a resume are not sent twice. What the tracker
    had not yet written when it was killed (about a second) is missing.

    Args:
        name: the tracker's.
        start: starts or resumes the tracked run.
        sent_path: a file that stores the last step for which each figure was sent.
        resumed: whether to read that file.
    """

    def __init__(self, name: str, start: Callable[[], TrackedRun], sent_path: Path, *, resumed: bool) -> None:
        self.name = name
        self._start, self._sent_path, self._resumed = start, sent_path, resumed
        self._sent: dict[str, int] = {}
        self._tool: TrackedRun | None = None
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
            say(f"track: {self.name}: {self._tool.location()}")

        self._try(begin)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """Send the figures of a step."""
        figures = {name: value for name, value in logs.items() if isinstance(value, int | float)}
        self._send(figures, state.global_step, lambda tool, fresh: tool.log(state.global_step, fresh))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Finish the tracked run."""
        self.close()

    def show_samples(self, step: int, samples: Sequence[GeneratedSummary]) -> None:
        """Send the summaries that were generated at an evaluation."""
        if samples:
            self._send({"samples": 0}, step, lambda tool, _: tool.show_samples(step, samples))

    def close(self) -> None:
        """Finish the tracked run, if that is not done yet; nothing is sent afterwards."""
        tool, self._tool = self._tool, None
        if tool is not None:
            self._try(tool.close)

    def _send(
        self, figures: Mapping[str, float], step: int, work: Callable[[TrackedRun, Mapping[str, float]], None]
    ) -> None:
        """Do `work` with the figures that were not sent for this step or a later one."""
        tool = self._tool
        fresh = {name: value for name, value in figures.items() if step > self._sent.get(name, -1)}
        if tool is None or not fresh:
            return

        def send() -> None:
            work(tool, fresh)
            self._sent |= dict.fromkeys(fresh, step)
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


class _Package:
    """A tracker with the functions of wandb, which Trackio has under the same names."""

    tool: Any

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        shown = {_shown(name): value for name, value in figures.items() if name not in _TOTALS}
        self.tool.log({**shown, _STEP: step})

    def show_samples(self, step: int, samples: Sequence[GeneratedSummary]) -> None:
        rows = [asdict(sample) for sample in samples]
        table = self.tool.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows])
        self.tool.log({"samples": table, _STEP: step})

    def close(self) -> None:
        self.tool.finish()


class _Wandb(_Package):
    """Weights & Biases; offline without credentials, unless WANDB_MODE is set. It gets nothing of the code."""

    def __init__(self, run: Run, recipe: Recipe, *, resumed: bool) -> None:
        self._folder = run.tracking / "wandb"
        id_path = self._folder / "run_id"
        if not (resumed and id_path.is_file()):
            write_text(id_path, uuid.uuid4().hex[:12])
        os.environ |= {
            "WANDB_SILENT": "true",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DISABLE_CODE": "true",
            "WANDB_DATA_DIR": str((self._folder / "data").resolve()),
            "WANDB_CACHE_DIR": str((self._folder / "cache").resolve()),
        }
        import wandb

        self.tool = wandb
        mode: Literal["online", "offline"] | None = None
        if not os.environ.get("WANDB_MODE"):
            mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
        wandb.init(
            project=_PROJECT,
            name=run.name,
            id=id_path.read_text(encoding="utf-8"),
            resume="allow",
            dir=run.tracking,  # wandb creates a folder `wandb` there
            mode=mode,
            config=recipe.model_dump(mode="json"),
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
        wandb.define_metric(_STEP)
        wandb.define_metric("*", step_metric=_STEP, step_sync=True)

    def location(self) -> str:
        if self.tool.run.disabled:
            return "disabled by WANDB_MODE"
        if self.tool.run.offline:
            return f"offline; wandb sync {shlex.quote(str(self._folder))}/offline-run-*"
        return str(self.tool.run.url)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self.tool.run.summary.update({name: figures[name] for name in figures.keys() & _TOTALS})
        super().log(step, figures)


class _Trackio(_Package):
    """Trackio, always local: its Spaces are public by default, and dialogues must stay private."""

    def __init__(self, run: Run, recipe: Recipe, *, resumed: bool) -> None:
        # Read when trackio is first imported: a second run of one process is written into the first one's folder.
        os.environ["TRACKIO_DIR"] = str((run.tracking / "trackio").resolve())
        for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
            os.environ.pop(name, None)
        import trackio

        self.tool = trackio
        trackio.init(
            project=_PROJECT,
            name=run.name,
            config=recipe.model_dump(mode="json"),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def location(self) -> str:
        return f"TRACKIO_DIR={shlex.quote(str(self.tool.TRACKIO_DIR))} trackio show --project {_PROJECT}"


class _TensorBoard:
    """Event files for TensorBoard; a text for each dialogue has all of its evaluations."""

    def __init__(self, run: Run, recipe: Recipe, *, resumed: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = run.tracking / "tensorboard"
        self._writer: Any = SummaryWriter(self._folder)
        if not resumed:
            self._writer.add_text("recipe", _verbatim(dump_recipe(recipe)))

    def location(self) -> str:
        return f"tensorboard --logdir {shlex.quote(str(self._folder))}"

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(_shown(name), value, step)
        self._writer.flush()

    def show_samples(self, step: int, samples: Sequence[GeneratedSummary]) -> None:
        for sample in samples:
            text = "\n\n".join(f"**{name}**\n\n{_verbatim(str(value))}" for name, value in asdict(sample).items())
            self._writer.add_text(f"samples/{sample.id}", text, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _shown(name: str) -> str:
    """Return the name that trackers group by: figures of dev are those of an evaluation."""
    return f"eval/{name.removeprefix('dev_')}" if name.startswith("dev_") else f"train/{name}"


def _verbatim(text: str) -> str:
    """Return Markdown that shows the text unchanged."""
    return "\n".join(f"    {line}" for line in text.splitlines())
