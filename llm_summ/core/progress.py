"""Progress of long work: a bar in a terminal, a line now and then elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

__all__ = ["Progress", "say"]

_SECONDS_BETWEEN_LINES = 15.0


def say(text: str) -> None:
    """Tell the user something on stderr; results go to stdout, and are not said."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


class Progress:
    """Counts `total` units of work; used as a context manager.

    Args:
        label: what is being done.
        total: units of work.
        done: units that were done before (a resumed job).
    """

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._done, self._before = label, total, done, done
        self._note = ""
        self._told = -1  # units done when the last line was written
        self._started = self._last_line = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(label, total=total, completed=done, note="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif kind is None and self._told != self._done:
            self._line()

    def resize(self, total: int) -> None:
        """Change how much work there is."""
        self._total = total
        if self._bar:
            self._bar.update(self._task, total=total)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count `units` more, and show `note` (loss, tokens/s) beside the bar."""
        self._done += units
        self._note = note
        if self._bar:
            self._bar.update(self._task, completed=self._done, note=note)
        elif time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._line()

    def _line(self) -> None:
        self._last_line, self._told = time.monotonic(), self._done
        elapsed = self._last_line - self._started
        worked = self._done - self._before
        left = (
            f", {elapsed / worked * (self._total - self._done):.0f} s left"
            if worked > 0 and self._done < self._total
            else ""
        )
        note = f" {self._note}" if self._note else ""
        say(f"{self._label} {self._done}/{self._total}{note} ({elapsed:.0f} s{left})")
