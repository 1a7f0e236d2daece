"""A row of an evaluation: a dialogue with its summary and the summary's score."""

from __future__ import annotations

from dataclasses import dataclass

from llm_summ.data.dialogue import Dialogue
from llm_summ.score.corpus import RowScore

__all__ = ["ScoredRow"]


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One dialogue, its summary, and the summary's score.

    Attributes:
        dialogue: with at least one reference.
        summary: the scored text: the generated text after post-processing.
        score: from 0 to 100, over the dialogue's references.
        cut_off: whether the generation ended by length; None where that is not known.
    """

    dialogue: Dialogue
    summary: str
    score: RowScore
    cut_off: bool | None = None
