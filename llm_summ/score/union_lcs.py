"""Compute union longest common subsequences of many pairs of texts at once: the slow part of ``rouge``'s ROUGE-L.

:mod:`~llm_summ.score.rouge` explains which subsequence the package reads out and why the walk below finds the
same words. There a row of the table is one integer of any size. Here it is an element of an array that has the
same row of many pairs, so a sentence of a hypothesis may have at most :data:`MOST_WORDS` words.

A word of the reference that the hypothesis's sentence lacks repeats the row before it. It changes neither the
table nor the walk, so it is left out: four of five words are.

Legend of shapes: ``p`` pairs of texts, ``e`` pairs of sentences, ``w`` pairs of a sentence of the hypothesis and a
word of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Indexes: TypeAlias = NDArray[np.int64]
    _Bits: TypeAlias = NDArray[np.uint64]

__all__ = ["MOST_DISTINCT", "MOST_SENTENCES", "MOST_WORDS", "SentenceTable"]

MOST_WORDS = 64
"""The most words of a hypothesis's sentence: the bits of an element."""
MOST_DISTINCT = 128
"""The most distinct words of a reference: the bits of the two elements that store a union."""
MOST_SENTENCES = 32
"""The most sentences of a text: all of one are compared with all of another. A summary has a handful."""

# Sizes of a block that stays in the cache: sentences of hypotheses, pairs of sentences, and words.
_SENTENCES, _TOGETHER, _WORDS = 512, 2048, 1 << 17


class SentenceTable:
    """The sentences of many texts as arrays.

    Args:
        words: ids of the words of all sentences of all texts, in order, shape ``[words]``; ids are positive.
        numbers: which of its text's distinct words a word is, from 0, as `words`.
        distinct: number of distinct words of each text, shape ``[n]``.
        lengths: number of words of each sentence, shape ``[sentences]``.
        counts: number of sentences of each text, shape ``[n]``.

    Attributes:
        too_long: whether `union_lcs` cannot take a text as a hypothesis, shape ``[n]``.
        too_varied: whether it cannot take a text as a reference, shape ``[n]``.
    """

    def __init__(
        self, words: _Indexes, numbers: _Indexes, distinct: _Indexes, lengths: _Indexes, counts: _Indexes
    ) -> None:
        import numpy as np

        self.too_varied = (distinct > MOST_DISTINCT) | (counts > MOST_SENTENCES)
        self.too_long = counts > MOST_SENTENCES
        self.too_long[np.repeat(np.arange(len(counts)), counts)[lengths > MOST_WORDS]] = True
        self._numbers = numbers
        self._words, self._lengths = words, lengths
        self._starts = np.cumsum(lengths) - lengths
        # Scratch arrays: both are all zeros between two uses.
        self._local = np.zeros(1 + int(words.max(initial=0)), np.int64)
        self._table = np.zeros(0, np.uint64)
        self._counts, self._first = counts, np.cumsum(counts) - counts

    def union_lcs(self, hypothesis: _Indexes, reference: _Indexes) -> _Indexes:
        """Return how many distinct words are in the longest common subsequences of all sentences of two texts.

        Args:
            hypothesis: index of each pair's hypothesis, shape ``[p]``; none is `too_long`.
            reference: index of each pair's reference, shape ``[p]``; none is `too_varied`.

        Returns:
            the number for each pair, shape ``[p]``.
        """
        import numpy as np

        found = np.zeros(len(hypothesis), np.int64)
        # Every sentence of one text with every sentence of the other; the pairs of one hypothesis are neighbours.
        pairs = np.argsort(hypothesis, kind="stable")
        others = self._counts[reference[pairs]]
        each = self._counts[hypothesis[pairs]] * others
        pairs, others, each = pairs[each > 0], others[each > 0], each[each > 0]
        if not len(pairs):
            return found
        start = np.cumsum(each) - each
        of_own, of_other = np.divmod(np.arange(int(each.sum())) - np.repeat(start, each), np.repeat(others, each))
        own = np.repeat(self._first[hypothesis[pairs]], each) + of_own
        other = np.repeat(self._first[reference[pairs]], each) + of_other
        union = np.zeros((2, len(own)), np.uint64)
        for part in self._parts(np.repeat(self._first[hypothesis[pairs]], each), other):
            union[:, part] = self._unions(own[part], other[part])
        found[pairs] = np.bitwise_count(np.bitwise_or.reduceat(union, start, axis=1)).sum(axis=0)
        return found

    def _parts(self, first: _Indexes, other: _Indexes) -> Iterator[slice]:
        """Yield parts of the pairs of sentences, small enough for their arrays to stay in the cache.

        Args:
            first: index of the first sentence of each pair's hypothesis, shape ``[e]``, in ascending order.
            other: index of the reference's sentence, shape ``[e]``.
        """
        import numpy as np

        words = np.cumsum(self._lengths[other])
        start = 0
        while start < len(first):
            few = int(np.searchsorted(first, first[start] + _SENTENCES))
            short = int(np.searchsorted(words, (words[start - 1] if start else 0) + _WORDS))
            end = max(start + 1, min(few, short))
            yield slice(start, end)
            start = end

    def _unions(self, own: _Indexes, other: _Indexes) -> _Bits:
        """Return which distinct words of the reference are in the longest common subsequence of two sentences.

        Args:
            own: index of the hypothesis's sentence, shape ``[e]``.
            other: index of the reference's, shape ``[e]``.

        Returns:
            two sets of bits for each pair, shape ``[2, e]``: words numbered 0 to 63, and the others.
        """
        import numpy as np

        pair, positions, numbers = self._matches(own, other)
        lengths = np.bincount(pair, minlength=len(own))
        starts = np.cumsum(lengths) - lengths
        every = np.right_shift(np.uint64(2**64 - 1), (MOST_WORDS - self._lengths[own]).astype(np.uint64))
        found = np.zeros((2, len(own)), np.uint64)
        order = np.argsort(lengths, kind="stable")
        order = order[np.searchsorted(lengths[order], 1) :]
        for first in range(0, len(order), _TOGETHER):
            part = order[first : first + _TOGETHER]
            # [row, pair]: the rows of short pairs are padded with words that match nothing.
            row = np.arange(lengths[part[-1]])[:, None]
            place = np.where(row < lengths[part], starts[part] + row, len(positions) - 1)
            found[:, part] = _union(_taken(positions[place], every[part]), numbers[place])
        return found

    def _matches(self, own: _Indexes, other: _Indexes) -> tuple[_Indexes, _Bits, _Bits]:
        """Return the words of the references that the sentences of the hypotheses have.

        Returns:
            the pair of sentences of each word, shape ``[w]``; and, shape ``[w + 1]`` with a last element as
            padding, the bits of its positions in the hypothesis's sentence, and its number among the reference's
            words.
        """
        import numpy as np

        # The positions of each word in each sentence of the hypotheses; column 0 is for all other words.
        low, high = int(own.min()), int(own.max()) + 1
        begin, end = self._starts[low], self._starts[high - 1] + self._lengths[high - 1]
        sentence = np.repeat(np.arange(high - low), self._lengths[low:high])
        bit = np.arange(end - begin) - (self._starts[low:high] - begin)[sentence]
        words = self._words[begin:end]
        self._local[words] = 1
        known = np.flatnonzero(self._local)
        self._local[known] = np.arange(1, len(known) + 1)
        width = len(known) + 1
        if len(self._table) < (high - low) * width:
            self._table = np.zeros((high - low) * width, np.uint64)
        cells = sentence * width + self._local[words]
        np.add.at(self._table, cells, np.left_shift(np.uint64(1), (bit & 63).astype(np.uint64)))
        lengths = self._lengths[other]
        pair = np.repeat(np.arange(len(own)), lengths)
        place = np.arange(len(pair)) + np.repeat(self._starts[other] - (np.cumsum(lengths) - lengths), lengths)
        positions = self._table[np.repeat((own - low) * width, lengths) + self._local[self._words[place]]]
        self._local[known] = self._table[cells] = 0
        matched = np.flatnonzero(positions)
        numbers = self._numbers[place[matched]].astype(np.uint64)
        none = np.zeros(1, np.uint64)
        return pair[matched], np.concatenate([positions[matched], none]), np.concatenate([numbers, none])


def _union(taken: NDArray[np.bool_], numbers: _Bits) -> _Bits:
    """Return the numbers of the taken words as two sets of bits; shapes ``[row, e]`` in, ``[2, e]`` out."""
    import numpy as np

    found = np.zeros((2, taken.shape[1]), np.uint64)
    bits = taken.astype(np.uint64)
    if numbers.max() < MOST_WORDS:
        np.bitwise_or.reduce(np.left_shift(bits, numbers), axis=0, out=found[0])
        return found
    for half in range(2):
        mine = np.where(numbers >> 6 == half, bits, np.uint64(0))
        np.bitwise_or.reduce(np.left_shift(mine, numbers & 63), axis=0, out=found[half])
    return found


def _taken(positions: _Bits, every: _Bits) -> NDArray[np.bool_]:
    """Return which words of the references are in the subsequence that is read out.

    Args:
        positions: where the hypothesis has the word, shape ``[row, e]``.
        every: one set bit for each word of the hypothesis, shape ``[e]``.

    Returns:
        shape ``[row, e]``.
    """
    import numpy as np

    rows = np.empty_like(positions)
    shifted = np.empty_like(every)
    steps = every
    for row, matches in enumerate(positions):
        matched = steps & matches
        steps = ((steps + matched) | (steps - matched)) & every
        np.bitwise_xor(steps, every, out=rows[row])
    taken = np.empty(positions.shape, np.bool_)
    reachable = every
    shifts = np.left_shift(np.uint64(1), np.arange(6, dtype=np.uint64))
    for row in range(len(positions) - 1, -1, -1):
        # All bits up to the highest stop.
        up_to = rows[row] & reachable
        for shift in shifts:
            np.right_shift(up_to, shift, out=shifted)
            up_to |= shifted
        stop = np.right_shift(up_to, shifts[0], out=shifted)
        stop ^= up_to
        stop &= positions[row]
        np.not_equal(stop, 0, out=taken[row])
        reachable = up_to ^ stop
    return taken
