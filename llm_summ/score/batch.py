"""Many texts, compared in many pairs: the same figures as :func:`~llm_summ.score.rouge.compare`, in arrays.

Tokens become integers once for each text. What two texts share is found by rapidfuzz: n-grams in sorted order have
as many in common, with multiplicity or without, as their longest common subsequence is long. That of ``rouge``'s
ROUGE-L, which has to be read out, is :mod:`~llm_summ.score.union_lcs`'s. Texts that are too long for it go through
:func:`~llm_summ.score.rouge.common_words`, which knows no limit.

Legend of shapes: ``n`` texts, ``p`` pairs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from llm_summ.score.rouge import Prepared, Variant, common_words, prepare, split_sentences
from llm_summ.score.union_lcs import SentenceTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Indexes: TypeAlias = NDArray[np.int64]
    _Texts: TypeAlias = Sequence[str] | Sequence[list[int]]

__all__ = ["METRICS", "Comparison", "TextBatch"]

METRICS = ("rouge1", "rouge2", "rougeL")
"""What the columns of a comparison are."""

# Ids: of a full stop, of the word "" that `rouge` makes of ". .", of the first token; and of a token that is
# not one word of `rouge`, whose text is split as the package does it.
_STOP, _EMPTY, _FIRST, _SLOW = 0, 1, 2, -1
_SURROGATES = range(0xD800, 0xE000)  # no letters: ids jump over them


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores of ``p`` pairs, each from 0 to 1, shape ``[p, 3]``: ROUGE-1, -2, -L."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


class TextBatch:
    """Texts made ready to be compared with one another, each as a hypothesis or as a reference.

    Args:
        texts: the tokens of each text, shape ``[n][tokens]``.
        variant: the package to agree with.

    Attributes:
        variant: the package to agree with.
        empty: whether there is nothing to score in each text, shape ``[n]``.

    Raises:
        ValueError: if the variant is unknown.
    """

    def __init__(self, texts: Sequence[Sequence[str]], variant: Variant = "rouge") -> None:
        import numpy as np

        if variant not in ("rouge", "rouge-score"):
            raise ValueError(f"unknown ROUGE variant {variant!r}: expected 'rouge' or 'rouge-score'")
        self.variant: Variant = variant
        self._tokens = texts
        self._slow: dict[int, Prepared] = {}
        ids, lengths = _token_ids(texts, words=variant == "rouge")
        text = np.repeat(np.arange(len(texts)), lengths)
        if variant == "rouge":
            stop = ids == _STOP
            # A sentence ends before a full stop and at the end of a text.
            break_before = np.concatenate([[True], stop[:-1] | (text[1:] != text[:-1])]) if len(ids) else stop
            sentence = np.cumsum(break_before)[~stop]
            ids, text = ids[~stop], text[~stop]
            _, starts, sentence_lengths = np.unique(sentence, return_index=True, return_counts=True)
            self._sentences = (ids, sentence_lengths, np.bincount(text[starts], minlength=len(texts)))
        else:
            self._words = _strings(ids, text, len(texts))
        self.empty = np.bincount(text, minlength=len(texts)) == 0
        base = 1 + int(ids.max(initial=0))
        inside = text[1:] == text[:-1]
        bigrams = (ids[:-1] * base + ids[1:])[inside]
        self._unigrams, unigrams = _sorted(ids, text, len(texts), distinct=variant == "rouge")
        self._bigrams, pairs = _sorted(
            np.unique(bigrams, return_inverse=True)[1], text[1:][inside], len(texts), distinct=variant == "rouge"
        )
        self._sizes = np.stack([unigrams, pairs, unigrams], axis=1)

    def compare(self, hypothesis: Sequence[int] | _Indexes, reference: Sequence[int] | _Indexes) -> Comparison:
        """Score pairs of texts.

        Args:
            hypothesis: index of each pair's hypothesis, shape ``[p]``.
            reference: index of each pair's reference, shape ``[p]``.
        """
        import numpy as np

        own, other = np.asarray(hypothesis, np.int64), np.asarray(reference, np.int64)
        common = [_longest(self._unigrams, own, other), _longest(self._bigrams, own, other)]
        common.append(self._union(own, other) if self.variant == "rouge" else _longest(self._words, own, other))
        return self._score(np.stack(common, axis=1), own, other)

    def matrix(self) -> Comparison:
        """Score every text as the hypothesis of every text as the reference, itself too; in row order, p = n * n.

        What is the same both ways, all but the union of ``rouge``, is found once.
        """
        import numpy as np

        n = len(self._tokens)
        upper, lower = np.triu_indices(n)
        common = np.empty((n, n, 3), np.int64)
        shared = [self._unigrams, self._bigrams] + ([self._words] if self.variant == "rouge-score" else [])
        for metric, texts in enumerate(shared):
            common[upper, lower, metric] = common[lower, upper, metric] = _longest(texts, upper, lower)
        own, other = np.divmod(np.arange(n * n), max(n, 1))
        if self.variant == "rouge":
            common[:, :, 2] = self._union(own, other).reshape(n, n)
        return self._score(common.reshape(n * n, 3), own, other)

    def _union(self, own: _Indexes, other: _Indexes) -> _Indexes:
        """How many words the ROUGE-L of ``rouge`` counts as common in each pair."""
        import numpy as np

        table = self._table
        slow = table.too_long[own] | table.too_varied[other]
        found = np.empty(len(own), np.int64)
        found[~slow] = table.union_lcs(own[~slow], other[~slow])
        for pair in np.flatnonzero(slow).tolist():
            found[pair] = common_words(self._prepared(int(own[pair])), self._prepared(int(other[pair])))
        return found

    def _prepared(self, index: int) -> Prepared:
        if index not in self._slow:
            self._slow[index] = prepare(self._tokens[index], "rouge")
        return self._slow[index]

    @cached_property
    def _table(self) -> SentenceTable:
        return SentenceTable(*self._sentences)

    def _score(self, common: _Indexes, own: _Indexes, other: _Indexes) -> Comparison:
        """As `_score_rouge` and `_score_rouge_score` of rouge.py, operation by operation: the same bits."""
        import numpy as np

        precision = common / np.maximum(self._sizes[own], 1)
        recall = common / np.maximum(self._sizes[other], 1)
        if self.variant == "rouge":
            return Comparison(precision, recall, 2.0 * ((precision * recall) / (precision + recall + 1e-8)))
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=common > 0)
        return Comparison(precision, recall, f1)


class _Ids(dict[str, int]):
    """The id of each token; with `words`, a token that is not one word of `rouge` has `_SLOW`."""

    def __init__(self, words: bool) -> None:
        super().__init__({".": _STOP} if words else {})
        self._words = words

    def __missing__(self, token: str) -> int:
        odd = self._words and ("." in token or token.split() != [token])
        self[token] = found = _SLOW if odd else len(self) + _FIRST
        return found


@cache
def _vocabulary(words: bool) -> _Ids:
    """The ids of every token that was seen since the process began: batches have most of theirs in common."""
    return _Ids(words)


def _token_ids(texts: Sequence[Sequence[str]], words: bool) -> tuple[_Indexes, _Indexes]:
    """The ids of all tokens (or words of `rouge` and full stops), text after text; and their number in each."""
    import numpy as np

    ids = _vocabulary(words)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    found = np.fromiter(map(ids.__getitem__, chain.from_iterable(texts)), np.int64, int(lengths.sum()))
    if not words:
        return found, lengths
    text = np.repeat(np.arange(len(texts)), lengths)
    # Between two full stops `rouge` finds the word "".
    stops = (found[1:] == _STOP) & (found[:-1] == _STOP) & (text[1:] == text[:-1])
    slow = np.union1d(text[found == _SLOW], text[1:][stops])
    if not len(slow):
        return found, lengths
    pieces, before = [], 0
    ends = np.cumsum(lengths)
    for index in slow.tolist():
        sentences = split_sentences(texts[index])
        row = [[ids[word] if word else _EMPTY for word in sentence] + [_STOP] for sentence in sentences]
        flat = np.fromiter(chain.from_iterable(row), np.int64)
        pieces += [found[before : ends[index] - lengths[index]], flat]
        before, lengths[index] = ends[index], len(flat)
    return np.concatenate([*pieces, found[before:]]), lengths


def _sorted(items: _Indexes, text: _Indexes, n: int, *, distinct: bool) -> tuple[_Texts, _Indexes]:
    """The items of each text in order, each once if `distinct`, as strings; and their number in each."""
    import numpy as np

    base = 1 + int(items.max(initial=0))
    keys = np.sort(text * base + items)
    if distinct and len(keys):
        keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    text, items = np.divmod(keys, base)
    return _strings(items, text, n), np.bincount(text, minlength=n)


def _strings(items: _Indexes, text: _Indexes, n: int) -> _Texts:
    """The items of each text as letters of a string: rapidfuzz need not hash those, as it would integers."""
    import numpy as np

    letters = np.where(items < _SURROGATES.start, items, items + len(_SURROGATES))
    whole: Any = (
        letters.astype("<u4").tobytes().decode("utf-32-le")
        if letters.max(initial=0) <= sys.maxunicode
        else letters.tolist()
    )
    ends = np.cumsum(np.bincount(text, minlength=n)).tolist()
    return [whole[start:end] for start, end in pairwise([0, *ends])]


def _longest(texts: _Texts, own: _Indexes, other: _Indexes) -> _Indexes:
    """The length of the longest common subsequence of each pair."""
    import numpy as np
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cpdist

    left, right = ([texts[index] for index in indexes.tolist()] for indexes in (own, other))
    return np.asarray(cpdist(left, right, scorer=LCSseq.similarity, dtype=np.int64), np.int64)
