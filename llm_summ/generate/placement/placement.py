"""The placements of an engine's workers, and the choice among them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llm_summ.core.engine_registry import EngineSpec
from llm_summ.core.optional_packages import is_installed
from llm_summ.generate.engine import Engine
from llm_summ.generate.placement.processes import ParallelEngine, worker_environments
from llm_summ.models.device import Device, find_device
from llm_summ.recipe import GenerateFields

__all__ = ["InProcess", "LocalProcesses", "Placement", "choose_placement"]


class Placement(Protocol):
    """Where the workers of an engine run."""

    def device(self) -> Device:
        """Return the device that every worker computes on.

        The texts depend on it: it decides the dtype, and both are part of the predictions' identity.
        """

    def gpus(self) -> int:
        """Return how many GPUs all workers have together; 0: they compute on CPUs."""

    def has_gpu(self) -> bool:
        """Return whether a worker's machine has an NVIDIA GPU, even one that its torch cannot use."""

    def has_package(self, name: str) -> bool:
        """Return whether a package is installed where the workers run."""

    def unusable(self, spec: EngineSpec) -> str | None:
        """Return why an installed engine does not work where the workers run; None if it works."""

    def check(self, candidates: int, gpus_each: int) -> None:
        """Raise, before anything is loaded, if there are too few devices.

        Args:
            candidates: number of candidates to generate.
            gpus_each: GPUs that the model of each worker is divided among.

        Raises:
            EngineError: there are too few devices.
        """

    def start(self, name: str, make: Callable[[], Engine], candidates: int, gpus_each: int) -> Engine:
        """Start the workers.

        Args:
            name: the engine's.
            make: starts one worker in the process that calls it; picklable.
            candidates: number of candidates to generate; there are at most as many workers.
            gpus_each: GPUs that the model of each worker is divided among.

        Raises:
            LlmSummError: raised by `make`.
        """


@dataclass(frozen=True, slots=True)
class _OnThisMachine:
    def device(self) -> Device:
        """Return this machine's device."""
        return find_device()

    def gpus(self) -> int:
        """Return the GPUs of this machine that this process may use."""
        if self.device().kind != "cuda":
            return 0
        import torch

        return int(torch.cuda.device_count())

    def has_gpu(self) -> bool:
        """Return whether this machine has an NVIDIA GPU, even one that the installed torch cannot use."""
        return shutil.which("nvidia-smi") is not None or Path("/dev/nvidia0").exists()

    def has_package(self, name: str) -> bool:
        """Return whether a package is installed here."""
        return is_installed(name)

    def unusable(self, spec: EngineSpec) -> str | None:
        """Return why an installed engine does not work here; None if it works."""
        reason: str | None = spec.load().unusable()
        return reason


@dataclass(frozen=True, slots=True)
class InProcess(_OnThisMachine):
    """One worker, in this process."""

    def check(self, candidates: int, gpus_each: int) -> None:
        """Raise if the model is divided among more GPUs than there are."""
        worker_environments(1, gpus_each, self.gpus())

    def start(self, name: str, make: Callable[[], Engine], candidates: int, gpus_each: int) -> Engine:
        """Start the worker."""
        return make()


@dataclass(frozen=True, slots=True)
class LocalProcesses(_OnThisMachine):
    """Workers in processes of this machine, each with GPUs or cores of its own.

    Attributes:
        workers: maximum number of workers.
    """

    workers: int

    def check(self, candidates: int, gpus_each: int) -> None:
        """Raise if there are too few GPUs or cores for the workers."""
        worker_environments(min(self.workers, candidates), gpus_each, self.gpus())

    def start(self, name: str, make: Callable[[], Engine], candidates: int, gpus_each: int) -> Engine:
        """Start the workers; a single one is started in this process."""
        environments = worker_environments(min(self.workers, candidates), gpus_each, self.gpus())
        return make() if len(environments) == 1 else ParallelEngine(name, make, environments)


def choose_placement(fields: GenerateFields) -> Placement:
    """Return the placement that a recipe asks for."""
    return LocalProcesses(fields.data_parallel) if fields.data_parallel > 1 else InProcess()
