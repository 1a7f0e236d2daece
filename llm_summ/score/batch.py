"""Compare many pairs of texts: the same figures as :func:`~llm_summ.score.rouge.compare`, in arrays.

Tokens become integers once for each text. rapidfuzz counts what two texts share: the number of n-grams that two
sorted lists have in common, with or without multiplicity, is the length of their longest common subsequence.
``rouge``'s ROUGE-L needs the subsequence itself, which :mod:`~llm_summ.score.union_lcs` reads out. Texts that are
too long for it go through :func:`~llm_summ.score.rouge.common_words`, which has no limit.

Legend of shapes: ``n`` texts, ``p`` pairs.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING, TypeAlias

from llm_summ.score.rouge import Prepared, Variant, common_words, prepare, split_sentences
from llm_summ.score.union_lcs import SentenceTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Indexes: TypeAlias = NDArray[np.int64]
    _Texts: TypeAlias = Sequence[str] | Sequence[array[int]]

__all__ = ["PairScores", "TextBatch"]

# Ids of a full stop, of the word "" that `rouge` makes of ". .", of the first token, and of a token that is
# not exactly one word for `rouge`: a text with such a token is split as the package does it.
_STOP, _EMPTY, _FIRST, _SLOW = 0, 1, 2, -1
_MOST_TOKENS = 1 << 18
_SURROGATES = range(0xD800, 0xE000)  # not letters: ids skip them


@dataclass(frozen=True, slots=True)
class PairScores:
    """Scores of ``p`` pairs, each from 0 to 1, shape ``[p, 3]``: ROUGE-1, -2, -L."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


class TextBatch:
    """Texts prepared for comparison with one another, each as a hypothesis or as a reference.

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
        sentences = None
        if variant == "rouge":
            ids, text, *sentences = _sentences(ids, text, len(texts))
        else:
            self._words = _split(ids, text, len(texts))
        self.empty = np.bincount(text, minlength=len(texts)) == 0
        base = 1 + int(ids.max(initial=0))
        inside = text[1:] == text[:-1]
        bigrams, of_pair = _numbered((ids[:-1] * base + ids[1:])[inside], text[1:][inside], variant == "rouge")
        # The keys are nearly in order: a stable sort is fast on them.
        keys = text * base + ids
        order = np.argsort(keys, kind="stable")
        if sentences is not None:
            keys, fresh = _distinct(keys[order])
            # The distinct words of a text are numbered from 0: their indexes among all keys, minus the index of
            # their text's first one.
            first = np.searchsorted(keys, np.arange(len(texts) + 1) * base)
            numbers = np.empty_like(ids)
            numbers[order] = np.cumsum(fresh) - 1 - first[text]
            self._table = SentenceTable(ids, numbers, np.diff(first), *sentences)
            order = order[fresh]
        unigrams, of = ids[order], text[order]
        self._unigrams = _split(unigrams, of, len(texts))
        self._bigrams = _split(bigrams, of_pair, len(texts))
        sizes = [np.bincount(one, minlength=len(texts)) for one in (of, of_pair, of)]
        self._sizes = np.stack(sizes, axis=1)

    def compare(self, hypothesis: Sequence[int] | _Indexes, reference: Sequence[int] | _Indexes) -> PairScores:
        """Score pairs of texts.

        Args:
            hypothesis: index of each pair's hypothesis, shape ``[p]``.
            reference: index of each pair's reference, shape ``[p]``.

        Raises:
            ValueError: the numbers of hypotheses and references differ, or an index is out of range.
        """
        import numpy as np

        own, other = np.asarray(hypothesis, np.int64), np.asarray(reference, np.int64)
        if len(own) != len(other):
            raise ValueError(f"{len(own)} hypotheses, {len(other)} references: expected pairs")
        for indexes in (own, other):
            if len(indexes) and not 0 <= indexes.min() <= indexes.max() < len(self._tokens):
                raise ValueError(f"found an index that is not one of 0 to {len(self._tokens) - 1}")
        common = [_longest(self._unigrams, own, other), _longest(self._bigrams, own, other)]
        common.append(self._union(own, other) if self.variant == "rouge" else _longest(self._words, own, other))
        return self._score(np.stack(common, axis=1), own, other)

    def matrix(self) -> PairScores:
        """Score every text as the hypothesis of every text as the reference, itself too; in row order, p = n * n.

        What is symmetric, everything except the union of ``rouge``, is computed once.
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
        """Return how many words the ROUGE-L of ``rouge`` counts as common in each pair."""
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

    def _score(self, common: _Indexes, own: _Indexes, other: _Indexes) -> PairScores:
        """Do what `_score_rouge` and `_score_rouge_score` of rouge.py do, operation by operation: equal bits."""
        import numpy as np

        precision = common / np.maximum(self._sizes[own], 1)
        recall = common / np.maximum(self._sizes[other], 1)
        if self.variant == "rouge":
            return PairScores(precision, recall, 2.0 * ((precision * recall) / (precision + recall + 1e-8)))
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=common > 0)
        return PairScores(precision, recall, f1)


class _Ids(dict[str, int]):
    """Return the id of each token; with `words`, a token that is not exactly one word for `rouge` has `_SLOW`."""

    def __init__(self, words: bool) -> None:
        super().__init__({".": _STOP} if words else {})
        self._words = words

    def __missing__(self, token: str) -> int:
        odd = self._words and ("." in token or token.split() != [token])
        self[token] = found = _SLOW if odd else len(self) + _FIRST
        return found


@cache
def _vocabulary(words: bool) -> _Ids:
    """Return the ids of all tokens seen so far; batches share most of their tokens."""
    return _Ids(words)


def _token_ids(texts: Sequence[Sequence[str]], words: bool) -> tuple[_Indexes, _Indexes]:
    """Return the ids of all tokens (or `rouge`'s words and full stops), text by text, and their number in each."""
    import numpy as np

    if len(_vocabulary(words)) > _MOST_TOKENS:
        _vocabulary.cache_clear()
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


def _sentences(ids: _Indexes, text: _Indexes, n: int) -> tuple[_Indexes, _Indexes, _Indexes, _Indexes]:
    """Take the full stops out; a sentence ends before one and at the end of a text.

    Returns:
        the ids and the texts of the words; how many words each sentence has, and how many sentences each text.
    """
    import numpy as np

    stop = ids == _STOP
    sentence = np.cumsum(stop)[~stop]
    ids, text = ids[~stop], text[~stop]
    begins = np.ones(len(ids), np.bool_)
    np.logical_or(sentence[1:] != sentence[:-1], text[1:] != text[:-1], out=begins[1:])
    starts = np.flatnonzero(begins)
    return ids, text, np.diff(starts, append=len(ids)), np.bincount(text[starts], minlength=n)


def _numbered(items: _Indexes, text: _Indexes, distinct: bool) -> tuple[_Indexes, _Indexes]:
    """Replace items by small numbers, ascending within a text, each once if `distinct`; also their texts."""
    import numpy as np

    if not len(items):
        return items, text
    n = 1 + int(text[-1])
    keys = np.sort(items * n + text)
    if distinct:
        keys, _ = _distinct(keys)
    items, text = np.divmod(keys, n)
    numbers = np.cumsum(np.concatenate([[0], items[1:] != items[:-1]]))
    # Integers of 16 bits are sorted by counting.
    order = np.argsort(text.astype(np.uint16) if n <= 1 << 16 else text, kind="stable")
    return numbers[order], text[order]


def _distinct(keys: _Indexes) -> tuple[_Indexes, NDArray[np.bool_]]:
    """Return the distinct values of sorted keys, and where a key differs from the one before it."""
    import numpy as np

    fresh = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=fresh[1:])
    return keys[fresh], fresh


def _split(items: _Indexes, text: _Indexes, n: int) -> _Texts:
    """Return the items of each text, in order: as letters of a string, or as 64-bit integers if too many."""
    import numpy as np

    ends = np.cumsum(np.bincount(text, minlength=n)).tolist()
    letters = np.where(items < _SURROGATES.start, items, items + len(_SURROGATES))
    if letters.max(initial=0) <= sys.maxunicode:
        whole = letters.astype("<u4").tobytes().decode("utf-32-le")
        return [whole[start:end] for start, end in pairwise([0, *ends])]
    content = items.tobytes()
    return [array("q", content[8 * start : 8 * end]) for start, end in pairwise([0, *ends])]


def _longest(texts: _Texts, own: _Indexes, other: _Indexes) -> _Indexes:
    """Return the length of the longest common subsequence of each pair."""
    import numpy as np
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cpdist

    left, right = (list(map(texts.__getitem__, indexes.tolist())) for indexes in (own, other))
    return np.asarray(cpdist(left, right, scorer=LCSseq.similarity, dtype=np.int64), np.int64)
