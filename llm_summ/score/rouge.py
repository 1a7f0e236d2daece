"""ROUGE-1, ROUGE-2 and ROUGE-L over tokens, as two packages compute them.

Two packages are in use. They disagree by about two points on the same tokens, so a score has to name its variant:

``rouge``
    ``rouge`` 1.0.1, the package of the organiser's baseline. The tokens are joined by spaces and the text is
    split again: at every full stop into sentences, at white space into words. N-grams are sets and cross
    sentence boundaries. ROUGE-L is summary-level (Lin 2004, section 3.2): of each pair of sentences one
    longest common subsequence is read out, and the distinct words of all of them are counted against the
    distinct words of either text. F1 has ``1e-8`` in its denominator: equal texts reach 0.999999995.
``rouge-score``
    ``rouge_score`` 0.1.2 with a tokenizer that returns these tokens: n-grams count as often as they occur,
    and ROUGE-L is the length of the longest common subsequence of the whole texts.

Both are reproduced to 1e-12. Where ``rouge`` raises (no words at all, or more recursion than Python
allows), this module returns zeros or the score.

Legend of shapes: ``h`` words in the hypothesis, ``r`` words in the reference. A longest common subsequence
costs ``r`` operations on integers of ``h`` bits.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Variant = Literal["rouge", "rouge-score"]


@dataclass(frozen=True, slots=True)
class PRF:
    """Precision, recall and F1 of one metric, each from 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class RougeScores:
    """The three metrics of one hypothesis against one reference."""

    rouge1: PRF
    rouge2: PRF
    rougeL: PRF  # noqa: N815  the metric's name

    @property
    def final(self) -> float:
        """Mean of the three F1, from 0 to 1, by which the competition ranks."""
        return (self.rouge1.f1 + self.rouge2.f1 + self.rougeL.f1) / 3


@dataclass(frozen=True, slots=True)
class _Sentence:
    """Words, and for each word an integer whose bit ``k`` is set if the word is at position ``k``."""

    words: tuple[str, ...]
    positions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A text prepared for many comparisons, as a hypothesis or as a reference.

    Attributes:
        variant: the package by whose rules it was prepared.
        unigrams: the words; a word's second and later occurrences are elements of their own where the
            variant counts multiplicity, so that its size and its intersections are counts in both variants.
        bigrams: the pairs of neighbouring words, likewise.
        sentences: the distinct ones for ``rouge``, the whole text for ``rouge-score``; none if nothing is left.
    """

    variant: Variant
    unigrams: frozenset[Hashable]
    bigrams: frozenset[Hashable]
    sentences: tuple[_Sentence, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to score: no token or, for ``rouge``, no character except full stops."""
        return not self.sentences


def rouge(hypothesis: Sequence[str], reference: Sequence[str], variant: Variant = "rouge") -> RougeScores:
    """Score one hypothesis against one reference.

    Args:
        hypothesis: tokens of the generated summary, shape ``[h]``.
        reference: tokens of the human summary, shape ``[r]``.
        variant: the package to agree with.

    Returns:
        Precision, recall and F1 of each metric; zeros if either text is empty.
    """
    return compare(prepare(hypothesis, variant), prepare(reference, variant))


def prepare(tokens: Sequence[str], variant: Variant = "rouge") -> Prepared:
    """Do the part of the work that depends on one text only.

    Args:
        tokens: tokens of the text.
        variant: the package to agree with.

    Returns:
        The text's n-grams and sentences, for :func:`compare`.

    Raises:
        ValueError: if the variant is unknown.
    """
    if variant == "rouge":
        sentences = split_sentences(tokens)
        words = [word for sentence in sentences for word in sentence]
        unigrams: frozenset[Hashable] = frozenset(words)
        bigrams: frozenset[Hashable] = frozenset(pairwise(words))
    elif variant == "rouge-score":
        sentences = [list(tokens)] if tokens else []
        unigrams = _multiset(tokens)
        bigrams = _multiset(pairwise(tokens))
    else:
        raise ValueError(f"unknown ROUGE variant {variant!r}: expected 'rouge' or 'rouge-score'")
    return Prepared(
        variant=variant,
        unigrams=unigrams,
        bigrams=bigrams,
        # A duplicate sentence adds nothing to a union.
        sentences=tuple(_Sentence(one, _positions(one)) for one in dict.fromkeys(map(tuple, sentences))),
    )


def compare(hypothesis: Prepared, reference: Prepared) -> RougeScores:
    """Score a prepared hypothesis against a prepared reference.

    Args:
        hypothesis: the generated summary.
        reference: the human summary.

    Returns:
        Precision, recall and F1 of each metric; zeros if either text is empty.

    Raises:
        ValueError: if the two were prepared by different variants.
    """
    if hypothesis.variant != reference.variant:
        raise ValueError(
            f"the hypothesis was prepared for {hypothesis.variant!r}, the reference for {reference.variant!r}"
        )
    if hypothesis.empty or reference.empty:
        return _ZEROS
    # The number of words, counted as in Prepared.unigrams, is the denominator of ROUGE-L too.
    hypothesis_words, reference_words = len(hypothesis.unigrams), len(reference.unigrams)
    score = _score_rouge if hypothesis.variant == "rouge" else _score_rouge_score
    return RougeScores(
        rouge1=score(len(hypothesis.unigrams & reference.unigrams), hypothesis_words, reference_words),
        rouge2=score(len(hypothesis.bigrams & reference.bigrams), len(hypothesis.bigrams), len(reference.bigrams)),
        rougeL=score(common_words(hypothesis, reference), hypothesis_words, reference_words),
    )


def common_words(hypothesis: Prepared, reference: Prepared) -> int:
    """Return how many words ROUGE-L counts as common to two texts, neither of them empty, of one variant."""
    if hypothesis.variant == "rouge":
        return len(_union_lcs(hypothesis.sentences, reference.sentences))
    return _lcs_rows(hypothesis.sentences[0], reference.sentences[0])[-1].bit_count()


_ZEROS = RougeScores(PRF(0.0, 0.0, 0.0), PRF(0.0, 0.0, 0.0), PRF(0.0, 0.0, 0.0))


def _score_rouge(common: int, in_hypothesis: int, in_reference: int) -> PRF:
    """Compute ``f_r_p_rouge_n`` of ``rouge`` 1.0.1."""
    precision = common / in_hypothesis if in_hypothesis else 0.0
    recall = common / in_reference if in_reference else 0.0
    return PRF(precision, recall, 2.0 * ((precision * recall) / (precision + recall + 1e-8)))


def _score_rouge_score(common: int, in_hypothesis: int, in_reference: int) -> PRF:
    """Compute ``_score_ngrams`` and ``scoring.fmeasure`` of ``rouge_score`` 0.1.2."""
    precision = common / max(in_hypothesis, 1)
    recall = common / max(in_reference, 1)
    return PRF(precision, recall, 2 * precision * recall / (precision + recall) if common else 0.0)


def split_sentences(tokens: Sequence[str]) -> list[list[str]]:
    """Return the words of each sentence, as ``Rouge.get_scores`` splits the joined tokens.

    A piece between two full stops that has only white space (``". ."``) is kept, as the single word ``""``: the
    package drops pieces of length 0 before it strips them.
    """
    return [piece.split() or [""] for piece in " ".join(tokens).split(".") if piece]


def _multiset(items: Iterable[Hashable]) -> frozenset[Hashable]:
    """Return a set in which the ``k``-th repetition of an item is the element ``(item, k)``.

    The size of an intersection of two such sets is the sum over the items of the smaller count.
    """
    seen: dict[Hashable, int] = {}
    elements: list[Hashable] = []
    for item in items:
        repetition = seen.get(item, 0)
        seen[item] = repetition + 1
        elements.append((item, repetition) if repetition else item)
    return frozenset(elements)


def _positions(words: Sequence[str]) -> dict[str, int]:
    positions: dict[str, int] = {}
    bit = 1
    for word in words:
        positions[word] = positions.get(word, 0) | bit
        bit <<= 1
    return positions


def _lcs_rows(hypothesis: _Sentence, reference: _Sentence) -> list[int]:
    """Return the rows of the table of longest common subsequences, as differences along the hypothesis.

    Let ``T[i, j]`` be the length for the first ``i`` words of the reference and the first ``j`` of the
    hypothesis. Bit ``j - 1`` of element ``i - 1`` is ``T[i, j] - T[i, j - 1]``, so a row's number of set bits
    is ``T[i, h]``.

    Hyyrö, "Bit-parallel LCS-length computation revisited" (2004); a zero bit of ``steps`` is a step up.
    """
    every = (1 << len(hypothesis.words)) - 1
    steps = every
    rows: list[int] = []
    for word in reference.words:
        matched = steps & hypothesis.positions.get(word, 0)
        steps = ((steps + matched) | (steps - matched)) & every
        rows.append(steps ^ every)
    return rows


def _union_lcs(hypothesis: Iterable[_Sentence], reference: Sequence[_Sentence]) -> set[str]:
    """Return the distinct words of the longest common subsequences of all pairs of sentences."""
    union: set[str] = set()
    for sentence in hypothesis:
        for other in reference:
            union.update(_lcs_words(sentence, other))
    return union


def _lcs_words(hypothesis: _Sentence, reference: _Sentence) -> Iterable[str]:
    """Return the words of the longest common subsequence that ``_recon_lcs`` of ``rouge`` 1.0.1 reads, last first.

    There are often several, with different words. The package walks back from the table's corner ``(r, h)``:
    where the two words are equal it takes them; else it goes up (``i - 1``) if ``T[i-1, j] > T[i, j-1]``, and
    left (``j - 1``) if not. Two observations shorten the walk to one integer operation a row:

    - Where the words differ, ``T[i, j]`` is the larger of the two, so it goes up exactly where
      ``T[i, j] > T[i, j-1]``: at a set bit of the row.
    - Where they are equal at an unset bit, they are equal at the next set bit to the left too, because only a
      match can raise row ``i`` above row ``i - 1``. Taking that one instead leaves the same length to be read,
      and so, by induction, the same words.

    So it always goes left to the next set bit, and takes the word or goes up there.
    """
    reachable = (1 << len(hypothesis.words)) - 1
    for word, row in zip(reversed(reference.words), reversed(_lcs_rows(hypothesis, reference)), strict=True):
        stops = row & reachable
        if not stops:
            return
        stop = 1 << (stops.bit_length() - 1)
        if hypothesis.positions.get(word, 0) & stop:
            yield word
            reachable = stop - 1
        else:
            reachable = 2 * stop - 1
