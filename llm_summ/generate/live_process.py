"""A live engine in a process of its own, for many threads; it is started again when it ends.

An engine's crash, or the system's kill of a process that needs too much memory, costs the requests under way, and
nothing else. The process ends, with all that it has started, however this one ends.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal

from llm_summ.core.errors import AbandonedError, EngineDownError, LlmSummError
from llm_summ.core.progress import say
from llm_summ.core.terminal import is_shown
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request, unfinished
from llm_summ.generate.live import Piece
from llm_summ.generate.live_worker import Answer, Ask, Drop, StartLive, end_group, serve_live

__all__ = ["EngineProcess", "EngineState", "OnTokens", "Restarts"]

EngineState = Literal["starting", "ready", "down"]

OnTokens = Callable[[int, int, tuple[int, ...] | str], None]
"""Is called with the index of a request, the number of its candidate, and its next token ids or the next part of
its text."""

_LOOK = 0.1  # seconds between checks: whether the process has ended, and whether a caller has stopped its request
_PATIENCE = 10.0  # seconds that the process has to end by itself


@dataclass(frozen=True, slots=True)
class Restarts:
    """When an engine's process is started again.

    Attributes:
        pauses: seconds before each new start, as long as the process keeps ending soon after its start. After the
            last of them the engine is down: requests fail at once.
        long_pause: seconds between further starts.
        soon: seconds; a process that worked for longer does not count as one that ended soon.
    """

    pauses: tuple[float, ...] = (0.0, 2.0, 10.0)
    long_pause: float = 60.0
    soon: float = 60.0


@dataclass(slots=True)
class _UnderWay:
    """A request that the process works on; `answers` gets its `index` with each answer."""

    answers: queue.SimpleQueue[tuple[int, Piece | LlmSummError | None]]
    index: int
    has_begun: bool = False


class EngineProcess:
    """An engine for many threads at a time, in a process of its own. It is an `Engine`, too.

    The process is started at once; `wait` waits for it. A request that comes while it starts waits, too.

    Args:
        name: the engine's.
        start: starts the live engine; it is called in another process, so it has to be picklable.
        restarts: when the process is started again.
    """

    def __init__(self, name: str, start: StartLive, restarts: Restarts | None = None) -> None:
        self.name = name
        self._start, self._restarts = start, restarts or Restarts()
        self._shows = is_shown()
        self._changed = threading.Condition()  # protects everything below
        self._state: EngineState = "starting"
        self._failure: LlmSummError | None = None
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._under_way: dict[int, _UnderWay] = {}
        self._queued = 0  # requests that wait for the start
        self._ready_since = 0.0
        self._closing = threading.Event()
        self._patience = _PATIENCE
        self._numbers = itertools.count()
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, name=f"{name} process", daemon=True)
        self._thread.start()
        atexit.register(self.close, 0.0)

    @property
    def state(self) -> EngineState:
        """Whether the engine starts, works, or is down: then it was started several times in vain."""
        return self._state

    @property
    def reason(self) -> str:
        """Why the engine last ended or failed to start; empty if it never did."""
        return str(self._failure or "")

    @property
    def pid(self) -> int | None:
        """The id of the process; None: there is none now."""
        process = self._process
        return None if process is None else process.pid

    @property
    def running(self) -> int:
        """Number of requests that are being generated."""
        with self._changed:
            return sum(request.has_begun for request in self._under_way.values())

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a place in a batch, or for the start of the engine."""
        with self._changed:
            return self._queued + sum(not request.has_begun for request in self._under_way.values())

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the engine is ready, and return whether it is; None waits as long as it takes.

        Raises:
            LlmSummError: the engine refused to start, or is down.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while self._state == "starting" and not self._closing.is_set():
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            if self._state == "ready":
                return True
            raise self._failure or self._closed()

    def engine(self, on_tokens: OnTokens | None = None, cancelled: threading.Event | None = None) -> Engine:
        """Return a view of this engine for one caller; closing it does nothing.

        Args:
            on_tokens: is called with new tokens as they come, by the caller's thread.
            cancelled: when it is set, the caller's requests are stopped, and `generate` raises `AbandonedError`.
        """
        return _View(self, on_tokens, cancelled)

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield outputs as they are finished; several threads may do so at the same time.

        Raises:
            EngineDownError: the process ended, or is down.
            LlmSummError: a request failed.
        """
        left = unfinished(len(requests), decoding.n, done)
        return self.answers({index: requests[index] for index in left}, stop_id, decoding, None, None)

    def answers(
        self,
        requests: dict[int, Request],
        stop_id: int,
        decoding: Decoding,
        on_tokens: OnTokens | None,
        cancelled: threading.Event | None,
    ) -> Iterator[Output]:
        """Yield the outputs of requests by their indexes; arguments and errors are those of a view."""
        answers: queue.SimpleQueue[tuple[int, Piece | LlmSummError | None]] = queue.SimpleQueue()
        numbers: dict[int, int] = {}
        try:
            for index, request in requests.items():
                numbers[index] = self._ask(
                    request, stop_id, decoding, _UnderWay(answers, index), on_tokens is not None, cancelled
                )
            while numbers:
                try:
                    index, answer = answers.get(timeout=_LOOK)
                except queue.Empty:
                    _check(cancelled)
                    continue
                _check(cancelled)
                if isinstance(answer, LlmSummError):
                    numbers.pop(index)
                    raise answer
                if answer is None:
                    numbers.pop(index)
                    continue
                new = answer.token_ids or answer.text
                if new and on_tokens is not None:
                    on_tokens(index, answer.sample, new)
                if answer.output is not None:
                    yield replace(answer.output, index=index)
        finally:
            for number in numbers.values():
                self._drop(number)

    def close(self, patience: float = _PATIENCE) -> None:
        """End the process, and all that it has started. Requests under way raise `EngineDownError`.

        Args:
            patience: seconds that the engine has to free its memory by itself.
        """
        atexit.unregister(self.close)
        with self._changed:
            self._patience = patience
            self._closing.set()
            self._changed.notify_all()
        self._thread.join()

    def _ask(
        self,
        request: Request,
        stop_id: int,
        decoding: Decoding,
        under_way: _UnderWay,
        wants_tokens: bool,
        cancelled: threading.Event | None,
    ) -> int:
        """Send a request to the process when it is ready, and return the request's number."""
        number = next(self._numbers)
        with self._changed:
            self._queued += 1
            try:
                while self._state == "starting" and not self._closing.is_set():
                    self._changed.wait(_LOOK)
                    _check(cancelled)
            finally:
                self._queued -= 1
            if self._closing.is_set():
                raise self._closed()
            if self._state == "down":
                raise EngineDownError(f"{self.name}: is down ({self.reason}); try again later")
            self._under_way[number] = under_way
            pipe = self._pipe
        self._send(pipe, Ask(number, request, stop_id, decoding, wants_tokens))
        return number

    def _drop(self, number: int) -> None:
        """Stop a request."""
        with self._changed:
            is_known = self._under_way.pop(number, None) is not None
            pipe = self._pipe
        if is_known:
            self._send(pipe, Drop(number))

    def _send(self, pipe: Connection | None, message: Ask | Drop | None) -> None:
        # `_supervise` reports a process that has ended.
        with self._sending, contextlib.suppress(OSError):
            if pipe is not None:
                pipe.send(message)

    def _closed(self) -> EngineDownError:
        return EngineDownError(f"{self.name}: was closed; start it again")

    def _supervise(self) -> None:
        """Start the process, pass on its answers, and start it again when it ends; run by a thread."""
        soon_ended = 0
        while not self._closing.is_set():
            failure = self._run()
            lived = self._ready_since and time.monotonic() - self._ready_since > self._restarts.soon
            soon_ended = 1 if lived else soon_ended + 1
            refused = not isinstance(failure, EngineDownError)  # it has a reason, and will have it again
            is_down = refused or soon_ended > len(self._restarts.pauses)
            pause = self._restarts.long_pause if is_down else self._restarts.pauses[soon_ended - 1]
            with self._changed:
                if self._closing.is_set():
                    return
                self._failure = failure
                self._state = "down" if is_down else "starting"
                self._changed.notify_all()
                say(f"{failure}; starts again in {pause:.0f} s")
                self._changed.wait_for(self._closing.is_set, pause)

    def _run(self) -> LlmSummError:
        """Run one process to its end, and return why it ended."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve_live, args=(theirs, self._start, self._shows))
        try:
            process.start()
        except Exception as error:  # noqa: BLE001  too little memory, or a function that cannot be pickled
            ours.close()
            return EngineDownError(f"{self.name}: its process cannot be started ({type(error).__name__})")
        finally:
            theirs.close()
        with self._changed:
            self._process, self._pipe, self._ready_since = process, ours, 0.0
        failure = self._pass_on(process, ours)
        if self._closing.is_set():
            self._send(ours, None)
            process.join(self._patience)
        if process.pid:
            end_group(process.pid)
        process.join()
        if self._closing.is_set():
            failure = self._closed()
        elif failure is None:
            failure = EngineDownError(f"{self.name}: its process ended (exit code {process.exitcode})")
        with self._changed:
            self._process = self._pipe = None
            self._state = "down" if self._closing.is_set() else "starting"
            lost, self._under_way = self._under_way, {}
            self._changed.notify_all()
        ours.close()
        for request in lost.values():
            request.answers.put((request.index, EngineDownError(str(failure))))
        return failure

    def _pass_on(self, process: BaseProcess, pipe: Connection) -> LlmSummError | None:
        """Pass on the process's answers until it ends or is to end; return the reason if it gave one."""
        while not self._closing.is_set():
            # A child process of a dead one can hold the pipe open. The timeout lets us check for that.
            wait([pipe], timeout=_LOOK)
            has_ended = process.exitcode is not None
            try:
                while pipe.poll():
                    answer: Answer = pipe.recv()
                    if answer.number >= 0:
                        self._give(answer)
                    elif isinstance(answer.content, LlmSummError):
                        return answer.content
                    else:
                        with self._changed:
                            self._state, self._ready_since = "ready", time.monotonic()
                            self._changed.notify_all()
            except (EOFError, OSError):
                has_ended = True
            if has_ended:
                break
        return None

    def _give(self, answer: Answer) -> None:
        with self._changed:
            if (request := self._under_way.get(answer.number)) is None:
                return  # it was dropped
            if isinstance(answer.content, Piece):
                request.has_begun = True
            else:
                del self._under_way[answer.number]
        request.answers.put((request.index, answer.content))


def _check(cancelled: threading.Event | None) -> None:
    if cancelled is not None and cancelled.is_set():
        raise AbandonedError("the request was stopped by its caller")


@dataclass(frozen=True, slots=True)
class _View:
    """An `Engine` for one caller of a process."""

    process: EngineProcess
    on_tokens: OnTokens | None
    cancelled: threading.Event | None

    @property
    def name(self) -> str:
        """The engine's name."""
        return self.process.name

    def generate(
        self,
        requests: Sequence[Request],
        *,
        stop_id: int,
        decoding: Decoding = GREEDY,
        done: Collection[Key] = (),
    ) -> Iterator[Output]:
        """Yield outputs as they are finished.

        Raises:
            AbandonedError: the caller's event was set.
            EngineDownError: the process ended, or is down.
            LlmSummError: a request failed.
        """
        left = unfinished(len(requests), decoding.n, done)
        asked = {index: requests[index] for index in left}
        return self.process.answers(asked, stop_id, decoding, self.on_tokens, self.cancelled)

    def close(self) -> None:
        """Do nothing: the process has other callers."""
