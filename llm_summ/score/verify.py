"""Compare our scores with those of the packages themselves, on the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from math import fsum
from typing import Any, NamedTuple

from llm_summ.core.records import JsonRecord
from llm_summ.core.word_tokenizers import Tokenizer
from llm_summ.score.batch import TextBatch
from llm_summ.score.corpus import Aggregate, score_corpus
from llm_summ.score.rouge import Variant

__all__ = ["EXACT", "Difference", "ScoreVerification", "verify"]

_FIGURES = tuple(
    f"{metric} {figure}"
    for metric in ("ROUGE-1", "ROUGE-2", "ROUGE-L")
    for figure in ("precision", "recall", "F1")
)
_F1 = (2, 5, 8)
EXACT = 1e-9
"""A larger difference is not a rounding error."""

# `rouge` keeps a table of words by words in a dictionary, about 150 bytes an entry.
_LARGEST_TABLE = 1_000_000


class Difference(NamedTuple):
    """Where the largest difference is.

    Attributes:
        row: index of the hypothesis; None if it is in the corpus's score.
        reference: index of its reference; None if it is in the aggregate over all of them.
        figure: for instance ``ROUGE-L recall``.
    """

    row: int | None
    reference: int | None
    figure: str


@dataclass(frozen=True, slots=True)
class ScoreVerification(JsonRecord):
    """How far our figures are from the package's.

    Attributes:
        package: the package that the figures are compared with.
        version: the package's version.
        pairs: how many pairs of a hypothesis and a reference were compared, each with nine figures.
        largest: the largest absolute difference; figures are from 0 to 1.
        where: where the largest difference is; None if there is none.
        empty: pairs of which one text is empty: `rouge` raises, our score is 0. They are among the pairs.
        not_comparable: pairs too long for `rouge`, which were left out.
    """

    package: str
    version: str
    pairs: int
    largest: float
    where: Difference | None
    empty: int
    not_comparable: int

    def __str__(self) -> str:
        return (
            f"{self.package} {self.version}: {self.pairs:,} pairs, the largest difference is {self.largest:.1e}"
            + (f"; {self.empty:,} with an empty text" if self.empty else "")
            + (f"; {self.not_comparable:,} too long for it" if self.not_comparable else "")
        )


class _TokensAsTheyAre:
    """A tokenizer for `rouge_score` that returns its input: it is given tokens instead of texts."""

    def tokenize(self, tokens: list[str]) -> list[str]:
        return tokens


class _Package:
    """One of the ROUGE packages.

    Args:
        variant: the package.
    """

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        if variant == "rouge":
            from rouge import Rouge

            self._scorer: Any = Rouge()
        else:
            from rouge_score.rouge_scorer import RougeScorer

            self._scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_TokensAsTheyAre())

    def __call__(self, hypothesis: list[str], reference: list[str]) -> list[float]:
        """Return the nine figures, in the order of `_FIGURES`.

        Raises:
            ValueError: a text is empty.
            RecursionError: the texts are too long.
        """
        if len(hypothesis) * len(reference) > _LARGEST_TABLE:
            raise RecursionError
        if self.variant == "rouge":
            [scores] = self._scorer.get_scores(" ".join(hypothesis), " ".join(reference))
            return [scores[metric][key] for metric in ("rouge-1", "rouge-2", "rouge-l") for key in ("p", "r", "f")]
        if not hypothesis or not reference:
            raise ValueError
        scores = self._scorer.score(reference, hypothesis)
        return [figure for metric in ("rouge1", "rouge2", "rougeL") for figure in scores[metric]]


def verify(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokenizer: Tokenizer,
    variant: Variant,
    aggregate: Aggregate,
) -> ScoreVerification:
    """Score every pair with the package itself, and compare.

    Compared are the nine figures of :class:`~llm_summ.score.batch.TextBatch` for each pair, and for each row
    the F1 that :func:`~llm_summ.score.corpus.score_corpus` gives.

    Args:
        hypotheses: the summaries, shape ``[rows]``.
        references: the human summaries of each dialogue, shape ``[rows][at least 1]``.
        tokenizer: splits the texts; the package is given its tokens (`rouge`: joined by spaces).
        variant: the package.
        aggregate: how to combine a dialogue's references.

    Raises:
        ValueError: there is nothing to score, or an option is unknown.
    """
    corpus = score_corpus(hypotheses, references, variant=variant, aggregate=aggregate, tokenizer=tokenizer)
    package = _Package(variant)
    split = [
        (tokenizer(text), list(map(tokenizer, others)))
        for text, others in zip(hypotheses, references, strict=True)
    ]
    figures = iter(_figures(split, variant))
    pairs = empty = not_comparable = 0
    rows: list[list[float]] = []
    largest, where = 0.0, None
    for row, (hypothesis, others) in enumerate(split):
        found: list[tuple[int | None, str, float]] = []
        theirs: list[list[float]] = []
        for place, reference in enumerate(others):
            ours = next(figures)
            try:
                expected = package(hypothesis, reference)
            except ValueError:
                expected = [0.0] * len(_FIGURES)
                empty += 1
            except RecursionError:
                not_comparable += 1
                continue
            theirs.append(expected)
            found += [(place, name, abs(a - b)) for name, a, b in zip(_FIGURES, ours, expected, strict=True)]
        pairs += len(theirs)
        if len(theirs) == len(others):
            combined = [_combine([one[place] for one in theirs], aggregate) for place in _F1]
            ours = [figure / 100 for figure in corpus.per_row[row][:3]]
            found += [(None, _FIGURES[place], abs(a - b)) for place, a, b in zip(_F1, ours, combined, strict=True)]
            rows.append(combined)
        for against, name, difference in found:
            if difference > largest:
                largest, where = difference, Difference(row, against, name)
    if len(rows) == len(split):
        for place, name in enumerate(("rouge1", "rouge2", "rougeL")):
            difference = abs(getattr(corpus, name) / 100 - fsum(row[place] for row in rows) / len(rows))
            if difference > largest:
                largest, where = difference, Difference(None, None, _FIGURES[_F1[place]])
    return ScoreVerification(variant, metadata.version(variant), pairs, largest, where, empty, not_comparable)


def _figures(split: Sequence[tuple[list[str], list[list[str]]]], variant: Variant) -> list[list[float]]:
    """Return our nine figures of every pair, in the order of `_FIGURES`."""
    import numpy as np

    texts = [text for hypothesis, references in split for text in (hypothesis, *references)]
    own: list[int] = []
    other: list[int] = []
    for _, references in split:
        first = other[-1] + 1 if other else 0
        own += [first] * len(references)
        other += range(first + 1, first + 1 + len(references))
    found = TextBatch(texts, variant).compare(own, other)
    figures: list[list[float]] = (
        np.stack([found.precision, found.recall, found.f1], axis=2).reshape(-1, 9).tolist()
    )
    return figures


def _combine(values: Sequence[float], aggregate: Aggregate) -> float:
    return max(values) if aggregate == "max" else fsum(values) / len(values)
