"""Finds any of many words in a text, in a time that does not grow with their number.

A pattern with an alternative for each word would try all of them at every place.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

__all__ = ["LONGEST_WORD", "WordFinder"]

LONGEST_WORD = 100
"""The most letters of a word: each length that words have is tried at every place."""


class WordFinder:
    """Words that are looked for; where several begin, the longest one that fits is found.

    Args:
        words: none is empty, and none is longer than `LONGEST_WORD`.
        before: a pattern of what is before a word, without width.
        behind: what is behind a word.
    """

    def __init__(self, words: Collection[str], before: str, behind: str) -> None:
        self._words, self._behind = frozenset(words), re.compile(behind)
        self._shortest = min(map(len, words), default=0)
        lengths: dict[str, set[int]] = {}
        for word in words:
            lengths.setdefault(word[: self._shortest], set()).add(len(word))
        self._lengths = {begin: sorted(found, reverse=True) for begin, found in lengths.items()}
        letters = re.escape("".join(sorted({word[0] for word in words})))
        self._first = re.compile(f"{before}[{letters}]" if words else "(?!)")

    def find(self, text: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Yield the words of a text, from left to right, each with the match of what is behind it."""
        end = 0
        for match in self._first.finditer(text):
            start = match.start()
            if start < end:
                continue
            for length in self._lengths.get(text[start : start + self._shortest], ()):
                word = text[start : start + length]
                if word in self._words and (behind := self._behind.match(text, start + len(word))):
                    yield word, behind
                    end = behind.end()
                    break
