"""How texts are scored: by default as in the competition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from llm_summ.core.word_tokenizers import AsWrittenTokenizer, Tokenizer, TokenizerName, has_hangul, tokenizer_named
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
        tokens: the name of the tokenizer that splits the texts.
        aggregate: how a dialogue's references are combined.
    """

    variant: Variant = "rouge"
    tokens: TokenizerName = "mecab"
    aggregate: Aggregate = "mean"

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that splits the texts.

        Raises:
            InputError: mecab-ko is needed and cannot be loaded.
        """
        return tokenizer_named(self.tokens)

    def other_variant(self) -> Self:
        """Return the same metric with the other package."""
        return replace(self, variant="rouge-score" if self.variant == "rouge" else "rouge")

    def warnings(self, texts: Sequence[str], references: Sequence[Sequence[str]] | None = None) -> list[str]:
        """Return why texts should not be scored like this, if there is a reason.

        Args:
            texts: the summaries, shape ``[rows]``.
            references: the human summaries, shape ``[rows][at least 1]``; None: they are not checked.
        """
        if self.tokens.startswith("rouge-score") and has_hangul(texts):
            return [
                f"--tokens {self.tokens} drops every Hangul letter: only digits and Latin words are compared; "
                "use mecab for Korean"
            ]
        if self.tokens == "space" and self.variant == "rouge" and references is not None:
            return self._white_space(texts, references)
        return []

    def _white_space(self, texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[str]:
        """Return how the package's score of the texts as they are differs, if it does."""
        written = score_corpus(
            texts, references, variant="rouge", aggregate=self.aggregate, tokenizer=AsWrittenTokenizer()
        )
        ours = self.score(texts, references)
        rows = sum(one != other for one, other in zip(written.per_row, ours.per_row, strict=True))
        if not rows:
            return []
        return [
            "--tokens space ignores white space at the ends of texts: the package rouge counts an empty word for "
            f"it in the original texts, and scores {written.final:.2f}, not {ours.final:.2f} ({rows:,} of "
            f"{len(texts):,} rows differ); strip summaries and references before you compare"
        ]

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> CorpusScore:
        """Score summaries; arguments and errors as those of :func:`~llm_summ.score.corpus.score_corpus`."""
        return score_corpus(
            hypotheses, references, variant=self.variant, aggregate=self.aggregate, tokenizer=self.tokenizer
        )


COMPETITION = Metric()
