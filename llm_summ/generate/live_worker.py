"""The process of a live engine: it answers many requests at a time, and ends when no one reads its answers."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import threading
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from llm_summ.core.errors import EngineDownError, GenerationError, LlmSummError
from llm_summ.core.optional_packages import quiet_warnings
from llm_summ.core.terminal import shown_on_stderr
from llm_summ.generate.engine import Decoding, Request
from llm_summ.generate.live import LiveEngine, Piece, Watched
from llm_summ.generate.placement.worker import end_with_parent, sendable

__all__ = ["Answer", "Ask", "Drop", "StartLive", "end_group", "serve_live"]

StartLive = Callable[[], LiveEngine | Awaitable[LiveEngine]]
"""Starts a live engine in the process that calls it; picklable."""

_SECONDS_BETWEEN_LOOKS = 0.5  # whether the engine still works; then the main process is notified


@dataclass(frozen=True, slots=True)
class Ask:
    """A request.

    Attributes:
        number: of the request, in this process.
        request: the prompt.
        stop_id: ends a generation.
        decoding: how the next token is chosen.
        wants_tokens: whether the pieces of a text are sent, and not only the finished text.
    """

    number: int
    request: Request
    stop_id: int
    decoding: Decoding
    wants_tokens: bool


@dataclass(frozen=True, slots=True)
class Drop:
    """A request that is no longer needed."""

    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got.

    Attributes:
        number: of the request; -1: of the engine itself.
        content: a piece, of the engine itself an empty one: it still works; an error that ends the request, or the
            engine; None: the request is finished, or the engine has started.
    """

    number: int
    content: Piece | LlmSummError | None


def serve_live(pipe: Connection, start: StartLive, shows: bool) -> None:
    """Run the process of a live engine; `shows`: print messages on stderr, as the main process does."""
    os.setpgid(0, 0)  # with this process ends everything that the engine starts
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process decides when to end
    quiet_warnings()
    threading.Thread(target=end_with_parent, args=(end_group,), daemon=True).start()
    try:
        with shown_on_stderr() if shows else contextlib.nullcontext():
            asyncio.run(_Server(pipe).serve(start))
    finally:
        end_group()


def end_group(group: int = 0) -> None:
    """Kill all processes of a group; 0: the own one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class _Server:
    """Answers the messages of the main process.

    Args:
        pipe: to the main process.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._messages: asyncio.Queue[Ask | Drop | None] = asyncio.Queue()
        self._is_started = False

    async def serve(self, start: StartLive) -> None:
        """Start the engine, and serve until the main process closes the pipe or the engine breaks."""
        threading.Thread(target=self._receive, args=(asyncio.get_running_loop(),), daemon=True).start()
        try:
            started = start()
            engine = await started if inspect.isawaitable(started) else started
        except Exception as error:  # noqa: BLE001  the main process raises it again
            self._send(Answer(-1, _private(error)))
            return
        self._is_started = True
        self._send(Answer(-1, None))
        watch = asyncio.create_task(self._watch(engine))
        while (message := await self._messages.get()) is not None:
            if isinstance(message, Drop):
                if (dropped := self._tasks.pop(message.number, None)) is not None:
                    dropped.cancel()
            else:
                self._tasks[message.number] = asyncio.create_task(self._answer(engine, message))
        watch.cancel()
        for task in self._tasks.values():
            task.cancel()
        await engine.close()

    async def _answer(self, engine: LiveEngine, ask: Ask) -> None:
        """Send the pieces of a request, then None or the error that ended it."""
        has_begun = False
        try:
            pieces = engine.stream(ask.request, stop_id=ask.stop_id, decoding=ask.decoding)
            async for piece in pieces:
                if ask.wants_tokens or piece.output is not None:
                    self._send(Answer(ask.number, piece))
                elif not has_begun:
                    self._send(Answer(ask.number, Piece()))
                has_begun = True
            self._send(Answer(ask.number, None))
        except EngineDownError as error:
            self._break(error)
        except Exception as error:  # noqa: BLE001  the caller raises it again
            self._send(Answer(ask.number, _private(error)))
        finally:
            self._tasks.pop(ask.number, None)

    async def _watch(self, engine: LiveEngine) -> None:
        """Report that the process works, until the engine cannot work any more."""
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            if isinstance(engine, Watched) and (why := engine.problem()):
                self._break(EngineDownError(f"{engine.name}: {why}"))
                return
            self._send(Answer(-1, Piece()))

    def _break(self, error: EngineDownError) -> None:
        """End the process; the main process reports the error to all callers."""
        self._send(Answer(-1, EngineDownError(str(error))))
        self._messages.put_nowait(None)

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass on messages until the main process closes the pipe; run by a thread."""
        while True:
            try:
                message: Ask | Drop | None = self._pipe.recv()
            except (EOFError, OSError):
                message = None
            if message is None and not self._is_started:
                end_group()  # a start can take minutes
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._messages.put_nowait, message)
            if message is None:
                return

    def _send(self, answer: Answer) -> None:
        try:
            self._pipe.send(answer)
        except OSError:
            self._messages.put_nowait(None)  # the main process has ended


def _private(error: Exception) -> LlmSummError:
    """Return an error for the main process, without a library's message: it may have a part of a dialogue."""
    if isinstance(error, LlmSummError):
        return sendable(error, trace=False)
    failed = GenerationError(f"{type(error).__name__} in the engine (--debug shows where)")
    failed.add_note("".join(traceback.format_tb(error.__traceback__)))
    return failed
