"""Which score: the competition's, unless one asks for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from llm_summ.morphemes import Tokenizer, TokenizerName, tokenizer_named
from llm_summ.score.corpus import Aggregate, CorpusScore, score_corpus
from llm_summ.score.rouge import Variant

__all__ = ["COMPETITION", "PACKAGES", "Metric"]

PACKAGES: dict[Variant, str] = {"rouge": "rouge 1.0.1", "rouge-score": "rouge-score 0.1.2"}
"""The packages by the variant that is named after them."""

_MANY_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Metric:
    """How texts are scored.

    Attributes:
        variant: the ROUGE package to agree with.
        tokens: what splits the texts.
        aggregate: how a dialogue's references are combined.
    """

    variant: Variant = "rouge"
    tokens: TokenizerName = "mecab"
    aggregate: Aggregate = "mean"

    @property
    def tokenizer(self) -> Tokenizer:
        """What splits the texts.

        Raises:
            InputError: mecab-ko is wanted and cannot be loaded.
        """
        return tokenizer_named(self.tokens)

    def other_variant(self) -> Self:
        """The same with the other package."""
        return replace(self, variant="rouge-score" if self.variant == "rouge" else "rouge")

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> CorpusScore:
        """Score summaries; on all cores if they are very many.

        Args:
            hypotheses: the generated summaries, shape ``[rows]``.
            references: the human summaries of each dialogue, shape ``[rows][at least 1]``.

        Raises:
            ValueError: there is nothing to score, or a dialogue has no reference.
            InputError: mecab-ko is wanted and cannot be loaded.
        """
        import os

        return score_corpus(
            hypotheses,
            references,
            variant=self.variant,
            aggregate=self.aggregate,
            tokenizer=self.tokenizer,
            workers=(os.cpu_count() or 1) if len(hypotheses) >= _MANY_ROWS else 1,
        )


COMPETITION = Metric()
