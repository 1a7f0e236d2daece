"""Steps that find where a sentence ends: they remove unfinished and duplicate sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm_summ.data.empty_texts import is_empty
from llm_summ.post.post_input import PostInput

__all__ = ["cut_unfinished", "drop_repeats", "sentences", "whole_sentences"]

# A mark that ends a sentence, with the quotes and brackets that close after it. White space or the end must
# follow: so the dot of 3.5 does not end a sentence.
_SENTENCE_END = re.compile(r"""(?<![.!?…。])[.!?…。]++["'”’)\]」』]*+(?=\s|$)""")
_FINAL_MARK = re.compile(r"""[.!?…。]["'”’)\]」』]*\Z""")
# 1. at the start of a line, or 오전 9. 30: a number's dot is not the end of a sentence either
_NUMBERED = re.compile(r"(?:^|\s)\d{1,3}\.$")
# 2024. 3. 5., Ms. Dawson, J. K. 롤링, 9 a.m. 정각
_INNER_DOT = re.compile(r"(?:(?:^|\s)\d+|(?<![A-Za-z])(?:Mrs?|Ms|Dr|Prof|St|[JS]r|vs|No|[ap]\.m|[A-Z]))\.$")
# At the very end of a text less is certain: "번호는 5." and "비타민 C." are whole.
_DANGLING = re.compile(r"(?:(?:^|[.!?…。]\s+|\n\s*)\d{1,3}|(?<![A-Za-z])(?:Mrs?|Ms|Dr|Prof))\.$")
# Without a mark: -다, -요, -죠, -까, -것, and nouns in ㅁ (함, 됨)
_ENDING = re.compile(rf"""(?:[다요죠까것]|[{"".join(map(chr, range(0xAC00 + 16, 0xD7A4, 28)))}])["'”’)\]」』]*$""")
_PAIRS = (("“", "”"), ("‘", "’"), ("「", "」"), ("『", "』"), ("(", ")"))
_TOO_SHORT = 5  # letters: a sentence of fewer may be repeated


def cut_unfinished(summary: PostInput) -> str:
    """Remove an unfinished last sentence if the generation ended by length and a finished one precedes it."""
    text = summary.text
    if not summary.cut_off:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if not _NUMBERED.search(text[: match.end()])]
    return text[: ends[-1]] if ends else text


def whole_sentences(summary: PostInput) -> str:
    """Remove an unfinished last sentence, also where it is not known whether the generation ended by length.

    Where that is not known, a text with a sentence's ending counts as finished even without a final mark
    (…라고 말합니다). A text whose generation ended by itself is not changed. Unlike `cut_unfinished`, it handles
    titles (Ms. Dawson), initials and dates, and does not cut within a quotation.
    """
    text = summary.text
    if summary.cut_off is False or _is_finished(text, by_ending=summary.cut_off is None):
        return text
    end = max((end for end in _ends(text) if not is_empty(text[:end])), default=len(text))
    return text[:end]


def drop_repeats(summary: PostInput) -> str:
    """Remove sentences that occurred earlier in the text, and an unfinished repetition after them."""
    text = summary.text
    while (after := _without_repeats(text)) != text:
        text = after
    return text


def sentences(text: str) -> Iterator[str]:
    """Yield the parts of a text that end with a sentence or a line, each with the white space after it."""
    start = 0
    for end in sorted({*_ends(text), *(match.start() for match in re.finditer(r"\n", text))}):
        behind = re.compile(r"\s*").match(text, end)
        assert behind is not None
        if behind.end() > start:
            yield text[start : behind.end()]
            start = behind.end()
    if start < len(text):
        yield text[start:]


def _ends(text: str) -> Iterator[int]:
    """Yield the positions where a sentence certainly ends."""
    for match in _SENTENCE_END.finditer(text):
        before = text[: match.end()]
        if not _INNER_DOT.search(before) and not _is_within(before):
            yield match.end()


def _is_within(before: str) -> bool:
    """Return whether a quotation or a bracket is still open after a text; an apostrophe does not open one."""
    return before.count('"') % 2 == 1 or any(before.count(one) > before.count(other) for one, other in _PAIRS)


def _is_finished(text: str, *, by_ending: bool) -> bool:
    text = text.rstrip()
    if _FINAL_MARK.search(text):
        return not _DANGLING.search(text)
    return by_ending and _ENDING.search(text) is not None


def _without_repeats(text: str) -> str:
    kept: list[str] = []
    seen: set[str] = set()
    parts = list(sentences(text))
    for part in parts:
        key = _key(part)
        if key not in seen or len(key) < _TOO_SHORT:
            kept.append(part)
            seen.add(key)
    if len(kept) == len(parts):
        return text
    last = _key(kept[-1])
    if kept[-1] is parts[-1] and any(other != last and other.startswith(last) for other in seen):
        kept.pop()
    return "".join(kept).rstrip()


def _key(sentence: str) -> str:
    """Return a sentence as it is compared: without white space and the mark at its end."""
    return "".join(sentence.split()).rstrip(".!?…。")
