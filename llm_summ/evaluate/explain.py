"""Score the same summaries in other ways: on which choices a ROUGE score depends besides the summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product, starmap
from typing import Any, get_args

from llm_summ.core.records import JsonRecord, field_values
from llm_summ.core.tables import TextTable
from llm_summ.core.word_tokenizers import TokenizerName, has_hangul, tokenizer_named
from llm_summ.score.corpus import Aggregate
from llm_summ.score.metric import Metric
from llm_summ.score.rouge import Variant

__all__ = ["Explanation", "ScoreVariant", "explain"]

_PACKAGES: dict[Variant, str] = {
    "rouge": "n-grams as sets, sentences apart",
    "rouge-score": "n-grams as often as they occur",
}
_AGGREGATES: dict[Aggregate, str] = {
    "mean": "mean over the references",
    "max": "best reference of each metric",
}
_TOKENS = {
    "mecab": "morphemes: particles and endings count for themselves",
    "space": "words: 의사는 and 의사가 have nothing in common",
    "character": "characters: parts of words count, too",
    "rouge-score": "drops every Hangul letter: of Korean, only digits, Latin words and tags are compared",
}


@dataclass(frozen=True, slots=True)
class ScoreVariant:
    """One way to score.

    Attributes:
        variant: the ROUGE package.
        tokens: the tokenizer: mecab, space, character or rouge-score.
        aggregate: how a dialogue's references are combined.
        final: the score, from 0 to 100.
        meaning: a description of the counted units.
        signature: the score's signature, with versions.
    """

    variant: Variant
    tokens: str
    aggregate: Aggregate
    final: float
    meaning: str
    signature: str


@dataclass(frozen=True, slots=True)
class Explanation(JsonRecord):
    """The same summaries, scored in several ways.

    Attributes:
        variants: the first is the competition's.
        left: the number of tokens that rouge-score's own tokenizer finds in these texts, divided by mecab-ko's.
        nothing_left: in how many texts, of summaries and references, it finds no token.
        texts: how many texts there are.
        hangul: whether they have Hangul letters.
    """

    variants: tuple[ScoreVariant, ...]
    left: float
    nothing_left: int
    texts: int
    hangul: bool

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {**field_values(self), "warning": self.warning()}

    def table(self) -> TextTable:
        """Return, for people, a line for each package and tokens; the first is the competition's."""
        finals = {(found.variant, found.tokens, found.aggregate): found.final for found in self.variants}
        ways = dict.fromkeys((found.variant, found.tokens) for found in self.variants)
        return TextTable(
            ["package", "tokens", *get_args(Aggregate), "tokens are"],
            [
                [
                    variant,
                    tokens,
                    *(f"{finals[variant, tokens, one]:.2f}" for one in get_args(Aggregate)),
                    _TOKENS[tokens],
                ]
                for variant, tokens in ways
            ],
            figures=False,
        )

    def lines(self) -> list[str]:
        """Return, for people, the meaning of the table's words, and the warning."""
        meanings = [f"{name}: {meaning}" for name, meaning in (*_PACKAGES.items(), *_AGGREGATES.items())]
        return meanings if (warning := self.warning()) is None else [*meanings, warning]

    def warning(self) -> str | None:
        """Why rouge-score's own tokenizer must not be used on these texts; None for texts without Hangul."""
        if not self.hangul:
            return None
        return (
            f"rouge-score's own tokenizer drops every Hangul letter: it finds {self.left:.0%} as many tokens here "
            f"as mecab-ko, and none at all in {self.nothing_left:,} of {self.texts:,} texts. With it, two "
            'sentences that share only "10" score 100, and equal ones without digits and Latin letters 0'
        )


def explain(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Explanation:
    """Score summaries by both packages, on several kinds of tokens, by the mean and by the best reference.

    Args:
        hypotheses: the summaries, shape ``[rows]``.
        references: the human summaries of each dialogue, shape ``[rows][at least 1]``.

    Raises:
        ValueError: there is nothing to score, or a dialogue has no reference.
        InputError: mecab-ko cannot be loaded.
    """
    shared: tuple[TokenizerName, ...] = ("mecab", "space", "character")  # both packages are given their tokens
    aggregates: tuple[Aggregate, ...] = get_args(Aggregate)
    metrics = list(starmap(Metric, product(get_args(Variant), shared, aggregates)))
    metrics += [Metric("rouge-score", "rouge-score", aggregate) for aggregate in aggregates]
    variants = []
    for metric in metrics:
        score = metric.score(hypotheses, references)
        meaning = f"{_TOKENS[metric.tokens]}; {_PACKAGES[metric.variant]}; {_AGGREGATES[metric.aggregate]}"
        variants.append(
            ScoreVariant(metric.variant, metric.tokens, metric.aggregate, score.final, meaning, score.signature)
        )
    own, mecab = tokenizer_named("rouge-score"), tokenizer_named("mecab")
    texts = [*hypotheses, *(reference for row in references for reference in row)]
    kept = [len(own(text)) for text in texts]
    return Explanation(
        variants=tuple(variants),
        left=sum(kept) / max(sum(len(mecab(text)) for text in texts), 1),
        nothing_left=kept.count(0),
        texts=len(texts),
        hangul=has_hangul(texts),
    )
