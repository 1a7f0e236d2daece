"""Start a command once for each device of this machine, and end all when one fails."""

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
from llm_summ.train.distributed import LOST, RENDEZVOUS, launcher_number

__all__ = ["is_started", "launch", "refuse_launcher"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_SECONDS_TO_END = 90.0  # how long the other processes may run after one has failed
_SECONDS_BETWEEN_LOOKS = 0.1


def is_started() -> bool:
    """Return whether this process is one of several that `launch`, torchrun or `accelerate launch` started."""
    return launcher_number("WORLD_SIZE", 1) > 1


def refuse_launcher(devices: int) -> None:
    """Refuse ``--devices`` if torchrun or `accelerate launch` starts the processes.

    Raises:
        InputError: one of them does.
    """
    if is_started() and RENDEZVOUS not in os.environ:
        raise InputError(
            f"--devices {devices}: found WORLD_SIZE {os.environ['WORLD_SIZE']} in the environment; under torchrun "
            "or accelerate launch, leave --devices out"
        )


def launch(devices: int) -> int:
    """Run the command that this process was started with in `devices` processes, and wait for them.

    SIGTERM and Ctrl-C are forwarded to each of them; they save and stop. If one fails, the others are ended.

    Args:
        devices: the number of processes; each takes one GPU, or on a CPU its share of the cores.

    Returns:
        the exit code; if it is not 0, a process has already printed the error.

    Raises:
        StoppedError: a signal came before the training began.
        TrainingError: a process was killed.
    """
    with tempfile.TemporaryDirectory(prefix="llm-summ-") as folder:
        workers: list[subprocess.Popen[bytes]] = []

        received: list[int] = []

        def forward(number: int, frame: FrameType | None) -> None:
            received.append(number)
            for worker in workers:
                worker.send_signal(number)  # has no effect on a worker that has ended

        before = {kind: signal.signal(kind, forward) for kind in _SIGNALS}
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
            for kind, handler in before.items():
                signal.signal(kind, handler)
    if received and any(code == -number for code in codes for number in received):
        raise StoppedError("stopped", received[0])  # the signal came before there was anything to save
    return _verdict(codes)


def _start(rank: int, devices: int, rendezvous: Path) -> subprocess.Popen[bytes]:
    launcher = {
        RENDEZVOUS: str(rendezvous),
        **{"RANK": str(rank), "LOCAL_RANK": str(rank)},
        **{"WORLD_SIZE": str(devices), "LOCAL_WORLD_SIZE": str(devices)},
    }
    if Path("/sys/class/net/lo").exists():
        launcher["GLOO_SOCKET_IFNAME"] = "lo"  # in a container the host name may not resolve
    shared = {"OMP_NUM_THREADS": str(max(1, cores() // devices))}
    return subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]],
        env={**shared, **os.environ, **launcher},
        # Closed when this process is gone, however it ended: then the workers end, too.
        stdin=subprocess.PIPE,
        # A terminal's Ctrl-C reaches this process alone, which forwards it.
        start_new_session=True,
    )


def _wait(workers: list[subprocess.Popen[bytes]]) -> list[int | None]:
    """Wait for the workers; return their exit codes, None for those still running long after another failed."""
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
    reported = [code for code in codes if code is not None and code > 0 and code != LOST]
    if reported:
        return reported[0]
    if killed:
        rank, number = killed[0]
        hint = "; the system may lack memory for all of them" if number == signal.SIGKILL else ""
        raise TrainingError(
            f"process {rank} of {len(codes)} was ended by {signal.Signals(number).name}{hint}; resume with: "
            "llm-summ sft --resume"
        )
    if LOST in codes:
        raise TrainingError("the processes lost each other; resume with: llm-summ sft --resume")
    return 0
