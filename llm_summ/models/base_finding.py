"""Something about a base model, known before its weights are loaded."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BaseFinding"]


@dataclass(frozen=True, slots=True)
class BaseFinding:
    """Something about a base.

    Attributes:
        code: names its kind.
        line: where, what was found, what was expected, what to do.
        refuses: whether the work cannot go on.
    """

    code: str
    line: str
    refuses: bool = True
