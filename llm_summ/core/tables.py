"""A table of texts for people; the CLI draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["TextTable"]


class TextTable(NamedTuple):
    """A table of texts.

    Attributes:
        headers: the columns' names.
        rows: the cells of each row, one per column.
        figures: whether all columns but the first hold figures, which are aligned to the right.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: bool = True
