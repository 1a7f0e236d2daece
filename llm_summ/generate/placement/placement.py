"""The placements, and which of them a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from llm_summ.generate.engine import Engine
from llm_summ.generate.placement.processes import ParallelEngine, places
from llm_summ.models.device import Device, find_device
from llm_summ.recipe import GenerateFields

__all__ = ["InProcess", "LocalProcesses", "Placement", "choose_placement"]


class Placement(Protocol):
    """Where the workers of an engine run."""

    def device(self) -> Device:
        """Return the device that every worker computes on. The texts depend on it, so it is asked of the workers.

        Which dtype is used, and what the predictions' identity says of both, follows from it.
        """

    def gpus(self) -> int:
        """Return how many GPUs all workers have together; 0: they compute on CPUs."""

    def check(self, candidates: int, gpus_each: int) -> None:
        """Refuse, before anything is loaded, what there are too few devices for.

        Args:
            candidates: to generate.
            gpus_each: GPUs that the model of each worker is divided among.

        Raises:
            EngineError: there are too few devices.
        """

    def start(self, name: str, make: Callable[[], Engine], candidates: int, gpus_each: int) -> Engine:
        """Start the workers.

        Args:
            name: the engine's.
            make: starts one worker where it is called; picklable.
            candidates: to generate: no more workers are started.
            gpus_each: GPUs that the model of each worker is divided among.

        Raises:
            LlmSummError: what `make` raised.
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


@dataclass(frozen=True, slots=True)
class InProcess(_OnThisMachine):
    """One worker, in this process."""

    def check(self, candidates: int, gpus_each: int) -> None:
        """Refuse a model that is divided among more GPUs than there are."""
        places(1, gpus_each, self.gpus())

    def start(self, name: str, make: Callable[[], Engine], candidates: int, gpus_each: int) -> Engine:
        """Start the worker."""
        return make()


@dataclass(frozen=True, slots=True)
class LocalProcesses(_OnThisMachine):
    """Workers in processes of this machine, each with GPUs or cores of its own.

    Attributes:
        workers: at most.
    """

    workers: int

    def check(self, candidates: int, gpus_each: int) -> None:
        """Refuse more workers than there are GPUs or cores for."""
        places(min(self.workers, candidates), gpus_each, self.gpus())

    def start(self, name: str, make: Callable[[], Engine], candidates: int, gpus_each: int) -> Engine:
        """Start the workers; a single one is started in this process."""
        environments = places(min(self.workers, candidates), gpus_each, self.gpus())
        return make() if len(environments) == 1 else ParallelEngine(name, make, environments)


def choose_placement(fields: GenerateFields) -> Placement:
    """Return the placement that a recipe asks for."""
    return LocalProcesses(fields.data_parallel) if fields.data_parallel > 1 else InProcess()
