"""A table of texts, as a room makes it for people; how it is drawn is the CLI's business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["TextTable"]


class TextTable(NamedTuple):
    """A table of texts.

    Attributes:
        headers: of the columns.
        rows: of as many cells.
        figures: whether all but the first column are figures, which are aligned to the right; or else texts.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: bool = True
