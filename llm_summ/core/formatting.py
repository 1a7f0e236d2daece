"""Formatting that reports share: labels, p values, letters for systems, times, hints at a misspelt name."""

from __future__ import annotations

import datetime as dt
import difflib
import string
from collections.abc import Callable, Iterable

__all__ = ["counted", "did_you_mean", "labelled", "letters", "p_text", "shown", "utc_now"]

_LABEL = 10  # columns


def labelled(name: str, text: str) -> str:
    """Return a line of a report: a name in a column of its own, and a text."""
    return f"{name:<{_LABEL}} {text}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 row`` or ``1,200 rows``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def shown(name: str) -> str:
    """Return a name as a message shows it: in quotes if it is empty or has letters that cannot be seen."""
    return name if name and name.isprintable() and name == name.strip() else repr(name)


def p_text(p: float) -> str:
    """Return a probability with three digits."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def letters(count: int) -> list[str]:
    """Return a label for each of several things: A, B … Z, or numbers from 1 if there are more than 26."""
    return list(string.ascii_uppercase[:count]) if count <= 26 else [str(number + 1) for number in range(count)]


def utc_now() -> str:
    """Return the time in UTC, to the second, as ISO 8601 writes it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def did_you_mean(
    name: str, known: Iterable[str], otherwise: str = "", *, show: Callable[[str], object] = str
) -> str:
    """Return a hint at the known name that is most like a misspelt one.

    Args:
        name: what was found.
        known: the valid names.
        otherwise: the hint if no known name is similar.
        show: how to write the known name.
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {show(near[0])}?" if near else otherwise
