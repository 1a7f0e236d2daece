"""Messages and progress of the commands on stderr: a bar in a terminal, otherwise a line every 15 seconds."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator

from llm_summ.core.progress import LOGGER, Bar, set_display

__all__ = ["is_shown", "shown_on_stderr"]

_SECONDS_BETWEEN_LINES = 15.0


@contextlib.contextmanager
def shown_on_stderr() -> Iterator[None]:
    """Print messages and progress on stderr while the block runs; nested calls print each message once."""
    if is_shown():
        yield
        return
    handler, level, propagates = _StderrHandler(), LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    before = set_display(_bar)
    try:
        yield
    finally:
        set_display(before)
        LOGGER.propagate = propagates
        LOGGER.setLevel(level)
        LOGGER.removeHandler(handler)


def is_shown() -> bool:
    """Return whether messages and progress are printed on stderr now."""
    return any(isinstance(handler, _StderrHandler) for handler in LOGGER.handlers)


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _print(record.getMessage())


def _bar(label: str, total: int, done: int) -> Bar:
    return _TerminalBar(label, total, done) if sys.stderr.isatty() else _Lines(label, total, done)


class _TerminalBar:
    def __init__(self, label: str, total: int, done: int) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[note]}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(label, total=total, completed=done, note="")
        self._bar.start()

    def update(self, done: int, total: int, note: str) -> None:
        self._bar.update(self._task, completed=done, total=total, note=note)

    def stop(self, *, failed: bool) -> None:
        self._bar.stop()


class _Lines:
    def __init__(self, label: str, total: int, done: int) -> None:
        self._label, self._total, self._done, self._before = label, total, done, done
        self._note = ""
        self._printed = -1  # units done when the last line was written
        self._started = self._last_line = time.monotonic()

    def update(self, done: int, total: int, note: str) -> None:
        self._done, self._total, self._note = done, total, note
        if time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._line()

    def stop(self, *, failed: bool) -> None:
        if not failed and self._printed != self._done:
            self._line()

    def _line(self) -> None:
        self._last_line, self._printed = time.monotonic(), self._done
        elapsed = self._last_line - self._started
        worked = self._done - self._before
        left = (
            f", {elapsed / worked * (self._total - self._done):.0f} s left"
            if worked > 0 and self._done < self._total
            else ""
        )
        note = f" {self._note}" if self._note else ""
        _print(f"{self._label} {self._done}/{self._total}{note} ({elapsed:.0f} s{left})")


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
