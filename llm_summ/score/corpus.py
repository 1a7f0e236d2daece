"""The score of a file of summaries: ROUGE over dialogues and their references, with a signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import fsum
from typing import TYPE_CHECKING, Literal, NamedTuple

from llm_summ import __version__
from llm_summ.core.word_tokenizers import Tokenizer, mecab_tokenizer
from llm_summ.data.empty_texts import is_null
from llm_summ.score.batch import TextBatch
from llm_summ.score.rouge import Variant
from llm_summ.score.workers import spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Aggregate = Literal["mean", "max"]

_ROWS_TOGETHER = 1024  # their arrays take some tens of megabytes


class RowScore(NamedTuple):
    """F1 of one dialogue, aggregated over its references, times 100."""

    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815  the metric's name
    final: float


FIGURES = RowScore._fields
"""The names of the figures of a score, the competition's last."""


@dataclass(frozen=True, slots=True)
class CorpusScore:
    """The score of all dialogues; every figure is F1 from 0 to 100.

    Attributes:
        rouge1: mean over the dialogues.
        rouge2: mean over the dialogues.
        rougeL: mean over the dialogues.
        final: mean of the three, by which the competition ranks.
        per_row: the scores of each dialogue, in the order given; their mean is the corpus score.
        empty: indexes of the hypotheses that leave nothing to score (no token; for the variant ``rouge`` also
            nothing but full stops), on which the package ``rouge`` raises, and of null words (``nan``, ``None``)
            that have no token in common with a reference. They count as zero.
        rows: number of dialogues.
        references_per_row: the smallest and the largest number of references of a dialogue.
        signature: two scores are comparable only if it is equal; ``key:value`` parts, for instance
            ``variant:rouge|tok:mecab-ko:1.3.7,dic:2.1.1.post2|nrefs:3|refs:mean|empty:0|v:0.1.0``:

            - ``variant``: the package whose ROUGE it is (``rouge`` 1.0.1 or ``rouge-score`` 0.1.2);
            - ``tok``: the tokenizer with its versions;
            - ``nrefs``: references per dialogue, ``1-3`` where the number varies;
            - ``refs``: how a dialogue's references are aggregated, ``mean`` or ``max``;
            - ``empty``: how many hypotheses were empty and count as zero;
            - ``v``: the version of this package.
    """

    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815  the metric's name
    final: float
    per_row: tuple[RowScore, ...]
    empty: tuple[int, ...]
    rows: int
    references_per_row: tuple[int, int]
    signature: str


def score_corpus(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    variant: Variant = "rouge",
    aggregate: Aggregate = "mean",
    tokenizer: Tokenizer | None = None,
    workers: int = 1,
) -> CorpusScore:
    """Score one summary per dialogue against the references of that dialogue.

    Each metric's F1 is aggregated over a dialogue's references, averaged over the dialogues and multiplied by
    100. The competition takes the mean over the references; ``max`` takes, for each metric on its own, the
    reference that fits best, as ``rouge_score``'s ``score_multi`` does.

    Args:
        hypotheses: the generated summaries, shape ``[rows]``.
        references: the human summaries of each dialogue, shape ``[rows][at least 1]``.
        variant: the ROUGE package to agree with.
        aggregate: how to combine a dialogue's references.
        tokenizer: splits the texts; mecab-ko if None. It should cache its results, as mecab-ko's does: then
            another variant of the score needs no second analysis.
        workers: processes that share the work, by 1,024 rows; worth it for tens of thousands of texts.

    Returns:
        The scores of the corpus and of each dialogue, with their signature.

    Raises:
        ValueError: if there is nothing to score, the numbers of hypotheses and references differ, a dialogue
            has no reference, or an option is unknown.
        InputError: if mecab-ko is needed and cannot be loaded.
    """
    _check(hypotheses, references, aggregate)
    tokenize = mecab_tokenizer() if tokenizer is None else tokenizer
    parts = [slice(start, start + _ROWS_TOGETHER) for start in range(0, len(hypotheses), _ROWS_TOGETHER)]
    blocks = [(hypotheses[part], references[part]) for part in parts]
    score = partial(_score_block, variant=variant, aggregate=aggregate, tokenizer=tokenize)
    per_row: list[RowScore] = []
    empty: list[int] = []
    for found, without in spread(score, blocks, workers):
        empty += [len(per_row) + index for index in without]
        per_row += found
    rows = len(per_row)
    rouge1 = fsum(row.rouge1 for row in per_row) / rows
    rouge2 = fsum(row.rouge2 for row in per_row) / rows
    rouge_l = fsum(row.rougeL for row in per_row) / rows
    fewest, most = min(map(len, references)), max(map(len, references))
    signature = "|".join(
        (
            f"variant:{variant}",
            f"tok:{tokenize.name}",
            f"nrefs:{fewest}" if fewest == most else f"nrefs:{fewest}-{most}",
            f"refs:{aggregate}",
            f"empty:{len(empty)}",
            f"v:{__version__}",
        )
    )
    return CorpusScore(
        rouge1=rouge1,
        rouge2=rouge2,
        rougeL=rouge_l,
        final=(rouge1 + rouge2 + rouge_l) / 3,
        per_row=tuple(per_row),
        empty=tuple(empty),
        rows=rows,
        references_per_row=(fewest, most),
        signature=signature,
    )


def combine(f1: NDArray[np.float64], each: NDArray[np.int64], aggregate: Aggregate) -> NDArray[np.float64]:
    """Return the scores of rows from those of their references, which follow one another.

    Args:
        f1: shape ``[references of all rows, metrics]``.
        each: how many references each row has, at least 1, shape ``[rows]``.
        aggregate: ``mean``, or ``max``: for each metric on its own, the reference that fits best.

    Returns:
        shape ``[rows, metrics]``.
    """
    import numpy as np

    first = np.cumsum(each) - each
    return np.maximum.reduceat(f1, first) if aggregate == "max" else np.add.reduceat(f1, first) / each[:, None]


def _check(hypotheses: Sequence[str], references: Sequence[Sequence[str]], aggregate: str) -> None:
    if aggregate not in ("mean", "max"):
        raise ValueError(f"unknown aggregate {aggregate!r}: expected 'mean' or 'max'")
    if len(hypotheses) != len(references):
        raise ValueError(
            f"{len(hypotheses)} hypotheses, but references for {len(references)} dialogues: expected one "
            "hypothesis per dialogue"
        )
    if not hypotheses:
        raise ValueError("no hypotheses: expected at least one")
    for index, row_references in enumerate(references):
        # A string is a sequence of strings too: its characters would be taken for references.
        if isinstance(row_references, str):
            raise ValueError(f"the references of row {index} are one string: expected a list of strings")
        if not row_references:
            raise ValueError(f"row {index} has no reference: expected at least one")


_Block = tuple[Sequence[str], Sequence[Sequence[str]]]


def _score_block(
    block: _Block, variant: Variant, aggregate: Aggregate, tokenizer: Tokenizer
) -> tuple[list[RowScore], list[int]]:
    """Return the scores of a block's rows, and the indexes of its empty hypotheses."""
    import numpy as np

    hypotheses, references = block
    rows = len(hypotheses)
    batch = TextBatch([tokenizer(text) for text in chain(hypotheses, *references)], variant)
    each = np.fromiter(map(len, references), np.int64, rows)
    own = np.repeat(np.arange(rows), each)
    f1 = 100 * batch.compare(own, rows + np.arange(len(own))).f1
    figures = combine(f1, each, aggregate)
    scores = [RowScore(one, two, longest, (one + two + longest) / 3) for one, two, longest in figures.tolist()]
    # "none" may be a true answer in an English file: it counts as empty only where it scores 0.
    null = np.fromiter(map(is_null, hypotheses), np.bool_, rows) & ~figures.any(axis=1)
    return scores, np.flatnonzero(batch.empty[:rows] | null).tolist()
