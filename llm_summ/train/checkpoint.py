"""Checkpoints: whole or absent, the last few and the best of them.

::

    checkpoints/step-000032/adapter_model.safetensors adapter_config.json     what was learnt
                            optimizer.pt scheduler.pt rng_state.pth scaler.pt  what the next step needs
                            trainer_state.json progress.json                   where the training was
                            checksums.json                                     SHA-256 of all of these
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.compat.write_errors import as_os_error
from llm_summ.core.errors import RunError, TrainingError, first_line
from llm_summ.core.files import file_sha256, whole_directory, write_json
from llm_summ.core.progress import say
from llm_summ.runs.run import Run

__all__ = [
    "CHECKSUMS",
    "Checkpoint",
    "checkpoint_path",
    "checkpoints",
    "how_to_go_on",
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

    def fault(self) -> str:
        """Why it cannot be used; empty if every file is as it was written.

        Raises:
            RunError: the system does not let it be read; it may be whole.
        """
        try:
            expected = json.loads((self.path / CHECKSUMS).read_text(encoding="utf-8"))
            for name, sha256 in expected.items():
                if file_sha256(self.path / name) != sha256:
                    return f"{name} is not what was written"
        except FileNotFoundError as error:
            return f"no {Path(error.filename).name}"
        except OSError as error:
            raise RunError(
                f"{error.filename or self.path}: cannot be read ({error.strerror or error}); it is left as it is; "
                "try again when it can be read"
            ) from error
        except (ValueError, AttributeError, TypeError) as error:
            return f"{CHECKSUMS}: {first_line(error)}"
        return ""

    def progress(self) -> dict[str, Any]:
        """What the training needs to know beside the library's state."""
        found: dict[str, Any] = json.loads((self.path / _PROGRESS).read_text(encoding="utf-8"))
        return found


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is, among all of a run."""
    return folder / f"step-{step:06d}"


def how_to_go_on(run: Run, world: int) -> str:
    """What to type after a training has ended too soon, on so many devices."""
    devices = f" --devices {world}" if world > 1 else ""
    if not checkpoints(run.checkpoints):
        return "nothing was saved yet: begin it anew"
    return f"go on with: llm-summ sft --resume --run {run.argument}{devices}"


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints of a folder, the last first."""
    if not folder.is_dir():
        return []
    found = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir() if path.is_dir())
    return sorted((Checkpoint(path, int(match[1])) for path, match in found if match), key=lambda one: -one.step)


def newest_whole(folder: Path) -> Checkpoint | None:
    """The last checkpoint that can be used; what is wrong with later ones is said, and they are set aside.

    Also removes what a kill left of a checkpoint that was being written or removed.

    Raises:
        RunError: the system does not let one be read.
    """
    if folder.is_dir():
        for path in folder.glob(".step-*"):
            shutil.rmtree(path, ignore_errors=True)
    for one in checkpoints(folder):
        fault = one.fault()
        if not fault:
            return one
        aside = folder / f"damaged-{one.path.name}"
        say(
            f"{one.path}: the checkpoint is damaged ({fault}); it is now {aside.name}, and an earlier one is taken"
        )
        shutil.rmtree(aside, ignore_errors=True)
        one.path.rename(aside)
    return None


def save(folder: Path, trainer: Any, progress: dict[str, Any]) -> Checkpoint:
    """Write the state of a training.

    Every process has to call it; the first one writes.

    Args:
        folder: of all checkpoints.
        trainer: a `StepTrainer`.
        progress: what the training needs to know beside the library's state.

    Raises:
        TrainingError: it cannot be written; earlier checkpoints are as they were.
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
            trainer.accelerator.unwrap_model(trainer.model).save_pretrained(building, state_dict=weights)
            (building / "README.md").unlink(missing_ok=True)  # PEFT's, all of it to be filled in
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
    for one in checkpoints(folder)[keep:]:
        if one.step not in best:
            going = one.path.rename(folder / f".{one.path.name}.going")  # never half of it under its own name
            shutil.rmtree(going)


def _cannot_be_written(path: Path, error: OSError, world: int) -> str:
    reason = error.strerror or first_line(error)
    free = shutil.disk_usage(path.parent if path.parent.is_dir() else path.parents[1]).free
    last = next((f"{one.path.name} is intact; " for one in checkpoints(path.parent)), "")
    return (
        f"{path}: the checkpoint cannot be written ({reason}; {free / 2**20:.0f} MiB are free); {last}make room, "
        f"and {how_to_go_on(Run(path.parents[1]), world)}"
    )
