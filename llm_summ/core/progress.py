"""Messages, and progress of long work. A library call shows neither: the calling program decides.

A message is a record of the logger ``llm_summ``. Progress goes to the display that the program has set. The
commands print both on stderr (`llm_summ.core.terminal`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

__all__ = ["LOGGER", "Bar", "Display", "Progress", "say", "set_display"]

LOGGER = logging.getLogger("llm_summ")
"""The logger of all messages, which have the level INFO."""


class Bar(Protocol):
    """Shows the progress of one piece of work, from when it is made."""

    def update(self, done: int, total: int, note: str) -> None:
        """Show how much is done.

        Args:
            done: units of work.
            total: all units.
            note: for example the loss or tokens/s.
        """

    def stop(self, *, failed: bool) -> None:
        """Stop the bar; show the last state unless the work failed."""


Display = Callable[[str, int, int], Bar]
"""Makes a bar, given what is being done, the units of work, and the units that were done before."""

_display: Display | None = None


def set_display(display: Display | None) -> Display | None:
    """Set the display of progress; None shows nothing. Return the previous display."""
    global _display
    before, _display = _display, display
    return before


def say(text: str) -> None:
    """Log a message for the user; results are returned or printed, and not logged."""
    LOGGER.info(text)


class Progress:
    """Counts `total` units of work; used as a context manager.

    Args:
        label: what is being done.
        total: units of work.
        done: units that were done before (a resumed job).
    """

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._done, self._note = label, total, done, ""
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if _display is not None:
            self._bar = _display(self._label, self._total, self._done)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop(failed=kind is not None)

    def resize(self, total: int) -> None:
        """Change the total number of units."""
        self._total = total
        self._update()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count `units` more, and show `note` (loss, tokens/s) next to the bar."""
        self._done += units
        self._note = note
        self._update()

    def _update(self) -> None:
        if self._bar is not None:
            self._bar.update(self._done, self._total, self._note)
