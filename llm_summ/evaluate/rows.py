"""What is evaluated: a row of the data with its summary and that summary's score."""

from __future__ import annotations

from dataclasses import dataclass

from llm_summ.data.dialogue import Dialogue
from llm_summ.score.corpus import RowScore

__all__ = ["ScoredRow"]


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One dialogue, what was written about it, and what that scores.

    Attributes:
        dialogue: with at least one reference.
        summary: what was scored: the generated text after the post-processing.
        score: from 0 to 100, over the dialogue's references.
        cut_off: whether the generation ended by length; None where that is not known.
    """

    dialogue: Dialogue
    summary: str
    score: RowScore
    cut_off: bool | None = None
