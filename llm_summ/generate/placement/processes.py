"""Several copies of an engine side by side, each in a process of its own: data parallel generation."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from llm_summ.core.errors import EngineError, GenerationError, LlmSummError, first_line
from llm_summ.core.optional_packages import quiet_warnings
from llm_summ.core.terminal import is_shown, shown_on_stderr
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request, unfinished

__all__ = ["ParallelEngine", "places"]

_PATIENCE = 10.0  # seconds in which a copy may end by itself
_LOOK = 1.0  # seconds after which it is looked whether a copy has died


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
        if gpus_each > len(names):
            raise EngineError(
                f"generate.tensor_parallel {gpus_each}: needs {gpus_each} GPUs, found {len(names)}; set it to "
                f"{len(names)} or less"
            )
        if copies * gpus_each > len(names):
            each = f" with tensor_parallel {gpus_each}" if gpus_each > 1 else ""
            raise EngineError(
                f"generate.data_parallel {copies}{each}: needs {copies * gpus_each} GPUs, found {len(names)}; "
                f"set it to {len(names) // gpus_each} or less"
            )
        shares = [names[place * gpus_each : (place + 1) * gpus_each] for place in range(copies)]
        # A copy is vLLM's first process: one that it would begin itself would outlive a kill of the copy.
        alone = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        return [{"CUDA_VISIBLE_DEVICES": ",".join(share)} | alone for share in shares]
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
        LlmSummError: what `start` raised.
        GenerationError: a copy does not start for another reason.
    """

    def __init__(self, name: str, start: Callable[[], Engine], environments: Sequence[Mapping[str, str]]) -> None:
        self.name = name
        self._copies: list[_Copy] = []
        context = multiprocessing.get_context("spawn")
        try:
            for environment in environments:
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, start, is_shown()))
                with _environment(environment):  # before a library of the copy looks at it
                    process.start()
                theirs.close()
                self._copies.append(_Copy(process, ours, []))
            for _ in self._messages(list(self._copies)):
                pass
        except BaseException:
            self._end(0)
            raise

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield what any copy finishes. Who stops before the end has closed the engine.

        Raises:
            LlmSummError: what a copy raised; what the others had finished was yielded before.
            GenerationError: a copy died, or the engine was closed.
        """
        if not self._copies:
            raise GenerationError(f"{self.name}: was closed; start it again")
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
        try:
            for copy, output in self._messages(busy):
                yield replace(output, index=copy.share[output.index])
        finally:
            if busy:
                self._end(0)  # what they still send belongs to these requests

    def _messages(self, busy: list[_Copy]) -> Iterator[tuple[_Copy, Output]]:
        """What copies send, until each of them has nothing more to do and is taken out of the list."""
        while busy:
            # A process that a copy began may hold the pipe open after the copy's end, so that is looked for, too.
            wait([copy.pipe for copy in busy], timeout=_LOOK)
            for copy in list(busy):
                for message in self._take(copy):
                    if isinstance(message, Output):
                        yield copy, message
                    elif message is None:
                        busy.remove(copy)
                        break
                    else:
                        for other in busy:
                            there = () if other is copy else self._take(other)
                            yield from ((other, one) for one in there if isinstance(one, Output))
                        raise message

    def _take(self, copy: _Copy) -> Iterator[Output | LlmSummError | None]:
        """What has come from a copy; an error at the end, if it has died."""
        ended = copy.process.exitcode is not None
        try:
            while copy.pipe.poll():
                yield copy.pipe.recv()
        except (EOFError, OSError):
            ended = True
        if ended:
            copy.process.join(_PATIENCE)
            which = f"copy {self._copies.index(copy) + 1} of {len(self._copies)}"
            yield GenerationError(
                f"{self.name}: {which} died (exit code {copy.process.exitcode}); what was finished is kept, and "
                "the same command goes on from there"
            )

    def close(self) -> None:
        """End the copies, which may take a while if they have much to let go of."""
        self._end(_PATIENCE)

    def _end(self, patience: float) -> None:
        for copy in self._copies:
            with contextlib.suppress(OSError):
                copy.pipe.send(None)
            copy.pipe.close()  # whoever is still writing has no reader now
        processes = [copy.process for copy in self._copies]
        for end in (None, BaseProcess.terminate, BaseProcess.kill):
            if end is not None:
                for process in processes:
                    end(process)
                patience = _PATIENCE
            until = time.monotonic() + patience
            for process in processes:
                process.join(max(0.0, until - time.monotonic()))
            processes = [process for process in processes if process.exitcode is None]
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


def _work(pipe: Connection, start: Callable[[], Engine], shows: bool) -> None:
    """Run a worker's process; `shows`: messages are printed on stderr, as the first process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process, and the first one ends the others
    quiet_warnings()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with shown_on_stderr() if shows else contextlib.nullcontext():
        _serve(pipe, start)


def _serve(pipe: Connection, start: Callable[[], Engine]) -> None:
    """Start an engine, and let it generate until no more requests come.

    It sends outputs, then None; or an error, and ends.
    """
    engine: Engine | None = None
    try:
        engine = start()
        _send(pipe, None)
        while (asked := _receive(pipe)) is not None:
            requests, stop_id, decoding, done = asked
            for output in engine.generate(requests, stop_id=stop_id, decoding=decoding, done=done):
                _send(pipe, output)
            _send(pipe, None)
    except _GoneError:
        pass
    except Exception as error:  # noqa: BLE001  whatever it is, the first process tells it
        with contextlib.suppress(_GoneError):
            _send(pipe, _sendable(error))
    finally:
        if engine is not None:
            engine.close()


def _sendable(error: Exception) -> LlmSummError:
    """The error as the first process can raise it, with the traceback that it has here."""
    told: LlmSummError = GenerationError(f"{type(error).__name__}: {first_line(error)} (--debug shows where)")
    if isinstance(error, LlmSummError):
        with contextlib.suppress(Exception):  # one that is made of more than its message
            told = pickle.loads(pickle.dumps(error))
    told.add_note("".join(traceback.format_exception(error)))
    return told


def _send(pipe: Connection, message: Output | LlmSummError | None) -> None:
    try:
        pipe.send(message)
    except OSError:
        raise _GoneError from None


def _receive(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        raise _GoneError from None


def _end_with_parent() -> None:
    """A parent that was killed takes no more outputs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class _GoneError(Exception):
    """The first process has gone, or wants nothing more."""
