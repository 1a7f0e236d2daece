"""Start a command once for each device of this machine, and end all when one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from llm_summ.core.errors import InputError, StoppedError, TrainingError
from llm_summ.score.workers import cores
from llm_summ.train.distributed import LOST, RENDEZVOUS, told

__all__ = ["is_started", "launch", "refuse_launcher"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SECONDS_TO_END = 90.0  # what processes are given after one of them has failed
_SECONDS_BETWEEN_LOOKS = 0.1


def is_started() -> bool:
    """Whether this process is one of several: `launch`, torchrun or `accelerate launch` started it."""
    return told("WORLD_SIZE", 1) > 1


def refuse_launcher(devices: int) -> None:
    """Refuse ``--devices`` where something else starts the processes.

    Raises:
        InputError: torchrun or `accelerate launch` does.
    """
    if is_started() and RENDEZVOUS not in os.environ:
        raise InputError(
            f"--devices {devices}: found WORLD_SIZE {os.environ['WORLD_SIZE']} in the environment; torchrun and "
            "accelerate launch start the processes themselves: leave --devices out"
        )


def launch(devices: int) -> int:
    """Run the command that this process was started with in `devices` processes, and wait for them.

    SIGTERM and Ctrl-C are handed on to each of them once; they save and stop. If one fails, the others are ended.

    Args:
        devices: how many; each takes one GPU, or on a CPU its share of the cores.

    Returns:
        the exit code; what is not 0 has been told.

    Raises:
        StoppedError: a signal came before the training began.
        TrainingError: a process was killed.
    """
    with tempfile.TemporaryDirectory(prefix="llm-summ-") as folder:
        workers: list[subprocess.Popen[bytes]] = []

        received: list[int] = []

        def hand_on(number: int, frame: FrameType | None) -> None:
            received.append(number)
            for worker in workers:
                worker.send_signal(number)  # does nothing to one that has ended

        before = {one: signal.signal(one, hand_on) for one in _SIGNALS}
        try:
            while len(workers) < devices:
                workers.append(_start(len(workers), devices, Path(folder) / "rendezvous"))
            codes = _wait(workers)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
                if worker.stdin is not None:
                    worker.stdin.close()
            for one, handler in before.items():
                signal.signal(one, handler)
    if received and any(code == -number for code in codes for number in received):
        raise StoppedError("stopped", received[0])  # it came before anything was there to be saved
    return _verdict(codes)


def _start(rank: int, devices: int, rendezvous: Path) -> subprocess.Popen[bytes]:
    told = {
        RENDEZVOUS: str(rendezvous),
        **{"RANK": str(rank), "LOCAL_RANK": str(rank)},
        **{"WORLD_SIZE": str(devices), "LOCAL_WORLD_SIZE": str(devices)},
    }
    if Path("/sys/class/net/lo").exists():
        told["GLOO_SOCKET_IFNAME"] = "lo"  # a container's own name need not be known to it
    shared = {"OMP_NUM_THREADS": str(max(1, cores() // devices))}
    return subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]],
        env={**shared, **os.environ, **told},
        # Closed when this process is gone, however it ended: then a worker ends, too.
        stdin=subprocess.PIPE,
        # A terminal's Ctrl-C comes to this process alone, which hands it on.
        start_new_session=True,
    )


def _wait(workers: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """The exit codes; None of those that had to be ended because another one failed."""
    failed_at = None
    while True:
        codes = [worker.poll() for worker in workers]
        if None not in codes:
            return codes
        if failed_at is None and any(codes):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > _SECONDS_TO_END:
            return codes
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _verdict(codes: list[int | None]) -> int:
    killed = [(rank, -code) for rank, code in enumerate(codes) if code is not None and code < 0]
    told = [code for code in codes if code is not None and code > 0 and code != LOST]
    if told:
        return told[0]
    if killed:
        rank, number = killed[0]
        hint = "; the system may lack memory for so many" if number == signal.SIGKILL else ""
        raise TrainingError(
            f"process {rank} of {len(codes)} was ended by {signal.Signals(number).name}{hint}; go on with: "
            "llm-summ sft --resume"
        )
    if LOST in codes:
        raise TrainingError("the processes lost each other; go on with: llm-summ sft --resume")
    return 0
