"""Several copies of an engine side by side, each in a process of its own: data parallel generation."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from llm_summ.errors import EngineError, GenerationError, LlmSummError, first_line
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request, unfinished

__all__ = ["ParallelEngine", "places"]

_PATIENCE = 20.0  # seconds in which a copy may end by itself


def places(copies: int, gpus_each: int, gpus: int) -> list[dict[str, str]]:
    """The environment of each copy: GPUs of its own, or its share of the CPU's cores.

    Args:
        copies: how many there are to be.
        gpus_each: that each of them is divided among.
        gpus: that are there; 0: it is a CPU that computes.

    Raises:
        EngineError: there are too few GPUs or cores.
    """
    if gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        names = visible.split(",")[:gpus] if visible else [str(number) for number in range(gpus)]
        if copies * gpus_each > len(names):
            each = f" with tensor_parallel {gpus_each}" if gpus_each > 1 else ""
            raise EngineError(
                f"generate.data_parallel {copies}{each}: needs {copies * gpus_each} GPUs, found {len(names)}; "
                f"set it to {max(1, len(names) // gpus_each)}"
            )
        shares = [names[place * gpus_each : (place + 1) * gpus_each] for place in range(copies)]
        return [{"CUDA_VISIBLE_DEVICES": ",".join(share)} for share in shares]
    cores = sorted(os.sched_getaffinity(0))
    if copies > len(cores):
        raise EngineError(
            f"generate.data_parallel {copies}: this machine has {len(cores)} cores; set it to that or less"
        )
    size = len(cores) // copies
    own = [cores[place * size : (place + 1) * size] for place in range(copies)]
    return [
        {"OMP_NUM_THREADS": str(size), "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, share))} for share in own
    ]


@dataclass(slots=True)
class _Copy:
    """A copy; `share` are the indexes of the requests that it has."""

    process: BaseProcess
    pipe: Connection
    share: list[int]


class ParallelEngine:
    """Copies of one engine. Requests are dealt out by the length of their prompts, so that each has like work.

    Args:
        name: the engine's.
        start: makes one copy; it is called in another process, so it has to be picklable.
        environments: of each copy, beside what this process has.

    Raises:
        GenerationError: a copy does not start.
    """

    def __init__(self, name: str, start: Callable[[], Engine], environments: Sequence[Mapping[str, str]]) -> None:
        self.name = name
        self._copies: list[_Copy] = []
        context = multiprocessing.get_context("spawn")
        try:
            for environment in environments:
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, start))
                with _environment(environment):  # before a library of the copy looks at it
                    process.start()
                theirs.close()
                self._copies.append(_Copy(process, ours, []))
            for _ in self._messages(list(self._copies)):
                pass
        except BaseException:
            self.close()
            raise

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield what any copy finishes.

        Raises:
            GenerationError: a copy failed.
        """
        order = sorted(range(len(requests)), key=lambda index: len(requests[index].prompt_ids), reverse=True)
        busy = []
        for place, copy in enumerate(self._copies):
            copy.share = order[place :: len(self._copies)]
            pairs = ((at, sample) for at in range(len(copy.share)) for sample in range(decoding.n))
            there = frozenset((at, sample) for at, sample in pairs if (copy.share[at], sample) in done)
            if unfinished(len(copy.share), decoding.n, there):
                # One that has died is told of below.
                with contextlib.suppress(OSError):
                    copy.pipe.send(([requests[index] for index in copy.share], stop_id, decoding, there))
                busy.append(copy)
        for copy, output in self._messages(busy):
            yield replace(output, index=copy.share[output.index])

    def _messages(self, busy: list[_Copy]) -> Iterator[tuple[_Copy, Output]]:
        """What copies send, until each of them has nothing more to do."""
        while busy:
            ready = wait([copy.pipe for copy in busy])
            for copy in [one for one in busy if one.pipe in ready]:
                try:
                    message = copy.pipe.recv()
                except (EOFError, OSError):
                    copy.process.join(_PATIENCE)
                    which = f"copy {self._copies.index(copy) + 1} of {len(self._copies)}"
                    raise GenerationError(
                        f"{self.name}: {which} died (exit code {copy.process.exitcode}); what was finished is "
                        "kept, and the same command goes on from there"
                    ) from None
                if message is None:
                    busy.remove(copy)
                elif isinstance(message, str):
                    raise GenerationError(message)
                else:
                    yield copy, message

    def close(self) -> None:
        """End the copies."""
        for copy in self._copies:
            with contextlib.suppress(OSError):
                copy.pipe.send(None)
        for copy in self._copies:
            copy.pipe.close()  # whoever is still writing has no reader now
            copy.process.join(_PATIENCE)
            for end in (copy.process.terminate, copy.process.kill):
                if copy.process.exitcode is None:
                    end()
                    copy.process.join(_PATIENCE)
        self._copies = []


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(pipe: Connection, start: Callable[[], Engine]) -> None:
    """A copy's life: an engine that is asked until nobody asks any more.

    It sends outputs, then None; or a text, which says why it failed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process: the first one tells the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        engine = start()
        try:
            pipe.send(None)
            while (asked := pipe.recv()) is not None:
                requests, stop_id, decoding, done = asked
                for output in engine.generate(requests, stop_id=stop_id, decoding=decoding, done=done):
                    pipe.send(output)
                pipe.send(None)
        finally:
            engine.close()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the first process has gone, or wants nothing more
    except Exception as error:  # noqa: BLE001  whatever it is, the first process tells it
        expected = isinstance(error, LlmSummError)
        with contextlib.suppress(OSError):
            pipe.send(str(error) if expected else f"{type(error).__name__}: {first_line(error)}")


def _end_with_parent() -> None:
    """A parent that was killed takes no more outputs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
