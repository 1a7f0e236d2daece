"""Live engines that compute in one thread: requests wait, and become a batch."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from llm_summ.core.errors import EngineDownError, GenerationError, LlmSummError
from llm_summ.generate.engine import GREEDY, Decoding, Engine, Request
from llm_summ.generate.live import Piece
from llm_summ.generate.proof import Proving

__all__ = ["BatchedLive", "Call", "Settings", "ThreadedLive"]

_FILL = 0.005  # seconds that a request waits for others when the engine has nothing to do

Settings = tuple[int, Decoding]
"""A stop id, and how the next token is chosen."""


@dataclass(eq=False, slots=True)
class Call:
    """A request that waits, or is worked on, in a `ThreadedLive`.

    Attributes:
        request: the prompt.
        stop_id: ends a generation.
        decoding: how the next token is chosen.
        is_cancelled: whether the caller needs no more of it.
        since: when it came, by the monotonic clock.
        finished: the numbers of the finished candidates.
        given: number of tokens that were passed on, by candidate.
    """

    request: Request
    stop_id: int
    decoding: Decoding
    _loop: asyncio.AbstractEventLoop
    _answers: asyncio.Queue[Piece | Exception | None] = field(default_factory=asyncio.Queue)
    is_cancelled: bool = False
    since: float = field(default_factory=time.monotonic)
    finished: set[int] = field(default_factory=set)
    given: dict[int, int] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What the requests of one batch have in common."""
        return self.stop_id, self.decoding

    @property
    def is_over(self) -> bool:
        """Whether no one waits for more of it."""
        return self.is_cancelled or len(self.finished) == self.decoding.n

    def give(self, piece: Piece) -> None:
        """Pass on a piece, from any thread. A candidate that is finished already is ignored."""
        if piece.output is not None:
            if piece.sample in self.finished:
                return
            self.finished.add(piece.sample)
        self._put(piece)
        if len(self.finished) == self.decoding.n:
            self._put(None)

    def give_token(self, sample: int, place: int, token: int) -> None:
        """Pass on a token of a candidate, unless that was done before its batch failed; `place` is its number."""
        if place >= self.given.get(sample, 0):
            self.given[sample] = place + 1
            self.give(Piece(sample, (token,)))

    def fail(self, error: Exception) -> None:
        """End the request with an error, from any thread."""
        self._put(error)

    def _put(self, answer: Piece | Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: no one waits any more
            self._loop.call_soon_threadsafe(self._answers.put_nowait, answer)

    async def answers(self) -> AsyncIterator[Piece]:
        """Yield the pieces until all candidates are finished."""
        while (answer := await self._answers.get()) is not None:
            if isinstance(answer, Exception):
                raise answer
            yield answer


class ThreadedLive(ABC):
    """A live engine that computes in one thread, for several requests at a time.

    Args:
        name: the engine's.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._waiting: list[Call] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def stream(self, request: Request, *, stop_id: int, decoding: Decoding = GREEDY) -> AsyncIterator[Piece]:
        """Yield the pieces of a request; it waits for a place in a batch."""
        call = Call(request, stop_id, decoding, asyncio.get_running_loop())
        with self._changed:
            self._waiting.append(call)
            self._changed.notify()
        try:
            async for piece in call.answers():
                yield piece
        finally:
            call.is_cancelled = True

    async def close(self) -> None:
        """End the thread after its current work, and free the engine."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        self._free()

    @abstractmethod
    def _work(self, calls: Sequence[Call]) -> None:
        """Answer some requests with the same settings; an error that is raised ends those without an answer."""

    @abstractmethod
    def _free(self) -> None:
        """Free memory and end processes."""

    @abstractmethod
    def _room(self, decoding: Decoding) -> int:
        """Return how many requests with these settings are answered at a time."""

    def take(self, room: int, settings: Settings | None = None) -> list[Call]:
        """Remove and return waiting requests with the same settings, without waiting.

        They are the one that came first, and those with prompts of a similar length: shorter prompts are padded.

        Args:
            room: the most.
            settings: theirs; None: those of the request that came first. If a request with others came first, none
                is returned, since it would otherwise wait without end.
        """
        with self._changed:
            self._waiting = [call for call in self._waiting if not call.is_cancelled]
            if not self._waiting or settings not in (None, self._waiting[0].settings):
                return []
            first = self._waiting[0]
            same = [call for call in self._waiting if call.settings == first.settings]
            length = len(first.request.prompt_ids)
            same.sort(key=lambda call: abs(len(call.request.prompt_ids) - length))  # the first stays the first
            taken = same[:room]
            self._waiting = [call for call in self._waiting if call not in taken]
        for call in taken:
            call.give(Piece())
        return taken

    def could_join(self, settings: Settings) -> int:
        """Return how many requests `take` could return for these settings."""
        with self._changed:
            if not self._waiting or self._waiting[0].settings != settings:
                return 0
            return sum(call.settings == settings for call in self._waiting)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                until = self._waiting[0].since + _FILL
                room = self._room(self._waiting[0].decoding)
                while len(self._waiting) < room and (left := until - time.monotonic()) > 0:
                    self._changed.wait(left)
            calls = self.take(room)
            if calls:
                try:
                    self._work(calls)
                except Exception as error:  # noqa: BLE001  each caller raises it
                    for call in calls:
                        if not call.is_over:
                            call.fail(error)


class BatchedLive(ThreadedLive):
    """The live form of an engine that has none of its own: the requests that wait become a batch.

    Texts come when they are finished, and no token before. A request that is cancelled while its batch is under
    way is generated to its end, for nothing.

    Args:
        engine: started. `close` closes it.
        batch_size: requests at a time.
    """

    def __init__(self, engine: Engine, batch_size: int) -> None:
        self._engine, self._batch_size = engine, batch_size
        super().__init__(engine.name)

    async def next_token(self, prompt_ids: Sequence[int], *, adapter: bool = True) -> Mapping[int, float]:
        """Return the log-probabilities of the likeliest next tokens after a prompt, before the first request.

        They are empty if the engine returns none.
        """
        if not isinstance(self._engine, Proving):
            return {}
        return self._engine.next_token(prompt_ids, adapter=adapter)

    def _room(self, decoding: Decoding) -> int:
        return self._batch_size

    def _work(self, calls: Sequence[Call]) -> None:
        """Answer a batch. If it fails, each request without an answer is tried alone: one of them is to blame."""
        batch = list(calls)
        failure = self._failure(batch, alone=False)
        if failure is None:
            return
        if len(batch) == 1:
            batch[0].fail(failure)
            return
        del failure
        for call in batch:
            if not call.is_over and (failure := self._failure([call], alone=True)) is not None:
                call.fail(failure)

    def _failure(self, calls: list[Call], *, alone: bool) -> Exception | None:
        """Answer a batch, and return the error that it failed with. It is not raised: its frames hold memory."""
        try:
            self._generate(calls, alone=alone)
        except EngineDownError:
            raise
        except Exception as error:  # noqa: BLE001  the caller raises it
            return error
        return None

    def _generate(self, calls: list[Call], *, alone: bool) -> None:
        """Answer requests with the same settings.

        Args:
            calls: at least one; those that join them are added.
            alone: whether no others may join.

        Raises:
            EngineDownError: the engine cannot work any more.
        """
        stop_id, decoding = calls[0].stop_id, calls[0].decoding
        outputs = self._engine.generate([call.request for call in calls], stop_id=stop_id, decoding=decoding)
        for output in outputs:
            calls[output.index].give(Piece(output.sample, output=replace(output, index=0)))
        for call in calls:
            if not call.is_over:
                call.fail(GenerationError(f"{self.name}: gave no text for a prompt"))

    def _free(self) -> None:
        # An error about requests without an answer: their callers have it already.
        with contextlib.suppress(LlmSummError):
            self._engine.close()
