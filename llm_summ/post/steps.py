"""The steps. Each takes a text and whether its generation ended by length, and gives a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_summ.recipe import PostStep

__all__ = ["STEPS", "PostReport", "post_process"]

# A mark that ends a sentence, with the quotes and brackets that close behind it. What follows is white space
# or the end: so the dot of 3.5 ends nothing.
_SENTENCE_END = re.compile(r"""[.!?…。]+["'”’)\]」』]*(?=\s|$)""")
# 1. at the start of a line, or 오전 9. 30: a number's dot is not the end of a sentence either
_NUMBERED = re.compile(r"(?:^|\s)\d{1,3}\.$")


def strip(text: str, cut_off: bool) -> str:
    """Remove white space around the text."""
    return text.strip()


def join_lines(text: str, cut_off: bool) -> str:
    """Make one line of several."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def collapse_whitespace(text: str, cut_off: bool) -> str:
    """Make one space of every run of spaces and tabs; line ends stay."""
    return re.sub(r"[^\S\n]+", " ", text)


def cut_unfinished(text: str, cut_off: bool) -> str:
    """Remove an unfinished last sentence if the generation ended by length and a finished one precedes it."""
    if not cut_off:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if not _NUMBERED.search(text[: match.end()])]
    return text[: ends[-1]] if ends else text


STEPS: Mapping[PostStep, Callable[[str, bool], str]] = {
    "strip": strip,
    "join_lines": join_lines,
    "collapse_whitespace": collapse_whitespace,
    "cut_unfinished": cut_unfinished,
}
"""Every step by its name in a recipe."""


@dataclass(frozen=True, slots=True)
class PostReport:
    """What post-processing did.

    Attributes:
        texts: the texts after the last step, shape (n,).
        changed: how many texts each step changed, in the order in which they ran.
    """

    texts: list[str]
    changed: dict[str, int]


def post_process(texts: Sequence[str], cut_off: Sequence[bool], steps: Sequence[PostStep]) -> PostReport:
    """Run steps in order.

    Args:
        texts: raw predictions, shape (n,).
        cut_off: whether each generation ended by length, shape (n,).
        steps: names of `STEPS`.
    """
    current = list(texts)
    changed: dict[str, int] = {}
    for name in steps:
        after = [STEPS[name](text, cut) for text, cut in zip(current, cut_off, strict=True)]
        changed[name] = sum(old != new for old, new in zip(current, after, strict=True))
        current = after
    return PostReport(current, changed)
