"""A finished summary, and the choice of one among several candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.predictions.prediction import FinishReason, Prediction

__all__ = ["Summary", "best_candidate"]


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished summary.

    Attributes:
        text: after post-processing.
        prediction: the unchanged generated text, with its number of tokens and finish reason.
        changed_by: the steps of post-processing that changed the text, in order.
    """

    text: str
    prediction: Prediction
    changed_by: tuple[str, ...] = ()

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
