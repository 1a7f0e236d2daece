"""Words are found as a pattern with all of them would find them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from llm_summ.data.word_finder import WordFinder

BEFORE, BEHIND = "(?<![0-9A-Za-z])", "(?P<particle>가)?(?![0-9A-Za-z])"


@given(
    st.sets(st.text(alphabet="ab1-. 가]^", min_size=1, max_size=4), max_size=6),
    st.text(alphabet="ab1-. 가]^", max_size=40),
)
def test_words_are_found_as_by_a_pattern_of_all(words: set[str], text: str) -> None:
    longest_first = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    pattern = f"{BEFORE}(?P<word>{longest_first}){BEHIND}"
    expected = [(match["word"], match["particle"], match.span()) for match in re.finditer(pattern, text) if words]
    found = [
        (word, behind["particle"], (behind.start() - len(word), behind.end()))
        for word, behind in WordFinder(words, BEFORE, BEHIND).find(text)
    ]
    assert found == expected
