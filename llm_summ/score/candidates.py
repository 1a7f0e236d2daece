"""Score every candidate of a dialogue as the hypothesis of every other, for selection by expected score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from llm_summ.core.word_tokenizers import Tokenizer, mecab_tokenizer
from llm_summ.score.batch import TextBatch
from llm_summ.score.rouge import Variant
from llm_summ.score.workers import spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["candidate_scores"]


def candidate_scores(
    candidates: Sequence[Sequence[str]],
    *,
    variant: Variant = "rouge",
    tokenizer: Tokenizer | None = None,
    workers: int = 1,
) -> Iterator[NDArray[np.float64]]:
    """Compare the candidates of each dialogue with one another.

    Duplicate texts are analysed and compared once.

    Args:
        candidates: the texts, shape ``[dialogues][n]``; n may vary.
        variant: the ROUGE package to agree with.
        tokenizer: what splits the texts; mecab-ko if None.
        workers: processes that share the dialogues.

    Yields:
        for each dialogue the F1, from 0 to 1, of candidate i as the hypothesis of candidate j: shape
        ``[n, n, 3]``, the last of them ROUGE-1, -2, -L.

    Raises:
        ValueError: if the variant is unknown.
        InputError: if mecab-ko is needed and cannot be loaded.
    """
    tokenize = mecab_tokenizer() if tokenizer is None else tokenizer
    yield from spread(partial(_matrix, variant=variant, tokenizer=tokenize), candidates, workers)


def _matrix(texts: Sequence[str], variant: Variant, tokenizer: Tokenizer) -> NDArray[np.float64]:
    import numpy as np

    distinct = list(dict.fromkeys(texts))
    n = len(distinct)
    f1 = TextBatch([tokenizer(text) for text in distinct], variant).matrix().f1.reshape(n, n, 3)
    place = {text: index for index, text in enumerate(distinct)}
    rows = np.array([place[text] for text in texts], np.int64)
    return f1[np.ix_(rows, rows)]
