"""A process that is started again when it ends, and ends with all that it has started."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Literal

from llm_summ.core.errors import EngineDownError, LlmSummError
from llm_summ.core.progress import say
from llm_summ.core.terminal import is_shown
from llm_summ.generate.live import Piece
from llm_summ.generate.live_worker import Answer, Ask, Drop, StartLive, end_group, serve_live

__all__ = ["LOOK", "PATIENCE", "EngineState", "Restarts", "SupervisedProcess"]

EngineState = Literal["starting", "ready", "down"]

LOOK = 0.1  # seconds between checks: whether the process has ended, and whether a caller has stopped its request
PATIENCE = 10.0  # seconds that the process has to end by itself
_LAST_SECONDS = 2.0  # seconds after which it is killed from outside the thread that watches it


@dataclass(frozen=True, slots=True)
class Restarts:
    """When an engine's process is started again.

    Attributes:
        pauses: seconds before each new start, as long as the process keeps ending soon after its start. After the
            last of them the engine is down: requests fail at once.
        long_pause: seconds between further starts.
        soon: seconds; a process that worked for longer does not count as one that ended soon.
        silence: seconds; a process that works and sends nothing for so long hangs, and is ended.
    """

    pauses: tuple[float, ...] = (0.0, 2.0, 10.0)
    long_pause: float = 60.0
    soon: float = 60.0
    silence: float = 60.0


class SupervisedProcess:
    """The process of a live engine; a thread starts it, passes on its answers, and starts it again.

    Args:
        name: the engine's.
        start: starts the live engine; it is called in the process, so it has to be picklable.
        restarts: when the process is started again.
        on_answer: is called with each answer to a request.
        on_end: is called with the reason when the process has ended, while `changed` is held.
    """

    def __init__(
        self,
        name: str,
        start: StartLive,
        restarts: Restarts,
        on_answer: Callable[[Answer], None],
        on_end: Callable[[LlmSummError], None],
    ) -> None:
        self._name, self._start, self._restarts = name, start, restarts
        self._on_answer, self._on_end = on_answer, on_end
        self._shows = is_shown()
        self.changed = threading.Condition()  # notified when the state changes
        self.state: EngineState = "starting"
        self.failure: LlmSummError | None = None
        self.process: BaseProcess | None = None
        self._messages: _Messages | None = None
        self._ready_since = 0.0
        self._closing = threading.Event()
        self._patience = PATIENCE
        self._thread = threading.Thread(target=self._supervise, name=f"{name} process", daemon=True)

    def begin(self) -> None:
        """Start the process."""
        self._thread.start()
        atexit.register(self.close, 0.0)

    @property
    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    @property
    def closed(self) -> EngineDownError:
        """The error for a request to a closed engine."""
        return EngineDownError(f"{self._name}: was closed; start it again")

    def send(self, message: Ask | Drop | None) -> None:
        """Send a message to the process, without waiting; if it has ended, `on_end` reports that.

        While the caller holds `changed`, the process stays the one that `state` is about.
        """
        with self.changed:
            if self._messages is not None:
                self._messages.put(message)

    def close(self, patience: float) -> None:
        """End the process, and all that it has started, after so many seconds at the latest."""
        atexit.unregister(self.close)
        with self.changed:
            self._patience = patience
            self._closing.set()
            self.changed.notify_all()
        self._thread.join(patience + _LAST_SECONDS)
        if (
            self._thread.is_alive() and (process := self.process) is not None
        ):  # it hangs in the middle of an answer
            _kill(process)
        self._thread.join()

    def _supervise(self) -> None:
        """Start the process, pass on its answers, and start it again when it ends; run by a thread."""
        soon_ended, has_worked = 0, False
        while not self._closing.is_set():
            failure = self._run()
            has_worked = has_worked or self._ready_since > 0
            lived = self._ready_since and time.monotonic() - self._ready_since > self._restarts.soon
            soon_ended = 1 if lived else soon_ended + 1
            refused = not isinstance(failure, EngineDownError)  # it has a reason, and will have it again
            is_down = refused or soon_ended > len(self._restarts.pauses)
            pause = self._restarts.long_pause if is_down else self._restarts.pauses[soon_ended - 1]
            with self.changed:
                if self._closing.is_set():
                    return
                self.failure = failure
                self.state = "down" if is_down else "starting"
                self.changed.notify_all()
                # `wait` raises the reason why the first start failed, and its caller may end then.
                is_raised = is_down and not has_worked
                if not is_raised:
                    say(f"{failure}; starts again in {pause:.0f} s")
                if not self.changed.wait_for(self._closing.is_set, pause) and is_raised:
                    say(f"{failure}; starts again")

    def _run(self) -> LlmSummError:
        """Run one process to its end, and return why it ended."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve_live, args=(theirs, self._start, self._shows))
        try:
            process.start()
        except Exception as error:  # noqa: BLE001  too little memory, or a function that cannot be pickled
            ours.close()
            return EngineDownError(f"{self._name}: its process cannot be started ({type(error).__name__})")
        finally:
            theirs.close()
        messages = _Messages(self._name, ours)
        with self.changed:
            self.process, self._ready_since, self._messages = process, 0.0, messages
        failure = self._pass_on(process, ours)
        if self._closing.is_set():
            self.send(None)
            process.join(self._patience)
        _kill(process)
        process.join()
        if self._closing.is_set():
            failure = self.closed
        elif failure is None:
            failure = EngineDownError(f"{self._name}: its process ended (exit code {process.exitcode})")
        messages.end()
        ours.close()
        with self.changed:
            self.process = self._messages = None
            self.state = "down" if self._closing.is_set() else "starting"
            self._on_end(failure)
            self.changed.notify_all()
        return failure

    def _pass_on(self, process: BaseProcess, pipe: Connection) -> LlmSummError | None:
        """Pass on the process's answers until it ends, hangs or is to end; return the reason if there is one."""
        heard = time.monotonic()
        while not self._closing.is_set():
            # A child process of a dead one can hold the pipe open. The timeout lets us check for that.
            if wait([pipe], timeout=LOOK) or not self._ready_since:  # a start can take minutes
                heard = time.monotonic()
            has_ended = process.exitcode is not None
            try:
                while pipe.poll():
                    answer: Answer = pipe.recv()
                    if answer.number >= 0:
                        self._on_answer(answer)
                    elif isinstance(answer.content, Piece):
                        continue  # it still works
                    elif isinstance(answer.content, LlmSummError):
                        return answer.content
                    else:
                        with self.changed:
                            self.state, self._ready_since = "ready", time.monotonic()
                            self.changed.notify_all()
            except (EOFError, OSError):
                has_ended = True
            if has_ended:
                break
            if time.monotonic() - heard > self._restarts.silence:
                return EngineDownError(
                    f"{self._name}: its process has not answered for {self._restarts.silence:g} s"
                )
        return None


class _Messages:
    """What is sent to one process: by a thread, since a process that hangs reads nothing.

    Args:
        name: the engine's.
        pipe: to the process.
    """

    def __init__(self, name: str, pipe: Connection) -> None:
        self._pipe = pipe
        self._waiting: queue.SimpleQueue[Ask | Drop | None] = queue.SimpleQueue()
        self.put = self._waiting.put
        self._thread = threading.Thread(target=self._send, name=f"{name} messages", daemon=True)
        self._thread.start()

    def _send(self) -> None:
        """Send messages until None, which is sent, too, or until no one can read them."""
        with contextlib.suppress(OSError):
            while True:
                message = self._waiting.get()
                self._pipe.send(message)
                if message is None:
                    return

    def end(self) -> None:
        """End the thread, even if a process that inherited the other end holds it open; the pipe stays open."""
        with socket.socket(fileno=os.dup(self._pipe.fileno())) as end, contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        self.put(None)
        self._thread.join()


def _kill(process: BaseProcess) -> None:
    """Kill a process and all that it has started."""
    if process.pid:
        end_group(process.pid)
    process.kill()  # it may not have a group of its own yet
