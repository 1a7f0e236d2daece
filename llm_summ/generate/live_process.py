"""A live engine in a process of its own, for many threads; it is started again when it ends.

An engine's crash, or the system's kill of a process that needs too much memory, costs the requests under way, and
nothing else. The process ends, with all that it has started, however this one ends.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from llm_summ.core.errors import AbandonedError, EngineDownError, LlmSummError
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Key, Output, Request, unfinished
from llm_summ.generate.live import Piece
from llm_summ.generate.live_supervisor import LOOK, PATIENCE, EngineState, Restarts, SupervisedProcess
from llm_summ.generate.live_worker import Answer, Ask, Drop, StartLive

__all__ = ["EngineProcess", "EngineState", "OnTokens", "Restarts"]

OnTokens = Callable[[int, int, tuple[int, ...] | str], None]
"""Is called with the index of a request, the number of its candidate, and its next token ids or the next part of
its text."""


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
        self._process = SupervisedProcess(name, start, restarts or Restarts(), self._give, self._lose)
        self._changed = self._process.changed  # protects what follows
        self._under_way: dict[int, _UnderWay] = {}
        self._queued = 0  # requests that wait for the start
        self._numbers = itertools.count()
        self._process.begin()

    @property
    def state(self) -> EngineState:
        """Whether the engine starts, works, or is down: it refused to start, or kept ending soon."""
        return self._process.state

    @property
    def reason(self) -> str:
        """Why the engine last ended or failed to start; empty if it never did."""
        return str(self._process.failure or "")

    @property
    def pid(self) -> int | None:
        """The id of the process; None: there is none now."""
        process = self._process.process
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
            while self._process.state == "starting" and not self._process.is_closing:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(left)
            if self._process.state == "ready":
                return True
            raise self._process.failure or self._process.closed

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
        return self.engine().generate(requests, stop_id=stop_id, decoding=decoding, done=done)

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
                if numbers and self.state == "starting":  # those that were sent are lost
                    raise EngineDownError(f"{self.name}: its process ended; try again later")
                numbers[index] = self._ask(
                    request, stop_id, decoding, _UnderWay(answers, index), on_tokens is not None, cancelled
                )
            while numbers:
                try:
                    index, answer = answers.get(timeout=LOOK)
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

    def close(self, patience: float = PATIENCE) -> None:
        """End the process, and all that it has started. Requests under way raise `EngineDownError`.

        Args:
            patience: seconds that the engine has to free its memory by itself.
        """
        self._process.close(patience)

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
                while self._process.state == "starting" and not self._process.is_closing:
                    self._changed.wait(LOOK)
                    _check(cancelled)
            finally:
                self._queued -= 1
            if self._process.is_closing:
                raise self._process.closed
            if self._process.state == "down":
                raise EngineDownError(f"{self.name}: is down ({self.reason}); try again later")
            self._under_way[number] = under_way
            self._process.send(Ask(number, request, stop_id, decoding, wants_tokens))
        return number

    def _drop(self, number: int) -> None:
        """Stop a request."""
        with self._changed:
            if self._under_way.pop(number, None) is not None:
                self._process.send(Drop(number))

    def _lose(self, failure: LlmSummError) -> None:
        """Report the end of the process to all whose requests were under way."""
        lost, self._under_way = self._under_way, {}
        for request in lost.values():
            request.answers.put((request.index, EngineDownError(str(failure))))

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
