"""Work in threads, as many at a time as there are places; it stops when its client has gone or time is over."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from llm_summ.serve.errors import HttpError
from llm_summ.serve.notices import collected
from llm_summ.serve.watching import Emit

__all__ = ["PING", "BodySpace", "Deadline", "Event", "Places", "Work"]

Result = TypeVar("Result")
Event = tuple[str, dict[str, Any]]
"""The name of an event, and its data."""

PING: Event = ("ping", {})
"""Nothing has happened for a while; proxies close connections on which nothing comes."""

_PING_SECONDS = 15.0
_LONGEST_RETRY = 60
_MORE_READ = 16  # bodies that are read at a time, beyond two for each place
_RECENT = 0.2  # weight of the last request in the mean duration


class Deadline:
    """The time by which a request must be answered.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._at = asyncio.get_running_loop().time() + seconds

    @contextlib.asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Stop the block at that time.

        Raises:
            HttpError: the time is over.
        """
        try:
            async with asyncio.timeout_at(self._at):
                yield
        except TimeoutError:
            message = f"took longer than {self._seconds:g} s; send less at a time"
            raise HttpError(504, message, "timeout") from None


class Work(Generic[Result]):
    """One request's work in a thread.

    Args:
        do: the work; it gets a function that takes events, and an event that asks it to stop.

    Attributes:
        notices: messages about the request.
    """

    def __init__(self, do: Callable[[Emit, threading.Event], Result]) -> None:
        self._do = do
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self.cancelled = threading.Event()
        self.notices: list[str] = []
        self._result: Result | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do the work; called in a thread. `end` follows."""
        try:
            with collected() as self.notices:
                self._result = self._do(lambda name, data: self._put((name, data)), self.cancelled)
        except BaseException as error:  # noqa: BLE001  raised where the work is awaited
            self._error = error

    def end(self) -> None:
        """End the events; called in the loop, when the place of the work is free again."""
        if self._result is None and self._error is None:  # the service ended before the work began
            self._error = HttpError(503, "the service is ending; try again later", "closing", close=True)
        self._events.put_nowait(None)

    async def events(self, deadline: Deadline) -> AsyncGenerator[Event]:
        """Yield the events until the work is done, and the event `PING` while nothing happens.

        When the iterator is closed, or an error ends it, the work is stopped.

        Raises:
            HttpError: the time is over.
        """
        following = asyncio.ensure_future(self._events.get())
        try:
            while True:
                async with deadline.limit():
                    done, _ = await asyncio.wait({following}, timeout=_PING_SECONDS)
                if not done:
                    yield PING
                    continue
                if (event := following.result()) is None:
                    return
                following = asyncio.ensure_future(self._events.get())
                yield event
        finally:
            following.cancel()
            self.cancelled.set()

    async def finish(self, deadline: Deadline) -> Result:
        """Wait for the result, and return it.

        Raises:
            HttpError: the time is over.
            Exception: the error of the work.
        """
        async with contextlib.aclosing(self.events(deadline)) as events:
            async for _ in events:
                pass
        return self.result()

    def result(self) -> Result:
        """Return the result, after the last event, or raise the error of the work."""
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _put(self, event: Event) -> None:
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:  # the loop is closed: no one waits
            self.cancelled.set()


class BodySpace:
    """The bytes of a body that are in memory: from the first one until its work has ended, or it was refused.

    Args:
        places: limits the bytes of all bodies.
    """

    def __init__(self, places: Places) -> None:
        self._places, self._bytes, self.has_work = places, 0, False

    def add(self, size: int) -> None:
        """Count some more bytes.

        Raises:
            HttpError: all bodies together have too many.
        """
        if self._places.held + size > self._places.most_held:
            raise self._places.refusal(close=True)
        self._places.held += size
        self._bytes += size

    def free(self) -> None:
        """Count them no more."""
        self._places.held -= self._bytes
        self._bytes = 0


class Places:
    """Places for work.

    Args:
        size: the number of places.
        most_held: bytes of all bodies together, those that are read and those of work.

    Attributes:
        held: bytes of the bodies that are in memory.
        taken: places that are not free.
    """

    def __init__(self, size: int, most_held: int) -> None:
        self.size, self.most_held = size, most_held
        self.taken = self.held = self._read = 0
        self._seconds = 1.0  # mean of recent requests
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="request")

    @contextlib.contextmanager
    def reading(self) -> Iterator[BodySpace]:
        """Read and parse a body while the block runs, up to `start`: there are not much more bodies than places.

        Raises:
            HttpError: no place is free, or too many are read.
        """
        self.check(self._read >= 2 * self.size + _MORE_READ)
        self._read += 1
        space = BodySpace(self)
        try:
            yield space
        finally:
            self._read -= 1
            if not space.has_work:
                space.free()

    def check(self, is_full: bool = False) -> None:
        """Check that a place is free.

        Args:
            is_full: whether another limit is reached.

        Raises:
            HttpError: all are taken, or the other limit is reached.
        """
        if is_full or self.taken >= self.size:
            raise self.refusal()

    def refusal(self, *, close: bool = False) -> HttpError:
        """Return the answer to a request for which there is no place; see `HttpError`."""
        return HttpError(
            429,
            f"too many requests at a time (at most {self.size}); try again later",
            "too_many_requests",
            retry_after=min(_LONGEST_RETRY, max(1, math.ceil(self._seconds))),
            close=close,
        )

    def start(self, work: Work[Any], space: BodySpace) -> None:
        """Begin some work. Its place is free again when its thread has ended, not when its client has gone.

        Args:
            work: the work.
            space: that of the body, which is freed with the place.

        Raises:
            HttpError: no place is free.
        """
        self.check()
        self.taken += 1
        space.has_work = True
        loop, begun = asyncio.get_running_loop(), time.monotonic()

        def over(_: object) -> None:
            self.taken -= 1
            space.free()
            self._seconds += _RECENT * (time.monotonic() - begun - self._seconds)
            work.end()  # not before: a client's next request may need the place

        future = loop.run_in_executor(self._pool, work.run)
        future.add_done_callback(over)

    def close(self) -> None:
        """Let threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
