"""Runs the service: its address, its start, and its end by signals."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import FrameType
from typing import Any

import uvicorn

from llm_summ.core.errors import InputError, LlmSummError
from llm_summ.core.progress import say, set_display
from llm_summ.serve.app import make_app
from llm_summ.serve.errors import place_of
from llm_summ.serve.feedback import FeedbackFile
from llm_summ.serve.gate import Gate
from llm_summ.serve.idle_connections import close_idle
from llm_summ.serve.limits import ServiceSettings
from llm_summ.serve.notices import kept_out_of_the_log
from llm_summ.serve.served_model import ServedModel, ServedModels
from llm_summ.serve.service import Service
from llm_summ.serve.work import Places

__all__ = ["OpenModels", "run_service"]

OpenModels = Callable[[], Sequence[ServedModel]]
"""Starts the models."""

_LOOK = 0.1  # seconds between checks while the service starts or ends
_LAST_SECONDS = 5  # in which clients must take their answers, when all are made
_PATIENCE = 10.0  # seconds in which an engine must end
_BACKLOG = 512
_KEEP_ALIVE = 60  # seconds that a connection may be idle; clients use it again


def run_service(settings: ServiceSettings, open_models: OpenModels, announce: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    The first signal lets requests that are under way finish, and refuses new ones; the second ends at once.

    Args:
        settings: how the service works.
        open_models: starts the models, when the address is known to be free.
        announce: gets the address, when requests are accepted.

    Raises:
        InputError: the address is taken or is not one of this machine, or a file or a model cannot be used.
        GenerationError: an engine does not start.
    """
    settings.check()
    feedback = None if settings.feedback is None else FeedbackFile(settings.feedback)
    with ExitStack() as stack:
        listener = stack.enter_context(_listener(settings))
        stack.enter_context(kept_out_of_the_log())
        display = set_display(None)  # bars of requests would say nothing
        stack.callback(set_display, display)
        models = ServedModels({model.name: model for model in open_models()})
        stack.callback(_close, models, _PATIENCE)
        places = Places(settings.max_requests, settings.all_bodies)
        stack.callback(places.close)
        service = Service(settings, models, places, feedback=feedback)
        _quiet_logs()
        gate = make_app(service)
        server = _Server(
            uvicorn.Config(
                gate,
                log_config=None,
                log_level="critical",
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=_LAST_SECONDS,
            ),
            gate,
            models,
        )
        announce(_url(listener))
        asyncio.run(server.serve_until_signal(listener))
        if server.failure is not None:
            raise server.failure


class _Server(uvicorn.Server):
    """uvicorn's server, which ends when everything is answered.

    Args:
        config: uvicorn's.
        gate: the application.
        models: the models.
    """

    def __init__(self, config: uvicorn.Config, gate: Gate, models: ServedModels) -> None:
        super().__init__(config)
        self._gate, self._models = gate, models
        self.failure: LlmSummError | None = None

    async def serve_until_signal(self, listener: socket.socket) -> None:
        """Serve on a socket until a signal has come and everything is answered."""
        asyncio.get_running_loop().set_exception_handler(_log_place)
        ending = asyncio.create_task(self._end_when_answered())
        starting = asyncio.create_task(self._wait_for_models())
        closing = asyncio.create_task(close_idle(self.server_state.connections, _KEEP_ALIVE))
        try:
            await self.serve(sockets=[listener])
        finally:
            for task in (ending, starting, closing):
                task.cancel()

    async def _wait_for_models(self) -> None:
        """Report that the models have started, or end: a model that does not start the first time never will."""
        begun = time.monotonic()
        try:
            for model in self._models:
                while not model.wait(0.0):
                    await asyncio.sleep(_LOOK)
        except LlmSummError as error:
            self.failure, self._gate.is_closing = error, True
            return
        say(f"Ready after {time.monotonic() - begun:.0f} s")

    async def _end_when_answered(self) -> None:
        while not (self._gate.is_closing and self._gate.under_way == 0):
            await asyncio.sleep(_LOOK)
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end, or end at once if that was asked for already."""
        if not self._gate.is_closing:
            self._gate.is_closing = True
            say(f"Ending; requests under way: {self._gate.under_way}; a second signal ends at once")
            return
        # In a thread: an engine's process may hold a lock that the interrupted code holds.
        threading.Thread(target=_end_at_once, args=(self._models, 128 + sig)).start()


def _end_at_once(models: ServedModels, status: int) -> None:
    ends = [threading.Thread(target=model.close, args=(0.0,), daemon=True) for model in models]
    for end in ends:
        end.start()
    until = time.monotonic() + 2.0
    for end in ends:
        end.join(max(0.0, until - time.monotonic()))
    os._exit(status)


def _close(models: ServedModels, patience: float) -> None:
    """End the engines' processes, all at the same time: each may take `patience` seconds to end by itself."""
    with ThreadPoolExecutor(len([*models])) as pool:
        for end in [pool.submit(model.close, patience) for model in models]:
            end.result()


def _listener(settings: ServiceSettings) -> socket.socket:
    """Return the socket on which the service will listen; it does not listen yet.

    Raises:
        InputError: the address is taken, or not one of this machine.
    """
    host, port = settings.host.strip("[]"), settings.port
    where = f"{host}:{port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host}: not an address of this machine ({error})") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"{where}: another program uses this port; choose another one with --port") from error
        if error.errno == errno.EACCES:
            raise InputError(
                f"{where}: this port needs rights of an administrator; take one above 1023"
            ) from error
        raise InputError(f"--host {host}: not an address of this machine ({error.strerror})") from error
    listener.setblocking(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _quiet_logs() -> None:
    """Keep other libraries' messages out of the log: they may have texts of requests."""
    for name in ("asyncio", "uvicorn", "uvicorn.error", "uvicorn.access", "python_multipart", "fastapi"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    threading.excepthook = lambda error: say(f"unexpected error: {place_of(error.exc_value or error.exc_type())}")


def _log_place(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, BaseException) and not isinstance(error, ConnectionError):
        say(f"unexpected error: {place_of(error)}")
