"""Near-duplicate dialogues: the same dialogue with other names, speakers, line breaks, or a turn more or less.

They inflate a dev score if one of a pair is trained on and the other is scored. Dialogues are compared by their
letters alone (see `compared_text`), so that speaker tags, masks, spaces and punctuation do not count.

Candidates are texts that share shingles, that is, runs of five letters (Broder 1997, "On the resemblance and
containment of documents"); each candidate is then measured exactly, with the normalised Indel similarity.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

from llm_summ.core.errors import InputError
from llm_summ.data.labels import line_labels, tagging_of
from llm_summ.data.tags import proper_tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NearPair", "compared_text", "duplicate_groups", "least_similarity", "near_duplicates"]

_TAG = re.compile(r"#\w{1,30}#")
_LINE_BREAK = re.compile(r"\r|\\n|<br ?/?>", re.IGNORECASE)
_NOT_A_LETTER = re.compile(r"[\W_]+")

# Among 13 million pairs of real dialogues, all pairs of 0.5 and more that were read had the same content; the
# first pair with different content had 0.46. In short dialogues, greetings and thanks are a larger part.
_THRESHOLD = 0.5
_TOO_SHORT, _LONG = 40, 160  # letters
_SHORT_MORE = 0.25

_SHINGLE = 5
_FEW_SHINGLES = 2**20  # up to this number all are used, above it half of them
_SAMPLED = 2**63
_RARE = 16  # texts; a shingle that more of them share links neighbours only, so that the work stays linear
_NEIGHBOURS = 4
_LEAST_SHARED, _LEAST_SHARE = 2, 0.03  # shingles, and their share in the text that has fewer
_AT_ONCE = 100_000  # pairs
_MEASURED = 20_000  # letters; the measure's time grows with their square

_FEW_COPIES = 8  # all of them are paired with each other


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two texts that are nearly the same.

    Attributes:
        first: index of the earlier text.
        second: index of the later text; always greater.
        similarity: from 0 to 1, and 1 exactly if the compared letters are the same.
    """

    first: int
    second: int
    similarity: float


def compared_text(text: str) -> str:
    """Return the compared part of a text: letters and digits, without speakers, masks, case and punctuation.

    Width and composition of characters do not count either (NFKC). A line break may also be written out, as a
    backslash and an n or as ``<br>``. Misspelt tags count as tags; speakers are found as in `labels.py`.
    """
    folded = _LINE_BREAK.sub("\n", unicodedata.normalize("NFKC", text))
    tagging = tagging_of(folded)
    folded = proper_tags(folded, *tagging)
    if not tagging.tagged:
        pairs = zip(folded.split("\n"), line_labels(folded), strict=True)
        folded = "\n".join(line[label.end :] if label else line for line, label in pairs)
    return _NOT_A_LETTER.sub("", _TAG.sub(" ", folded)).lower()


def least_similarity(letters: int, threshold: float = _THRESHOLD) -> float:
    """Return the least similarity of two near-duplicates, by the number of compared letters of the shorter one.

    Greetings and thanks are a large part of a short dialogue. With 40 letters it therefore needs 0.25 more than
    the threshold, with 80 letters 0.11, with 160 nothing. Below 40 letters only equal texts are near-duplicates.
    """
    if letters < _TOO_SHORT:
        return 1.0
    return min(1.0, threshold + _SHORT_MORE * (max(0, _LONG - letters) / (_LONG - _TOO_SHORT)) ** 2)


def near_duplicates(texts: Sequence[str], *, threshold: float = _THRESHOLD) -> list[NearPair]:
    """Find the pairs of texts that are nearly the same.

    Similarity is the normalised Indel similarity of the compared letters: twice the length of their longest
    common subsequence over the sum of their lengths. A copy that ends after 80 % has 0.89. Of longer texts, the
    first 20,000 letters are measured.

    To find leaks from one file into another, concatenate them and keep the pairs with one text in each: every row
    of the second file that is near a row of the first is in such a pair.

    The number of pairs is bounded. Of more than eight texts with the same letters, each is paired with the first
    only; where two such sets are near each other (more than 64 pairs), each is paired with the first of the other
    set. If more than 16 different texts share most of their shingles, each is compared with a few of them only.
    That may miss a pair between two files; usually the texts still form one group.

    Args:
        texts: the dialogues, shape ``[rows]``.
        threshold: the least similarity, above 0 and at most 1; see `least_similarity` for short texts. Below
            0.4, pairs that share hardly any five letters in a row are missed.

    Returns:
        the pairs by index.

    Raises:
        InputError: the threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold: found {threshold}; expected a number above 0 and at most 1, such as 0.5")
    rows: dict[tuple[str, str], list[int]] = {}
    keys: dict[str, tuple[str, str]] = {}
    for row, text in enumerate(texts):
        if text not in keys:
            letters = compared_text(text)
            # Texts without letters differ in masks or marks only.
            keys[text] = letters, "" if letters else "".join(text.split())
        rows.setdefault(keys[text], []).append(row)
    # The order of the texts decides which neighbours are linked; it must not depend on the order of the rows.
    kept = sorted(key for key in rows if len(key[0]) >= _TOO_SHORT)
    found = [NearPair(first, second, 1.0) for copies in rows.values() for first, second in _within(copies)]
    for one, other, similarity in _near([letters for letters, _ in kept], threshold):
        for row, another in _between(rows[kept[one]], rows[kept[other]]):
            found.append(NearPair(min(row, another), max(row, another), similarity))
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def duplicate_groups(texts: Sequence[str], *, threshold: float = _THRESHOLD) -> list[list[int]]:
    """Return groups of texts that belong on one side of a split: a chain of near-duplicates connects them.

    Args:
        texts: the dialogues, shape ``[rows]``.
        threshold: as in `near_duplicates`.

    Returns:
        the indexes of each group in order, at least two; the groups by their first index. A text without a
        near-duplicate is in no group.

    Raises:
        InputError: the threshold is out of range.
    """
    parent = list(range(len(texts)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for pair in near_duplicates(texts, threshold=threshold):
        first, second = sorted((root(pair.first), root(pair.second)))
        parent[second] = first
    groups: dict[int, list[int]] = {}
    for row in range(len(texts)):
        groups.setdefault(root(row), []).append(row)
    return [group for group in groups.values() if len(group) > 1]


def _within(copies: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Return pairs of the rows that have one text."""
    if len(copies) <= _FEW_COPIES:
        return combinations(copies, 2)
    return ((copies[0], row) for row in copies[1:])


def _between(rows: Sequence[int], others: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Return pairs of the rows that have two similar texts."""
    if len(rows) * len(others) <= _FEW_COPIES**2:
        return product(rows, others)
    return ((row, other) for row in rows for other in others if row == rows[0] or other == others[0])


def _near(words: Sequence[str], threshold: float) -> Iterator[tuple[int, int, float]]:
    """Yield indexes and similarity of near pairs among different words (sorted, without spaces)."""
    import numpy as np
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cpdist

    first, second = _candidates(words)
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    shorter = np.minimum(lengths[first], lengths[second])
    possible = 2 * shorter >= threshold * (lengths[first] + lengths[second])
    first, second = first[possible], second[possible]
    measured = [word[:_MEASURED] for word in words]
    for start in range(0, len(first), _AT_ONCE):
        ones, others = first[start : start + _AT_ONCE].tolist(), second[start : start + _AT_ONCE].tolist()
        similarities = cpdist(
            [measured[one] for one in ones],
            [measured[other] for other in others],
            scorer=Indel.normalized_similarity,
            score_cutoff=threshold,
            dtype=np.float64,
        )
        for at in np.flatnonzero(similarities).tolist():
            one, other = ones[at], others[at]
            fewer, more = sorted((len(words[one]), len(words[other])))
            # Beyond the measured letters, the lengths give an upper bound, below that of equal texts.
            bound = min(2 * fewer, fewer + more - 1) / (fewer + more)
            similarity = min(float(similarities[at]), bound)
            if similarity >= least_similarity(fewer, threshold):
                yield one, other, similarity


def _candidates(words: Sequence[str]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return pairs of words that share enough shingles to be measured: two arrays of indexes, first < second."""
    import numpy as np

    postings = _postings(words)
    bits = np.uint64(len(words).bit_length())
    shingles = postings >> bits
    owners = (postings & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    sizes = np.bincount(owners, minlength=len(words))
    begins = np.flatnonzero(np.append(True, shingles[1:] != shingles[:-1])) if len(postings) else owners
    owning = np.diff(np.append(begins, len(postings)))  # how many words have the shingle
    rare = np.repeat(owning <= _RARE, owning)
    met: list[NDArray[Any]] = []
    for step in range(1, _RARE):
        same = shingles[step:] == shingles[:-step]
        if step > _NEIGHBOURS:
            same &= rare[step:]
        at = np.flatnonzero(same)
        if not len(at):
            break
        met.append(owners[at] * len(words) + owners[at + step])
    if not met:
        return owners[:0], owners[:0]
    meetings = np.concatenate(met)
    meetings.sort()
    begins = np.flatnonzero(np.append(True, meetings[1:] != meetings[:-1]))
    shared = np.diff(np.append(begins, len(meetings)))
    first, second = np.divmod(meetings[begins], len(words))
    fewer = np.minimum(sizes[first], sizes[second])
    enough = shared >= np.maximum(_LEAST_SHARE * fewer, np.minimum(_LEAST_SHARED, fewer))
    return first[enough], second[enough]


def _postings(words: Sequence[str]) -> NDArray[Any]:
    """Return the shingles of all words, sorted: each a hash, with the index of its word in the lowest bits."""
    import numpy as np

    points = np.frombuffer("".join(words).encode("utf-32-le"), dtype="<u4")
    owners = np.repeat(np.arange(len(words), dtype=np.uint64), [len(word) for word in words])
    count = len(points) - _SHINGLE + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    hashes = np.zeros(count, dtype=np.uint64)
    for step in range(_SHINGLE):
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes += points[step : step + count]
    # The finaliser of SplitMix64 (Steele, Lea and Flood 2014), shortened: all bits depend on all letters.
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(31)
    taken = owners[:count] == owners[_SHINGLE - 1 :]
    if count > _FEW_SHINGLES:
        taken &= hashes < np.uint64(_SAMPLED)
    postings = (hashes[taken] << np.uint64(len(words).bit_length())) | owners[:count][taken]
    postings.sort()
    return postings[np.append(True, postings[1:] != postings[:-1])] if len(postings) else postings
