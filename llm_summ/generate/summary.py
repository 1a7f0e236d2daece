"""A finished summary, and the choice of one among several candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.records import JsonRecord
from llm_summ.predictions.prediction import FinishReason, Prediction

__all__ = ["Part", "Summary", "best_candidate"]


@dataclass(frozen=True, slots=True)
class Part(JsonRecord):
    """The summary of a window of a long dialogue.

    Attributes:
        first: number of the first turn that it covers, from 1.
        last: number of the last one.
        start: when the first turn begins, in seconds; None if unknown.
        end: when the last turn ends, or else when it begins, in seconds; None if unknown.
        text: the summary, after post-processing.
        tokens: number of generated tokens.
        finish_reason: as that of a `Summary`.
        divided: numbers of the turns of which the window has only a part, since they are longer than a window.
    """

    first: int
    last: int
    start: float | None
    end: float | None
    text: str
    tokens: int
    finish_reason: FinishReason
    divided: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished summary.

    Attributes:
        text: after post-processing.
        prediction: the unchanged generated text, with its number of tokens and finish reason. If the dialogue was
            summarised in parts, the tokens are those of all of them.
        changed_by: the steps of post-processing that changed the text, in order.
        parts: the summaries of the windows of a long dialogue; empty if it was summarised whole.
    """

    text: str
    prediction: Prediction
    changed_by: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def id(self) -> str:
        """The dialogue's id."""
        return self.prediction.fname

    @property
    def raw(self) -> str:
        """The text as the model wrote it."""
        return self.prediction.summary

    @property
    def tokens(self) -> int:
        """Number of generated tokens, the stop token included."""
        return self.prediction.tokens

    @property
    def finish_reason(self) -> FinishReason:
        """Reason for the end of the text: "stop" (ended by the model) or "length" (cut off)."""
        return self.prediction.finish_reason


def best_candidate(texts: Sequence[str]) -> int:
    """Return the index of the candidate that agrees best with the others."""
    if len(set(texts)) == 1:
        return 0
    from llm_summ.select.mbr import Settings, choose, compare_candidates
    from llm_summ.select.pool import Member, Pool

    pool = Pool(("",), (Member("", Path(), (tuple(texts),)),))
    return int(choose(compare_candidates(pool), Settings((1.0,))).index[0])
