"""The input of a step of post-processing."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PostInput"]


@dataclass(frozen=True, slots=True)
class PostInput:
    """A summary part-way through post-processing.

    Attributes:
        text: the output of the steps before.
        cut_off: whether its generation ended by length; None where that is not known.
        dialogue: the text of its dialogue; None where that is not known.
        limit: characters that a summary of such a dialogue may have; None: any number.
    """

    text: str
    cut_off: bool | None = None
    dialogue: str | None = None
    limit: int | None = None
