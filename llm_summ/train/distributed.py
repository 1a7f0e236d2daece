"""Join the processes of a training that a launcher started, and leave them."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import os
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_summ.core.compat.torch import is_connection_lost
from llm_summ.core.errors import InputError, LlmSummError, TrainingError, first_line
from llm_summ.core.optional_packages import quiet_libraries, require_training
from llm_summ.train.process_group import ProcessGroup

__all__ = ["LOST", "RENDEZVOUS", "joined", "launcher_number"]

RENDEZVOUS = "LLM_SUMM_RENDEZVOUS"
"""Environment: the file in which the processes that `launch` started find each other."""

LOST = 75
"""Exit code of a worker that failed because another one did; the other one reports the error."""

# The others wait while one process evaluates or saves a large model.
_PATIENCE = dt.timedelta(hours=6)
_SECONDS_BETWEEN_LOOKS = 0.01
# Variables that torchrun and accelerate set. The libraries must not see them.
_LAUNCHER_NAMES = {
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT", "ROLE_NAME"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
}
_LAUNCHER_PREFIXES = ("ACCELERATE_", "FSDP_", "TORCHELASTIC_")


@contextlib.contextmanager
def joined() -> Iterator[ProcessGroup]:
    """Join the processes that `launch`, torchrun or `accelerate launch` started; else yield this one alone.

    Only the first process prints. An error is printed by the process that failed first, and by no other.

    Raises:
        InputError: there are fewer GPUs on this machine than processes, or a launcher's variable is not a number.
        TrainingError: another process is gone.
        SystemExit: another process has already printed the error.
    """
    world, rank = launcher_number("WORLD_SIZE", 1), launcher_number("RANK", 0)
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
                f"process {rank} lost the others ({first_line(error)}); their messages give the reason; "
                "resume with: llm-summ sft --resume, started as before"
            ) from error
        finally:
            _leave()


def _await_all(store: Any, world: int) -> None:
    """Wait until all are connected.

    A process that fails and exits at once would break the connection that another one is still making. That one
    would report it as well, and from C++, which nothing here silences.
    """
    if store.add("connected", 1) == world:
        store.set("all connected", "")
    while not store.check(["all connected"]):  # `wait` would let no signal through
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _forget_locals(error: BaseException) -> None:
    """Clear the local variables of an error's frames: they keep the process group, and so its threads, alive."""
    errors, seen = [error], set[int]()
    while errors:
        current = errors.pop()
        if id(current) not in seen:
            seen.add(id(current))
            traceback.clear_frames(current.__traceback__)
            errors += [other for other in (current.__cause__, current.__context__) if other is not None]


def _leave() -> None:
    """End the group's threads: C++ aborts, with a message, if the process ends before its threads do."""
    import torch

    gc.collect()  # a divided model, in a cycle with its trainer, keeps the group alive
    torch.distributed.destroy_process_group()


def launcher_number(name: str, default: int) -> int:
    """Return a number that a launcher put into the environment.

    Raises:
        InputError: the value is not a number.
    """
    text = os.environ.get(name, "").strip()
    if text and not text.isdecimal():
        raise InputError(
            f"{name}: found {text!r} in the environment, expected a number, as torchrun sets it; unset {name}"
        )
    return int(text) if text else default


def _connect(rank: int, world: int) -> Any:
    """Connect to the other processes; return the store that all can write to."""
    require_training()
    quiet_libraries()
    here, local_rank = launcher_number("LOCAL_WORLD_SIZE", world), launcher_number("LOCAL_RANK", rank)
    import torch

    gpus = torch.cuda.device_count()
    if gpus:
        if here > gpus:
            if local_rank:
                raise SystemExit(InputError.exit_code)  # the machine's first process prints the reason
            raise InputError(
                f"--devices {here}: found {gpus} GPU{'s' if gpus > 1 else ''} on this machine, and each process "
                f"needs one; lower --devices to {gpus}, or check CUDA_VISIBLE_DEVICES"
            )
        # Each process sees only its own GPU. This works until CUDA is first used.
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
    # A launcher that restarts the processes may keep its store: the prefix hides what the earlier ones wrote.
    store = torch.distributed.PrefixStore(f"llm-summ/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    _forget_launchers()
    return store


def _forget_launchers() -> None:
    for name in list(os.environ):
        if name in _LAUNCHER_NAMES or name.startswith(_LAUNCHER_PREFIXES):
            del os.environ[name]


def _end_with_launcher() -> None:
    """End this process when the one that started it is gone: nothing else would stop it."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _is_first_to_fail(store: Any) -> bool:
    try:
        return bool(store.add("failed", 1) == 1)
    except RuntimeError:  # the store ended with its process, which has printed the error
        return False


def _exit_code(error: BaseException) -> int:
    if isinstance(error, LlmSummError):
        return error.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else LOST if is_connection_lost(error) else 1
