"""The processes of a training on several devices, and what they tell each other.

Every process trains its share of each step's rows, and the gradients are added up once a step. The libraries see
one process with one device: what they would do for several (wrapping the model, gathering losses, writing) is left
out, and a process may have any number of micro batches, even none.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llm_summ.core.compat.torch import is_connection_lost
from llm_summ.core.errors import InputError, LlmSummError, TrainingError, first_line
from llm_summ.core.optional_packages import quiet_libraries, require_training

__all__ = ["ALONE", "LOST", "RENDEZVOUS", "ProcessGroup", "joined", "told"]

RENDEZVOUS = "LLM_SUMM_RENDEZVOUS"
"""Environment: the file in which the processes that `launch` started find each other."""

LOST = 75
"""Exit code of a started process that lost the others, and so has nothing to say."""

Result = TypeVar("Result")

# An evaluation or a large save of one process is waited for by the others.
_PATIENCE = dt.timedelta(hours=6)
_SECONDS_BETWEEN_LOOKS = 0.01
# What torchrun and accelerate tell a process. The libraries are not to see it.
_TOLD = {
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT", "ROLE_NAME"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
}
_TOLD_BEGINS = ("ACCELERATE_", "FSDP_", "TORCHELASTIC_")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process among those that train together. All methods are called by all of them, in the same order.

    Attributes:
        rank: of this one, from 0; the first one speaks, and writes files.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes."""
        return self.rank == 0

    def sum(self, *numbers: float) -> list[float]:
        """The sums of numbers over all processes."""
        if self.world == 1:
            return list(numbers)
        import torch

        sums = torch.tensor(numbers, dtype=torch.float64)
        torch.distributed.all_reduce(sums)
        return [float(number) for number in sums]

    def any(self, asked: bool) -> bool:
        """Whether any process says yes."""
        return self.sum(float(asked))[0] > 0

    def most(self, rows: int) -> int:
        """How many of `rows` the process has that has most of them, if each has every `world`-th."""
        return -(-rows // self.world)

    def share(self, rows: int) -> list[int]:
        """Indexes of this process's share of `rows`; all have equally many, so that some may stand twice."""
        return [index % rows for index in range(self.rank, self.most(rows) * self.world, self.world)]

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.sum(0.0)

    def gather(self, value: Result) -> list[Result]:
        """The values of all processes, in the order of their ranks."""
        if self.world == 1:
            return [value]
        import torch

        found: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(found, value)
        return found

    def agree(self, work: Callable[[], Result]) -> Result:
        """What `work` gives; if it fails in a process, all end, and the first of those says why.

        Raises:
            LlmSummError: it failed here.
            SystemExit: it failed elsewhere.
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
        """What `work` gives in the first process; it is not called in the others.

        Raises:
            LlmSummError: it failed.
            SystemExit: in the others, if it failed.
        """
        result = self.agree(lambda: work() if self.is_first else None)
        return self.gather(result)[0]  # type: ignore[return-value]

    def add_gradients(self, model: Any) -> None:
        """Replace the gradients of what is trained by their sums over all processes; sharded ones are so already.

        Parameters without a gradient count as having one of zeros.
        """
        if self.world == 1:
            return
        import torch
        from torch.distributed.tensor import DTensor

        trained = [one for one in model.parameters() if one.requires_grad and not isinstance(one, DTensor)]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for gradients in _of_one_dtype([parameter.grad for parameter in trained]):
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(flat)
            for gradient, total in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
                gradient.copy_(total.view_as(gradient))

    def begin_alike(self, model: Any) -> None:
        """Give what is trained the first process's values; sharded weights are loaded alike."""
        if self.world == 1:
            return
        import torch
        from torch.distributed.tensor import DTensor

        for parameter in model.parameters():
            if parameter.requires_grad and not isinstance(parameter, DTensor):
                torch.distributed.broadcast(parameter.data, src=0)

    def in_turn(self, work: Callable[[], Result]) -> Result:
        """What `work` gives, one process after the other: they need not all have memory for it at once."""
        result = None
        for turn in range(self.world):
            if turn == self.rank:
                result = work()
            self.wait()
        return result  # type: ignore[return-value]


ALONE = ProcessGroup()
"""One process with one device."""


@contextlib.contextmanager
def joined() -> Iterator[ProcessGroup]:
    """Join the processes that `launch`, torchrun or `accelerate launch` started; alone, there is just this one.

    All but the first are silent, except that an error is told by the one that failed first, and by no other.

    Raises:
        InputError: there are fewer GPUs on this machine than processes, or the environment is not a launcher's.
        TrainingError: another process is gone.
        SystemExit: another process has told why it failed.
    """
    world, rank = told("WORLD_SIZE", 1), told("RANK", 0)
    if world == 1:
        _forget_launchers()
        yield ProcessGroup()
        return
    try:
        store = _connect(rank, world)
    except KeyboardInterrupt:
        if rank:
            raise SystemExit(130) from None
        raise
    processes = ProcessGroup(rank, world)
    with contextlib.ExitStack() as silence:
        if rank:
            nowhere = silence.enter_context(Path(os.devnull).open("w"))
            silence.enter_context(contextlib.redirect_stdout(nowhere))
            silence.enter_context(contextlib.redirect_stderr(nowhere))
        try:
            _await_all(store, world)
            yield processes
            processes.wait()
        except SystemExit:
            raise
        except BaseException as error:
            _forget_locals(error)
            if not _is_first_to_fail(store):
                raise SystemExit(_exit_code(error)) from error
            if not is_connection_lost(error):
                raise
            if RENDEZVOUS in os.environ:
                raise SystemExit(LOST) from error
            raise TrainingError(
                f"process {rank} lost the others ({first_line(error)}); what they say tells why; go on with: "
                "llm-summ sft --resume, started as before"
            ) from error
        finally:
            _leave()


def _await_all(store: Any, world: int) -> None:
    """Wait until all are connected: one that fails at once, and leaves, breaks what another is still connecting.

    That other one would tell of it, too, and from C++, which nothing here silences.
    """
    if store.add("connected", 1) == world:
        store.set("all connected", "")
    while not store.check(["all connected"]):  # `wait` would let no signal through
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _forget_locals(error: BaseException) -> None:
    """Clear what the frames that an error came through hold: the group among it, and so its threads."""
    errors, seen = [error], set[int]()
    while errors:
        one = errors.pop()
        if id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            errors += [other for other in (one.__cause__, one.__context__) if other is not None]


def _leave() -> None:
    """End the group's threads: C++ aborts a process that ends before its threads do, and says so."""
    import torch

    torch.distributed.destroy_process_group()


def told(name: str, default: int) -> int:
    """A number that a launcher put into the environment.

    Raises:
        InputError: it is none.
    """
    text = os.environ.get(name, "").strip()
    if text and not text.isdecimal():
        raise InputError(
            f"{name}: found {text!r} in the environment, expected a number, such as torchrun sets; unset it"
        )
    return int(text) if text else default


def _connect(rank: int, world: int) -> Any:
    """Find the other processes; gives the store that all can write to."""
    require_training()
    quiet_libraries()
    here, local_rank = told("LOCAL_WORLD_SIZE", world), told("LOCAL_RANK", rank)
    import torch

    gpus = torch.cuda.device_count()
    if gpus:
        if here > gpus:
            if local_rank:
                raise SystemExit(InputError.exit_code)  # the machine's first process says why
            raise InputError(
                f"--devices {here}: found {gpus} GPU{'s' if gpus > 1 else ''} on this machine, and each process "
                "needs one; ask for as many as there are (CUDA_VISIBLE_DEVICES says which)"
            )
        # Each process sees its own GPU only, as if there were no other. This works until CUDA is first used.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",") if visible else [str(number) for number in range(gpus)]
        os.environ["CUDA_VISIBLE_DEVICES"] = names[local_rank]
    rendezvous = os.environ.get(RENDEZVOUS)
    if rendezvous:
        store = torch.distributed.FileStore(rendezvous, world)
        threading.Thread(target=_end_with_launcher, daemon=True).start()
    else:
        store, rank, world = next(iter(torch.distributed.rendezvous("env://", rank, world)))
        store.set_timeout(_PATIENCE)
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if gpus else "gloo", store=store, rank=rank, world_size=world, timeout=_PATIENCE
    )
    # A launcher that starts the processes anew may keep its store: what was written before is not to be found.
    store = torch.distributed.PrefixStore(f"llm-summ/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    _forget_launchers()
    return store


def _forget_launchers() -> None:
    for name in list(os.environ):
        if name in _TOLD or name.startswith(_TOLD_BEGINS):
            del os.environ[name]


def _end_with_launcher() -> None:
    """End this process when the one that started it is gone: nobody would stop it any more."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _is_first_to_fail(store: Any) -> bool:
    try:
        return bool(store.add("failed", 1) == 1)
    except RuntimeError:  # the store went with the process that held it, which has told why
        return False


def _exit_code(error: BaseException) -> int:
    if isinstance(error, LlmSummError):
        return error.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else LOST if is_connection_lost(error) else 1


def _of_one_dtype(gradients: list[Any]) -> list[list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for gradient in gradients:
        groups.setdefault(gradient.dtype, []).append(gradient)
    return list(groups.values())
