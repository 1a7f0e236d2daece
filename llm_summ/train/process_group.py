"""The processes of a training on several devices, and how they communicate.

Every process trains its share of each step's rows, and the gradients are added up once a step. The libraries see
one process with one device. They do not wrap the model, gather losses or coordinate writing, and a process may
have any number of micro batches, even none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from llm_summ.core.errors import LlmSummError

__all__ = ["ALONE", "ProcessGroup"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process among those that train together. All methods are called by all of them, in the same order.

    Attributes:
        rank: of this one, from 0; the first one prints, and writes files.
        world: the number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that prints and writes files."""
        return self.rank == 0

    def sum(self, *numbers: float) -> list[float]:
        """Return the sums of numbers over all processes."""
        if self.world == 1:
            return list(numbers)
        import torch

        sums = torch.tensor(numbers, dtype=torch.float64)
        torch.distributed.all_reduce(sums)
        return [float(number) for number in sums]

    def any(self, value: bool) -> bool:
        """Return whether `value` is true in any process."""
        return self.sum(float(value))[0] > 0

    def most(self, rows: int) -> int:
        """Return the size of the largest share of `rows`, if each process takes every `world`-th."""
        return -(-rows // self.world)

    def share(self, rows: int) -> list[int]:
        """Return the indexes of this process's share of `rows`; all shares have one size, so some rows repeat."""
        return [index % rows for index in range(self.rank, self.most(rows) * self.world, self.world)]

    def wait(self) -> None:
        """Wait until all processes have called this."""
        self.sum(0.0)

    def gather(self, value: Result) -> list[Result]:
        """Return the values of all processes, in the order of their ranks."""
        if self.world == 1:
            return [value]
        import torch

        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def agree(self, work: Callable[[], Result]) -> Result:
        """Return the result of `work`; if it fails in any process, all exit, and the first failed one says why.

        Raises:
            LlmSummError: it failed here first, in the order of ranks.
            SystemExit: it failed in another process.
        """
        result, error = None, None
        try:
            result = work()
        except LlmSummError as caught:
            error = caught
        failed = [
            (rank, code) for rank, code in enumerate(self.gather(error and error.exit_code)) if code is not None
        ]
        if error is not None and failed[0][0] == self.rank:
            raise error
        if failed:
            raise SystemExit(failed[0][1])
        return result  # type: ignore[return-value]

    def of_first(self, work: Callable[[], Result]) -> Result:
        """Return the result of `work` in the first process; the others do not call it.

        Raises:
            LlmSummError: it failed.
            SystemExit: in the others, if it failed.
        """
        result = self.agree(lambda: work() if self.is_first else None)
        return self.gather(result)[0]  # type: ignore[return-value]

    def add_gradients(self, model: Any) -> None:
        """Replace the gradients of trained parameters by their sums over all processes.

        PyTorch already reduces sharded gradients. Parameters without a gradient count as having one of zeros.
        """
        if self.world == 1:
            return
        import torch
        from torch.distributed.tensor import DTensor

        trained = [
            parameter
            for parameter in model.parameters()
            if parameter.requires_grad and not isinstance(parameter, DTensor)
        ]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for gradients in _of_one_dtype([parameter.grad for parameter in trained]):
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(flat)
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, total in zip(gradients, flat.split(sizes), strict=True):
                gradient.copy_(total.view_as(gradient))

    def begin_alike(self, model: Any) -> None:
        """Copy the trained parameters of the first process to all; sharded weights are the same already."""
        if self.world == 1:
            return
        import torch
        from torch.distributed.tensor import DTensor

        for parameter in model.parameters():
            if parameter.requires_grad and not isinstance(parameter, DTensor):
                torch.distributed.broadcast(parameter.data, src=0)

    def in_turn(self, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, which runs in one process after the other to save memory."""
        result = None
        for turn in range(self.world):
            if turn == self.rank:
                result = work()
            self.wait()
        return result  # type: ignore[return-value]


ALONE = ProcessGroup()
"""One process with one device."""


def _of_one_dtype(gradients: list[Any]) -> list[list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for gradient in gradients:
        groups.setdefault(gradient.dtype, []).append(gradient)
    return list(groups.values())
