"""Prediction of a completion's maximum number of tokens from its dialogue, to cut off endless texts early.

A fixed limit that cuts no completion off is far above most completions. The predicted limit is a length that 99.5
% of the training completions stay below, given the length of the dialogue.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field, PositiveInt

from llm_summ.core.errors import PromptError
from llm_summ.core.records import one_line, read_model
from llm_summ.data import Dialogue
from llm_summ.data.labels import is_tagged
from llm_summ.prompt.length import Weights, features
from llm_summ.recipe import GenerateFields

__all__ = ["LENGTH_SHARES", "TokenLimitPredictor", "token_limit"]

LENGTH_SHARES = (1 / 6, 1 / 2, 5 / 6)
"""The middles of the shortest, the middle and the longest third of summaries, as shares of all."""

_SHARE = 0.995
_LARGEST = 20.0  # of the logarithm; in effect no limit


@dataclass(frozen=True, slots=True)
class TokenLimitPredictor:
    """A limit for each dialogue, and what else is known of the training's texts.

    Attributes:
        weights: the natural logarithm of the tokens is weights · (1, log characters, log turns) of the dialogue.
        slack: is added to the logarithm, so that 99.5 % of the training completions have fewer tokens.
        characters: of a usual training dialogue, the median; None: an earlier version did not store it.
        summary_characters: of a short, a usual and a long training summary: the quantiles `LENGTH_SHARES`.
        tagged: whether most training dialogues name their speakers with tags (``#Person1#``).
    """

    weights: Weights = field(metadata={"expected": "3 finite numbers"})
    slack: float = field(metadata={"expected": "a finite number"})
    characters: PositiveInt | None = field(default=None, metadata={"expected": "a whole number above 0"})
    summary_characters: Annotated[tuple[PositiveInt, ...], Field(min_length=3, max_length=3)] | None = field(
        default=None, metadata={"expected": "3 whole numbers above 0"}
    )
    tagged: bool | None = field(default=None, metadata={"expected": "true or false"})

    @classmethod
    def fit(cls, dialogues: Sequence[Dialogue], tokens: Sequence[int]) -> Self:
        """Fit by least squares.

        Args:
            dialogues: of the training rows, with references, shape (n,); at least one.
            tokens: of each row's completion, its stop token included, shape (n,).
        """
        import numpy as np

        measured = np.array([features(dialogue) for dialogue in dialogues])
        logarithms = np.log(np.array(tokens))
        weights = np.linalg.lstsq(measured, logarithms, rcond=None)[0]
        slack = np.quantile(logarithms - measured @ weights, _SHARE, method="higher")
        characters = max(1, round(float(np.median([len(dialogue.text) for dialogue in dialogues]))))
        summaries = [len(text.strip()) for dialogue in dialogues for text in dialogue.references]
        lengths = (
            [max(1, round(float(size))) for size in np.quantile(summaries, LENGTH_SHARES)] if summaries else []
        )
        tagged = sum(is_tagged(dialogue.text) for dialogue in dialogues)
        return cls(
            tuple(map(float, weights)),
            float(slack),
            characters,
            tuple(lengths) or None,
            2 * tagged > len(dialogues),
        )

    def limit(self, dialogue: Dialogue) -> int:
        """Return the maximum number of tokens of a dialogue's summary, the stop token included; at least 1."""
        measured = features(dialogue)
        logarithm = self.slack + sum(
            weight * feature for weight, feature in zip(self.weights, measured, strict=True)
        )
        return max(1, math.ceil(math.exp(min(logarithm, _LARGEST)) - 1e-6))

    def to_json(self) -> str:
        """Return the predictor as JSON, on one line; `from_json` gives the same object, to the last bit."""
        return one_line(self)

    @classmethod
    def from_json(cls, text: str, where: str = "token budget") -> Self:
        """Read what `to_json` wrote.

        Args:
            text: JSON.
            where: the text's name in an error.

        Raises:
            PromptError: the text is not a valid predictor.
        """
        advice = "train the run again, or set generate.limit to fixed"
        return read_model(text, cls, where, advice, PromptError)


def token_limit(
    fields: GenerateFields, limit_predictor: Callable[[], TokenLimitPredictor]
) -> Callable[[Dialogue], int]:
    """Return a function from a dialogue to the maximum number of tokens of its summary.

    Args:
        fields: the recipe's section `generate`.
        limit_predictor: loads the predictor of the training; called only if the recipe asks for predicted limits.
    """
    if fields.limit == "fixed":
        return lambda dialogue: fields.max_new_tokens
    predicted = limit_predictor()
    return lambda dialogue: min(fields.max_new_tokens, predicted.limit(dialogue))
