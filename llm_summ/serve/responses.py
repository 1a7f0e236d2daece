"""Answers: JSON, errors, and streams of events (server-sent events, as HTML defines them)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llm_summ.serve.errors import HttpError, as_http_error, log_failure
from llm_summ.serve.work import Deadline

__all__ = ["PING_TEXT", "EventStream", "JsonAnswer", "error_answer", "event_text", "unless_gone"]

Result = TypeVar("Result")
PING_TEXT = ": still at work\n\n"
"""What a stream sends for `PING`; clients ignore it."""

_LAST_SECONDS = 5.0  # in which a client must take the last event


class JsonAnswer(Response):
    """JSON with Hangul as it is."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()


def error_answer(error: HttpError) -> JsonAnswer:
    """Return the answer to an error."""
    return JsonAnswer(error.body, error.status, headers=error.headers)


def event_text(data: Any, name: str | None = None) -> str:
    """Return an event of a stream; its data are JSON, or a text without line breaks."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, allow_nan=False)
    return f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n"


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of some work, unless the client leaves before; then the work is cancelled.

    Raises:
        HttpError: the client has gone.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HttpError(499, "the client has gone", "client_gone")
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        for one in (task, gone):
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await one


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """A stream of events, until all are sent, the client leaves or the time is over.

    It begins with the first event: an error before that is answered with a status of its own.

    Args:
        events: texts of events; it is closed in any case.
        deadline: the end of the time.
        on_error: makes the last event of an error that comes while events are sent.
        on_end: is called at the end, also if no event was made.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[str],
        deadline: Deadline,
        on_error: Callable[[BaseException], str],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events, self._deadline, self._on_error, self._on_end = events, deadline, on_error, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            first = await unless_gone(receive, _next(self._events))
        except BaseException:
            self._on_end()
            raise
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await unless_gone(receive, self._send_all(first, send))
        except HttpError as error:
            # The client has gone or does not read. Starlette cannot handle an error after an answer has begun.
            scope["llm_summ.record"].status = error.status
        finally:
            self._on_end()

    async def _send_all(self, first: str, send: Send) -> None:
        async def give(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async with contextlib.aclosing(self._events) as events:
            try:
                async with self._deadline.limit():
                    await give(first)
                async for text in events:
                    async with self._deadline.limit():  # also for a client that does not read
                        await give(text)
            except Exception as error:  # noqa: BLE001  it is the last event
                log_failure(error)
                try:
                    async with asyncio.timeout(_LAST_SECONDS):
                        await give(self._on_error(error))
                except TimeoutError:
                    raise as_http_error(error) from None
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _next(events: AsyncGenerator[str]) -> str:
    return await anext(events)
