"""What makes summaries useless whatever they say: ids that were counted, and nothing to read."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["first_counted", "is_blank", "is_empty", "is_null"]

_NULL = re.compile(
    r"[\"'#<(\[]*(?:-?nan|none|null|nil|n[./]?a|na[nt]|undefined)[\"'>)\]]*[.。]?|#(?:name\?|(?:value|ref|div/0|num|null)!)",
    re.IGNORECASE,
)


def is_empty(text: str) -> bool:
    """Return whether there is nothing to score: no letter and no figure, or only a null word."""
    return is_blank(text) or is_null(text)


def is_blank(text: str) -> bool:
    """Return whether there is neither a letter nor a figure."""
    return not re.search(r"[^\W_]", text)


def is_null(text: str) -> bool:
    """Return whether a text is a missing value (nan, None …), or a spreadsheet's error, written as a word."""
    return _NULL.fullmatch(text.strip()) is not None


def first_counted(ids: Sequence[str], wanted: Sequence[str]) -> int | None:
    """From which row on ids that were made by counting are not those that are wanted; None if they were not."""
    if len(ids) != len(wanted) or len(ids) < 2 or list(ids) == list(wanted):
        return None
    found = re.fullmatch(r"(.*?)(\d{1,15})", ids[0], re.DOTALL)
    if not found or not wanted[0].startswith(found[1]):
        return None
    if any(identity != f"{found[1]}{int(found[2]) + at}" for at, identity in enumerate(ids)):
        return None
    return next(at for at, (one, other) in enumerate(zip(ids, wanted, strict=True)) if one != other)
