"""Ids of predictions that were made by counting."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["first_counted"]


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
