"""What a step of post-processing is given."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PostInput"]


@dataclass(frozen=True, slots=True)
class PostInput:
    """A summary on its way.

    Attributes:
        text: as the steps before have left it.
        cut_off: whether its generation ended by length; None where that is not known.
        dialogue: the text of its dialogue; None where that is not known.
        limit: characters that were learnt for such a dialogue; None: any number.
    """

    text: str
    cut_off: bool | None = None
    dialogue: str | None = None
    limit: int | None = None
