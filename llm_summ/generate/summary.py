"""Finished summaries, and the post-processing of raw predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.data import Dialogue
from llm_summ.post import post_process
from llm_summ.post.limits import LengthLimits
from llm_summ.predictions.prediction import FinishReason, Prediction
from llm_summ.recipe import PostStep

__all__ = ["Finished", "Summary", "best_candidate", "finish"]


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


@dataclass(frozen=True, slots=True)
class Finished:
    """Post-processed predictions.

    Attributes:
        summaries: in the order of the predictions, shape (n,).
        steps: names of all steps, as in the signature of a score.
    """

    summaries: tuple[Summary, ...]
    steps: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """The finished texts, shape (n,)."""
        return [summary.text for summary in self.summaries]

    @property
    def by_length(self) -> int:
        """Number of texts that were cut off."""
        return sum(summary.finish_reason == "length" for summary in self.summaries)


def finish(
    predictions: Sequence[Prediction],
    dialogues: Sequence[Dialogue],
    steps: Sequence[PostStep],
    limits: LengthLimits | None = None,
) -> Finished:
    """Post-process raw predictions.

    Args:
        predictions: shape (n,).
        dialogues: the dialogue of each prediction, shape (n,).
        steps: of post-processing.
        limits: of the step ``cut_to_limit``, which has no effect without them.
    """
    cut_off = [prediction.finish_reason == "length" for prediction in predictions]
    sources = [dialogue.text for dialogue in dialogues]
    report = post_process([prediction.summary for prediction in predictions], cut_off, steps, sources, limits)
    changed_by: dict[int, list[str]] = {}
    for change in report.changes:
        changed_by.setdefault(change.row, []).append(change.step)
    summaries = (
        Summary(text, prediction, tuple(changed_by.get(row, ())))
        for row, (text, prediction) in enumerate(zip(report.texts, predictions, strict=True))
    )
    return Finished(tuple(summaries), tuple(report.changed))


def best_candidate(texts: Sequence[str]) -> int:
    """Return the index of the candidate that agrees best with the others."""
    if len(set(texts)) == 1:
        return 0
    from llm_summ.select.mbr import Settings, choose, compare_candidates
    from llm_summ.select.pool import Member, Pool

    pool = Pool(("",), (Member("", Path(), (tuple(texts),)),))
    return int(choose(compare_candidates(pool), Settings((1.0,))).index[0])
