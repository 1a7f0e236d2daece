"""Checkpoints: each is complete or absent; the last few and the best are kept.

::

    checkpoints/step-000032/adapter_model.safetensors adapter_config.json     trained weights
                            optimizer.pt scheduler.pt rng_state.pth scaler.pt  state for the next step
                            trainer_state.json progress.json                   position in the training
                            checksums.json                                     SHA-256 of all of these
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.compat.write_errors import as_os_error
from llm_summ.core.errors import RunError, TrainingError, first_line
from llm_summ.core.files import file_sha256, whole_directory, write_json
from llm_summ.core.progress import say
from llm_summ.models.adapter import save_options
from llm_summ.runs.run import Run
from llm_summ.train.process_group import ProcessGroup

__all__ = [
    "CHECKSUMS",
    "Checkpoint",
    "checkpoint_path",
    "checkpoints",
    "explain_write_errors",
    "how_to_resume",
    "newest_whole",
    "prune",
    "save",
]

CHECKSUMS = "checksums.json"
_PROGRESS = "progress.json"
_NAME = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        path: its folder.
        step: optimizer steps that it has made.
    """

    path: Path
    step: int

    def damage(self) -> str:
        """Return why the checkpoint cannot be used; empty if every file is as it was written.

        Raises:
            RunError: a file cannot be read because of the system; the checkpoint may be intact.
        """
        try:
            expected = json.loads((self.path / CHECKSUMS).read_text(encoding="utf-8"))
            if not isinstance(expected, dict):
                return f"{CHECKSUMS}: expected an object, with the checksum of each file"
            for name, sha256 in expected.items():
                if file_sha256(self.path / name) != sha256:
                    return f"{name} differs from its checksum"
        except FileNotFoundError as error:
            return f"no {Path(error.filename).name}"
        except OSError as error:
            raise RunError(
                f"{error.filename or self.path}: cannot be read ({error.strerror or error}); nothing was changed; "
                "try again when it is readable"
            ) from error
        except ValueError as error:
            return f"{CHECKSUMS}: {first_line(error)}"
        return ""

    def progress(self) -> dict[str, Any]:
        """Return our own progress record, which the training needs in addition to the library's state."""
        progress: dict[str, Any] = json.loads((self.path / _PROGRESS).read_text(encoding="utf-8"))
        return progress


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the path of a step's checkpoint in the folder of all checkpoints."""
    return folder / f"step-{step:06d}"


def how_to_resume(run: Run, world: int) -> str:
    """Return the command that resumes an interrupted training on `world` devices."""
    devices = f" --devices {world}" if world > 1 else ""
    if not checkpoints(run.checkpoints):
        return "no checkpoint was saved yet; start the training again"
    return f"resume with: llm-summ sft --resume --run {run.argument}{devices}"


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints of a folder, the last first."""
    if not folder.is_dir():
        return []
    named = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir() if path.is_dir())
    saved = (Checkpoint(path, int(match[1])) for path, match in named if match)
    return sorted(saved, key=lambda checkpoint: -checkpoint.step)


def newest_whole(folder: Path) -> Checkpoint | None:
    """Return the last undamaged checkpoint; damaged later ones are reported and renamed.

    Also removes what a killed process left of a checkpoint that was being written or removed.

    Raises:
        RunError: a checkpoint cannot be read because of the system.
    """
    if folder.is_dir():
        for path in folder.glob(".step-*"):
            shutil.rmtree(path, ignore_errors=True)
    for checkpoint in checkpoints(folder):
        damage = checkpoint.damage()
        if not damage:
            return checkpoint
        renamed = folder / f"damaged-{checkpoint.path.name}"
        say(
            f"{checkpoint.path}: the checkpoint is damaged ({damage}); renamed it to {renamed.name}; "
            "trying an earlier one"
        )
        shutil.rmtree(renamed, ignore_errors=True)
        checkpoint.path.rename(renamed)
    return None


def save(folder: Path, trainer: Any, progress: dict[str, Any]) -> Checkpoint:
    """Write the state of a training.

    Every process has to call it; the first one writes.

    Args:
        folder: of all checkpoints.
        trainer: a `StepTrainer`.
        progress: our own progress record, which is saved in addition to the library's state.

    Raises:
        TrainingError: the checkpoint cannot be written; earlier checkpoints are unchanged.
    """
    step = int(trainer.state.global_step)
    path = checkpoint_path(folder, step)
    trainer.state.log_history.clear()  # it is in log.jsonl
    weights, optimizer = trainer.whole_state()
    trainer.processes.of_first(lambda: _write(path, trainer, progress, weights, optimizer))
    return Checkpoint(path, step)


def _write(path: Path, trainer: Any, progress: dict[str, Any], weights: Any, optimizer: Any) -> None:
    import torch

    try:
        with whole_directory(path) as building:
            model = trainer.accelerator.unwrap_model(trainer.model)
            model.save_pretrained(building, state_dict=weights, **save_options(model))
            (building / "README.md").unlink(missing_ok=True)  # PEFT's template, not filled in
            if optimizer is None:
                trainer.save_optimizer(building)
            else:
                torch.save(optimizer, building / "optimizer.pt")
                torch.save(trainer.lr_scheduler.state_dict(), building / "scheduler.pt")
            trainer.save_scaler_and_random_state(building)
            trainer.state.save_to_json(str(building / "trainer_state.json"))
            write_json(building / _PROGRESS, progress)
            sums = {file.name: file_sha256(file) for file in sorted(building.iterdir()) if file.is_file()}
            write_json(building / CHECKSUMS, sums)
    except Exception as error:
        refused = as_os_error(error, path)
        if refused is None:
            raise
        raise TrainingError(_cannot_be_written(path, refused, trainer.processes.world)) from error


def prune(folder: Path, keep: int, best: Collection[int]) -> None:
    """Remove all but the last `keep` checkpoints and those of the steps in `best`."""
    for checkpoint in checkpoints(folder)[keep:]:
        if checkpoint.step not in best:
            # Renamed first, so that a kill never leaves half a checkpoint under its own name.
            shutil.rmtree(checkpoint.path.rename(folder / f".{checkpoint.path.name}.going"))


@contextlib.contextmanager
def explain_write_errors(run: Run, processes: ProcessGroup, where: str | Callable[[], str]) -> Iterator[None]:
    """Turn a write error into one line that says how to resume.

    Raises:
        TrainingError: the line.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{where if isinstance(where, str) else where()}: {error.filename or 'a file'}: "
            f"{error.strerror or error}; {how_to_resume(run, processes.world)}"
        ) from error


def _cannot_be_written(path: Path, error: OSError, world: int) -> str:
    reason = error.strerror or first_line(error)
    free = shutil.disk_usage(path.parent if path.parent.is_dir() else path.parents[1]).free
    last = next((f"{checkpoint.path.name} is intact; " for checkpoint in checkpoints(path.parent)), "")
    return (
        f"{path}: the checkpoint cannot be written ({reason}; {free / 2**20:.0f} MiB are free); {last}"
        f"make room; {how_to_resume(Run(path.parents[1]), world)}"
    )
