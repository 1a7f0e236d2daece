"""Texts in which there is nothing to read: blank ones, and missing values written as a word."""

from __future__ import annotations

import re

__all__ = ["is_blank", "is_empty", "is_null"]

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
