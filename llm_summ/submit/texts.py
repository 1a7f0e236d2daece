"""Find the faults of a single summary of a submission: those of any summary, and those of its characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from llm_summ.data.empty_texts import is_blank, is_null
from llm_summ.data.row_rules import ENTITY, INVISIBLE, LINE_BREAK_TAG, LINE_END, LITERAL_LINE_FEED
from llm_summ.data.summary_faults import is_korean, prompt_remains, summary_faults
from llm_summ.data.tags import GAP, TAG, odd_tags

__all__ = ["LINE_BREAK", "text_faults"]

LINE_BREAK = re.compile(rf"\n|{LINE_END.pattern}")
"""The line ends of all systems."""

_LONG, _SHORT = 400, 10  # characters: human summaries of the competition have 25 to 263
_CUT_TAG = re.compile(r"#(?:[A-Z][A-Za-z]{0,14}\d*)?\s*$")
_ENDED = re.compile(r"[.?!…。？！][\"'”’)\]」』]*$")
_DOUBLE_SPACE = re.compile(rf"(?<=\S)(?:{GAP}{{2,}}|\t)(?=\S)")
_PATTERNS = (
    ("line-break", LINE_BREAK),
    ("literal-line-feed", LITERAL_LINE_FEED),
    ("html", ENTITY),
    ("html", LINE_BREAK_TAG),
    ("invisible-character", INVISIBLE),
    ("lost-character", re.compile("\ufffd")),
    ("double-space", _DOUBLE_SPACE),
)


def text_faults(text: str) -> Iterator[tuple[str, int, int]]:
    """Find the faults of a summary that can be seen without its dialogue.

    Yields:
        a code of `rules.FAULT_RULES`, each at most once, and its start and end in the text.
    """
    inner = text.strip()
    if is_blank(text):
        yield "empty-summary", 0, 0
        if (lost := text.find("\ufffd")) >= 0:
            yield "lost-character", lost, lost + 1
        yield from summary_faults(text)
        return
    if inner != text:
        at = 0 if text[0].isspace() else len(text.rstrip())
        yield "outer-space", at, at
    faults = list(summary_faults(text))
    yield from faults
    if is_null(text) or "no-summary" in {kind for kind, _, _ in faults}:
        return
    seen: set[str] = set()
    for kind, pattern in _PATTERNS:
        match = pattern.search(text)
        if match and kind not in seen:
            seen.add(kind)
            yield kind, *match.span()
    yield from _tag_faults(text)
    if not unicodedata.is_normalized("NFC", text):
        yield "not-nfc", 0, 0
    yield from _notes(inner)


def _tag_faults(text: str) -> Iterator[tuple[str, int, int]]:
    """Find the first misspelt tag, the first of an unknown name, and the first other sign."""
    first: dict[str, tuple[int, int]] = {}
    # Parts that are done are blanked, so that positions stay the same.
    letters = list(text)
    for match in TAG.finditer(text):
        letters[slice(*match.span())] = " " * len(match.group())
    for repaired, start, end in odd_tags(text, tagged=True):
        first.setdefault("broken-tag" if repaired else "unknown-mask", (start, end))
        letters[start:end] = " " * (end - start)
    rest = "".join(letters)
    cut = _CUT_TAG.search(rest)
    if cut:
        first.setdefault("broken-tag", cut.span())
        rest = rest[: cut.start()]
    sign = re.search("[#＃]", prompt_remains(rest)) and re.search("[#＃]", rest)
    if sign:
        first.setdefault("stray-sign", sign.span())
    for kind, (start, end) in first.items():
        yield kind, start, end


def _notes(inner: str) -> Iterator[tuple[str, int, int]]:
    rest = prompt_remains(inner).rstrip()
    if is_blank(rest):
        return
    if not is_korean(rest):
        yield "not-korean", 0, 0
    if len(inner) > _LONG:
        yield "long-summary", _LONG, _LONG
    if len(inner) < _SHORT:
        yield "short-summary", 0, 0
    if not _ENDED.search(rest):
        yield "no-full-stop", len(inner), len(inner)
