"""Find which words of a summary and of a reference a score counts as common, and their positions in the texts."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import TypeVar

from llm_summ.score.metric import Metric
from llm_summ.score.rouge import Variant

__all__ = ["AGAIN", "COUNTED", "Matches", "Word", "common", "find_words"]

COUNTED, AGAIN = 1, 2
"""A word or a pair that the score counts; and one that the other text also has, but that was counted before."""

_Item = TypeVar("_Item", bound=Hashable)
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word that a score compares.

    Attributes:
        word: as it is compared; a stem, where the tokenizer stems.
        start: its start in the text, in characters.
        end: its end. The word ``""``, which ``rouge`` finds between two full stops, has length 0.
    """

    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Matches:
    """The matches of a text with another one; each is 0, `COUNTED` or `AGAIN`, shape ``[words]``.

    Attributes:
        unigrams: of every word.
        bigrams: of the pair that begins with the word.
        longest: of every word on a longest common subsequence, which ROUGE-L counts.
    """

    unigrams: tuple[int, ...]
    bigrams: tuple[int, ...]
    longest: tuple[int, ...]


def find_words(text: str, metric: Metric) -> list[list[Word]]:
    """Return the words of each sentence, as the metric splits them, with their positions.

    Args:
        text: a summary or a reference.
        metric: ``rouge`` splits tokens at full stops into sentences; for ``rouge-score`` a text is one.

    Raises:
        InputError: mecab-ko is needed and cannot be loaded.
    """
    tokens = metric.tokenizer(text)
    spans = _spans_of_words(text) if metric.tokens.startswith("rouge-score") else _spans(text, tokens)
    if metric.variant == "rouge-score":
        return [[Word(token, *span) for token, span in zip(tokens, spans, strict=True)]] if tokens else []
    # As `split_sentences` does, but with positions: all tokens, joined by spaces, are split again.
    joined = " ".join(tokens)
    starts = list(accumulate((len(token) + 1 for token in tokens), initial=0))

    def word(begin: int, end: int) -> Word:
        at = bisect_right(starts, begin) - 1
        first, last = spans[at]
        # A stem is shorter than the word in the text, which is marked to its end.
        whole = end - starts[at] == len(tokens[at])
        return Word(joined[begin:end], first + begin - starts[at], last if whole else first + end - starts[at])

    sentences = []
    for piece in re.finditer(r"[^.]+", joined):
        found = [word(*match.span()) for match in _WORD.finditer(joined, *piece.span())]
        sentences.append(found or [word(piece.start(), piece.start())])
    return sentences


def common(
    hypothesis: Sequence[Sequence[Word]], reference: Sequence[Sequence[Word]], variant: Variant
) -> tuple[Matches, Matches]:
    """Return the matches of a summary and a reference, as ROUGE counts them.

    In both results, the number of `COUNTED` items is the count of each metric: ``rouge`` counts a word or a pair
    once, ``rouge-score`` as often as both texts have it. For ROUGE-L, ``rouge`` takes one longest common
    subsequence of each pair of sentences, and counts each of their words once.

    Args:
        hypothesis: the words of the summary, by sentence.
        reference: the words of the reference, likewise.
        variant: the package whose ROUGE it is.
    """
    sides = [[[word.word for word in sentence] for sentence in text] for text in (hypothesis, reference)]
    words = [list(chain.from_iterable(text)) for text in sides]
    on_path = [[False] * len(text) for text in words]
    firsts = [list(accumulate(map(len, text), initial=0)) for text in sides]
    for sentence, first in zip(sides[0], firsts[0], strict=False):
        for other_sentence, other_first in zip(sides[1], firsts[1], strict=False):
            for at, other_at in _longest(sentence, other_sentence):
                on_path[0][first + at] = on_path[1][other_first + other_at] = True
    limits = _limits(words[0], words[1], variant)
    unigrams = [_states(text, limits) for text in words]
    bigrams = [list(pairwise(text)) for text in words]
    pair_limits = _limits(bigrams[0], bigrams[1], variant)
    pairs = [(*_states(text, pair_limits), 0) for text in bigrams]  # the last word does not begin a pair
    longest = [_on_path(text, taken, once=variant == "rouge") for text, taken in zip(words, on_path, strict=True)]
    own, other = (
        Matches(one, two[: len(one)], three) for one, two, three in zip(unigrams, pairs, longest, strict=True)
    )
    return own, other


def _limits(own: Sequence[_Item], other: Sequence[_Item], variant: Variant) -> Mapping[_Item, int]:
    """Return how often each item that both have is counted."""
    both = Counter(own) & Counter(other)
    return dict.fromkeys(both, 1) if variant == "rouge" else both


def _states(items: Sequence[_Item], limits: Mapping[_Item, int]) -> tuple[int, ...]:
    seen: Counter[_Item] = Counter()
    states = []
    for item in items:
        seen[item] += 1
        states.append(0 if item not in limits else COUNTED if seen[item] <= limits[item] else AGAIN)
    return tuple(states)


def _on_path(words: Sequence[str], taken: Sequence[bool], *, once: bool) -> tuple[int, ...]:
    seen: set[str] = set()
    states = []
    for word, here in zip(words, taken, strict=True):
        states.append(0 if not here else AGAIN if once and word in seen else COUNTED)
        if here:
            seen.add(word)
    return tuple(states)


def _longest(own: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Return the positions of the words of the longest common subsequence that ``rouge`` 1.0.1 reads, last first.

    This is the walk of its ``_recon_lcs``, from the table's corner. Words that only one of the two has change
    neither the table nor which words are read. They are left out, since most words are such.
    """
    both = set(own) & set(other)
    columns = [at for at, word in enumerate(own) if word in both]
    rows = [at for at, word in enumerate(other) if word in both]
    table = [[0] * (len(columns) + 1)]
    for row in rows:
        above, line = table[-1], [0]
        for place, column in enumerate(columns):
            line.append(above[place] + 1 if other[row] == own[column] else max(above[place + 1], line[place]))
        table.append(line)
    i, j = len(rows), len(columns)
    found = []
    while i and j:
        if other[rows[i - 1]] == own[columns[j - 1]]:
            i, j = i - 1, j - 1
            found.append((columns[j], rows[i]))
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


def _spans(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Return the positions of tokens that are parts of the text, in order."""
    spans, end = [], 0
    for token in tokens:
        start = text.index(token, end)
        end = start + len(token)
        spans.append((start, end))
    return spans


def _spans_of_words(text: str) -> list[tuple[int, int]]:
    """Return the positions of the words of rouge-score's own tokenizer."""
    # It converts them to lower case first, which makes two letters of İ.
    lowered = [(letter, at) for at, character in enumerate(text) for letter in character.lower()]
    words = re.finditer("[a-z0-9]+", "".join(letter for letter, _ in lowered))
    return [(lowered[word.start()][1], lowered[word.end() - 1][1] + 1) for word in words]
