"""From raw texts to finished summaries and their score: every command post-processes here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from llm_summ.data import Dialogue
from llm_summ.post import StepChange, post_process
from llm_summ.post.limits import LengthLimits
from llm_summ.predictions.prediction import Prediction
from llm_summ.recipe import PostStep
from llm_summ.score import CorpusScore
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.other_metrics import MetricScore

__all__ = ["Finished", "RawTexts", "signature_after"]


@dataclass(frozen=True, slots=True)
class RawTexts:
    """Texts as a model wrote them, with the facts that post-processing needs.

    Attributes:
        texts: shape (n,).
        dialogues: the text of each one's dialogue, shape (n,); None: they are not known.
        cut_off: whether each generation ended by length, shape (n,); None: that is not known.
    """

    texts: tuple[str, ...]
    dialogues: tuple[str, ...] | None
    cut_off: tuple[bool | None, ...] | None = None

    @classmethod
    def of(cls, predictions: Sequence[Prediction], dialogues: Sequence[Dialogue]) -> Self:
        """Return the texts of predictions.

        Args:
            predictions: shape (n,).
            dialogues: the dialogue of each prediction, shape (n,).
        """
        return cls(
            tuple(prediction.summary for prediction in predictions),
            tuple(dialogue.text for dialogue in dialogues),
            tuple(prediction.finish_reason == "length" for prediction in predictions),
        )

    def finish(self, steps: Sequence[PostStep], limits: LengthLimits | None = None) -> Finished:
        """Post-process the texts.

        Args:
            steps: of post-processing.
            limits: of the step ``cut_to_limit``, which has no effect without them.

        Raises:
            ValueError: a step needs the dialogues, and they are not known.
        """
        cut_off = self.cut_off or (None,) * len(self.texts)
        report = post_process(self.texts, cut_off, steps, self.dialogues, limits)
        return Finished(self, tuple(report.texts), report.changed, tuple(report.changes))


@dataclass(frozen=True, slots=True)
class Finished:
    """Post-processed texts.

    Attributes:
        raw: the texts before post-processing.
        texts: the finished summaries, in the order of the raw texts, shape (n,).
        post: the steps that ran, with the number of texts each changed; empty if none ran.
        changes: every change of a step, in the order in which the steps ran.
    """

    raw: RawTexts
    texts: tuple[str, ...]
    post: Mapping[str, int]
    changes: tuple[StepChange, ...] = ()

    @property
    def by_length(self) -> int:
        """Number of texts that were cut off."""
        return sum(map(bool, self.raw.cut_off or ()))

    def changed_by(self, row: int) -> tuple[str, ...]:
        """Return the steps that changed a text, in order."""
        return tuple(change.step for change in self.changes if change.row == row)

    def score(self, dialogues: Sequence[Dialogue], metric: Metric = COMPETITION) -> CorpusScore:
        """Score the summaries.

        Args:
            dialogues: the dialogue of each summary, with its references, shape (n,).
            metric: how to score.
        """
        return metric.score(self.texts, [dialogue.references for dialogue in dialogues])

    def sign(self, score: CorpusScore | MetricScore) -> str:
        """Return the signature of their score, with the steps of post-processing."""
        return signature_after(score, self.post)


def signature_after(score: CorpusScore | MetricScore, steps: Iterable[str]) -> str:
    """Return the signature of the score of post-processed texts: the score's own, and the steps that ran."""
    return f"{score.signature}|post:{'+'.join(steps) or 'none'}"
