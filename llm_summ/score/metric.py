"""Which score: the competition's, unless one asks for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from llm_summ.morphemes import Tokenizer, TokenizerName, has_hangul, tokenizer_named
from llm_summ.score.corpus import Aggregate, CorpusScore, score_corpus
from llm_summ.score.rouge import Variant

__all__ = ["COMPETITION", "PACKAGES", "Metric"]

PACKAGES: dict[Variant, str] = {"rouge": "rouge 1.0.1", "rouge-score": "rouge-score 0.1.2"}
"""The packages by the variant that is named after them."""


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

    def warnings(self, texts: Sequence[str]) -> list[str]:
        """Why texts should not be scored like this, if there is a reason."""
        if self.tokens.startswith("rouge-score") and has_hangul(texts):
            return [
                f"--tokens {self.tokens} drops every Hangul letter: only digits and Latin words are compared; "
                "take mecab for Korean"
            ]
        return []

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> CorpusScore:
        """Score summaries; arguments and errors as those of :func:`~llm_summ.score.corpus.score_corpus`."""
        return score_corpus(
            hypotheses, references, variant=self.variant, aggregate=self.aggregate, tokenizer=self.tokenizer
        )


COMPETITION = Metric()
