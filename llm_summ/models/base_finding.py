"""Findings about a base model before its weights are loaded."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BaseFinding"]


@dataclass(frozen=True, slots=True)
class BaseFinding:
    """A finding about a base.

    Attributes:
        code: a stable name of its kind.
        line: where, what was found, what was expected, what to do.
        refuses: whether it is an error; else it is a note.
    """

    code: str
    line: str
    refuses: bool = True
