"""A worker's process: it starts one engine, and answers the messages of the main process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from llm_summ.core.errors import GenerationError, LlmSummError, first_line
from llm_summ.core.optional_packages import quiet_warnings
from llm_summ.core.terminal import shown_on_stderr
from llm_summ.generate.engine import Decoding, Engine, Key, Output, Request
from llm_summ.generate.proof import LogProbs, Proving

__all__ = ["Likeliest", "Question", "Work", "end_with_parent", "sendable", "work"]


@dataclass(frozen=True, slots=True)
class Work:
    """Requests for a worker; `done` are the candidates that exist already."""

    requests: Sequence[Request]
    stop_id: int
    decoding: Decoding
    done: Collection[Key]


@dataclass(frozen=True, slots=True)
class Question:
    """Prompts whose likeliest next tokens a worker is to return."""

    prompts: Sequence[Sequence[int]]
    adapter: bool


@dataclass(frozen=True, slots=True)
class Likeliest:
    """A worker's likeliest next tokens after each prompt; None: its engine does not return them."""

    tokens: list[LogProbs] | None


def work(pipe: Connection, start: Callable[[], Engine], shows: bool) -> None:
    """Run a worker's process; `shows`: print messages on stderr, as the main process does."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process, and the main process ends the others
    quiet_warnings()
    threading.Thread(target=end_with_parent, daemon=True).start()
    with shown_on_stderr() if shows else contextlib.nullcontext():
        _serve(pipe, start)


def _serve(pipe: Connection, start: Callable[[], Engine]) -> None:
    """Start an engine, and serve requests until the main process closes the pipe.

    For each message it sends the answers, then None. On an error it sends the error and ends.
    """
    engine: Engine | None = None
    try:
        engine = start()
        _send(pipe, None)
        while (message := _receive(pipe)) is not None:
            if isinstance(message, Question):
                _send(pipe, Likeliest(_next_tokens(engine, message)))
            else:
                for output in engine.generate(
                    message.requests, stop_id=message.stop_id, decoding=message.decoding, done=message.done
                ):
                    _send(pipe, output)
            _send(pipe, None)
    except _GoneError:
        pass
    except Exception as error:  # noqa: BLE001  the main process raises it again
        with contextlib.suppress(_GoneError):
            _send(pipe, sendable(error))
    finally:
        if engine is not None:
            engine.close()


def _next_tokens(engine: Engine, question: Question) -> list[LogProbs] | None:
    if not isinstance(engine, Proving):
        return None
    return [engine.next_token(prompt, adapter=question.adapter) for prompt in question.prompts]


def sendable(error: Exception, *, trace: bool = True) -> LlmSummError:
    """Return the error in a form that the main process can raise.

    Args:
        error: any.
        trace: whether it gets this process's traceback, with the messages of all errors, as a note.
    """
    found: LlmSummError = GenerationError(f"{type(error).__name__}: {first_line(error)} (--debug shows where)")
    if isinstance(error, LlmSummError):
        with contextlib.suppress(Exception):  # errors whose constructor needs more than a message don't unpickle
            found = pickle.loads(pickle.dumps(error))
    if trace:
        found.add_note("".join(traceback.format_exception(error)))
    return found


def _send(pipe: Connection, message: Output | Likeliest | LlmSummError | None) -> None:
    try:
        pipe.send(message)
    except OSError:
        raise _GoneError from None


def _receive(pipe: Connection) -> Work | Question | None:
    try:
        message: Work | Question | None = pipe.recv()
    except (EOFError, OSError):
        raise _GoneError from None
    return message


def end_with_parent(end: Callable[[], None] = lambda: os._exit(1)) -> None:
    """Wait for the end of the parent, then call `end`, since nothing reads the outputs any more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    end()


class _GoneError(Exception):
    """The main process has ended, or has closed the pipe."""
