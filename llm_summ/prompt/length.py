"""Target lengths: the number of characters that a prompt asks for.

In training the prompt names the bucket of the true summary's length, so the model learns to follow the requested
length. At inference the true length is unknown, and the bucket is predicted from the dialogue alone. Both use the
same short list of targets, so the model is only asked for lengths that it was trained on.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field, PositiveInt

from llm_summ.core.errors import PromptError
from llm_summ.core.records import one_line, read_model
from llm_summ.data import Dialogue

__all__ = ["LengthTarget", "Weights", "features"]

Weights = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
"""A weight for each of `features`."""


@dataclass(frozen=True, slots=True)
class LengthTarget:
    """Buckets of summary lengths, and a predictor of the bucket; lengths are in characters.

    Attributes:
        edges: ascending; bucket i has the lengths from edges[i - 1] up to but not including edges[i].
        targets: the length that the prompt asks for in each bucket; one more than `edges`.
        weights: the natural logarithm of the length is weights · (1, log characters, log turns) of the dialogue.
    """

    edges: tuple[PositiveInt, ...] = field(metadata={"expected": "whole numbers above 0, ascending"})
    targets: tuple[PositiveInt, ...] = field(metadata={"expected": "whole numbers above 0, one more than edges"})
    weights: Weights = field(metadata={"expected": "3 finite numbers"})

    def __post_init__(self) -> None:
        if sorted(set(self.edges)) != list(self.edges):
            raise ValueError("edges")
        if len(self.targets) != len(self.edges) + 1:
            raise ValueError("targets")

    @classmethod
    def fit(cls, dialogues: Sequence[Dialogue], buckets: int) -> Self:
        """Fit on training dialogues; every reference counts once.

        The edges are quantiles of the lengths. If quantiles coincide there are fewer than `buckets`. A target is
        the median of its bucket, rounded to the nearest 10. The weights are fitted by least squares; the number of
        speakers was tried too, and added nothing to characters and turns.

        Args:
            dialogues: with references.
            buckets: number of buckets; 1 or more.

        Raises:
            PromptError: no dialogue has a reference.
        """
        import numpy as np

        pairs = [(dialogue, _length(summary)) for dialogue in dialogues for summary in dialogue.references]
        if not pairs:
            raise PromptError("no summary to take lengths from; prompt variable length needs training summaries")
        lengths = np.array([length for _, length in pairs])
        # Every edge is a length that occurs and is not the shortest, so no bucket is empty.
        shares = np.arange(1, buckets) / buckets
        quantiles = np.unique(np.quantile(lengths, shares, method="higher"))
        edges = quantiles[quantiles > lengths.min()]
        which = np.digitize(lengths, edges)
        medians = [float(np.median(lengths[which == bucket])) for bucket in range(len(edges) + 1)]
        measured = np.array([features(dialogue) for dialogue, _ in pairs])
        weights = np.linalg.lstsq(measured, np.log(lengths), rcond=None)[0]
        return cls(
            tuple(map(int, edges)),
            tuple(max(10, 10 * math.floor(median / 10 + 0.5)) for median in medians),
            tuple(map(float, weights)),
        )

    def of_summary(self, summary: str) -> int:
        """Return the target of a true summary's bucket, for training."""
        return self.targets[bisect_right(self.edges, _length(summary))]

    def predict(self, dialogue: Dialogue) -> int:
        """Return the predicted target for a dialogue, from its text alone, for generation."""
        logarithm = sum(weight * feature for weight, feature in zip(self.weights, features(dialogue), strict=True))
        return self.targets[bisect_right([math.log(edge) for edge in self.edges], logarithm)]

    def only(self, length: int) -> LengthTarget:
        """Return a length target that predicts the target nearest to a length for every dialogue."""
        nearest = min(self.targets, key=lambda target: abs(target - length))
        return LengthTarget((), (nearest,), (0.0, 0.0, 0.0))

    def to_json(self) -> str:
        """Return the target as JSON, on one line; `from_json` gives the same object, to the last bit."""
        return one_line(self)

    @classmethod
    def from_json(cls, text: str, where: str = "length target") -> Self:
        """Read what `to_json` wrote.

        Args:
            text: JSON.
            where: the text's name in an error.

        Raises:
            PromptError: the text is not a valid length target.
        """
        return read_model(text, cls, where, "train the run again", PromptError)


def _length(summary: str) -> int:
    """Return the number of characters of a summary as it is trained; at least 1."""
    return max(1, len(summary.strip()))


def features(dialogue: Dialogue) -> tuple[float, ...]:
    """Return the features from which the length is predicted; line ends and blank lines do not count."""
    lines = dialogue.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    turns = [line.strip() for line in lines if line.strip()]
    return (1.0, math.log(max(1, sum(map(len, turns)))), math.log(max(1, len(turns))))
