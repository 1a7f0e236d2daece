"""Reading of a server's answers: a text to keep, or the reason why there is none. Independent of HTTP.

Reasoning models write their thoughts before the answer: ``<think>…</think>``. Thoughts are not part of a summary.
A text that has only thoughts, or was stopped in the middle of them, does not count as an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from llm_summ.core.errors import listed
from llm_summ.core.formatting import counted
from llm_summ.predictions.prediction import FinishReason

__all__ = ["Answer", "NoAnswer", "Tally", "read_answer", "unanswered_lines", "visible_text", "without_thoughts"]

_OPEN, _CLOSE = "<think>", "</think>"
_TAG = re.compile(r"<(/?)think>")
_EXAMPLES = 3  # dialogues that a message lists for each reason


class NoAnswer(Enum):
    """The reason why an answer has no usable text; messages show the value."""

    CONTENT_FILTER = "content filter"
    REFUSAL = "refusal"
    TOOL_CALL = "tool call"
    BROKEN_OFF = "broken off by the server"
    OPEN_THOUGHTS = "<think> not closed"
    ONLY_THOUGHTS = "thoughts without a text"
    NO_TEXT = "no text"


_BY_FINISH_REASON = {
    "content_filter": NoAnswer.CONTENT_FILTER,
    "tool_calls": NoAnswer.TOOL_CALL,
    "function_call": NoAnswer.TOOL_CALL,
    "abort": NoAnswer.BROKEN_OFF,
    "error": NoAnswer.BROKEN_OFF,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A text to keep.

    Attributes:
        text: without the thoughts before it.
        finish_reason: "stop" or "length".
        had_thoughts: whether thoughts were removed.
    """

    text: str
    finish_reason: FinishReason
    had_thoughts: bool = False


def read_answer(
    content: object, finish_reason: object, *, refusal: object = None, thoughts: object = None
) -> Answer | NoAnswer:
    """Return a server's text, or the reason why there is none to keep.

    Args:
        content: the text; None or empty if there is none.
        finish_reason: as the server gives it.
        refusal: the text that the model wrote instead of an answer.
        thoughts: thoughts that the server has separated from the text.
    """
    if isinstance(finish_reason, str) and finish_reason in _BY_FINISH_REASON:
        return _BY_FINISH_REASON[finish_reason]
    if refusal:
        return NoAnswer.REFUSAL
    if not isinstance(content, str) or not content.strip():
        return NoAnswer.ONLY_THOUGHTS if thoughts else NoAnswer.NO_TEXT
    text = without_thoughts(content)
    if text is None:
        return NoAnswer.OPEN_THOUGHTS
    if not text.strip():
        return NoAnswer.ONLY_THOUGHTS
    return Answer(text, "stop" if finish_reason == "stop" else "length", text != content)


def without_thoughts(text: str) -> str | None:
    """Return a text without the closed blocks of thoughts at its beginning and the white space after them.

    A text that does not begin with a block is returned unchanged; later blocks are kept. None: a block is not
    closed.
    """
    while text.lstrip().startswith(_OPEN):
        end = _end_of_block(text)
        if end is None:
            return None
        text = text[end:].lstrip()
    return text


def visible_text(text: str) -> str:
    """Return what can be shown of a text that is still being written: nothing of thoughts before it.

    A longer text begins with what was returned for a shorter one.
    """
    while True:
        begin = text.lstrip()
        if not begin.startswith(_OPEN):
            return "" if _OPEN.startswith(begin) else text
        depth = 0
        for tag in _TAG.finditer(text):
            depth += -1 if tag[1] else 1
            if depth == 0:
                text = text[tag.end() :].lstrip()
                break
        else:
            return ""


def _end_of_block(text: str) -> int | None:
    """Return the end of the first block; None if it is not closed."""
    depth = 0
    for tag in _TAG.finditer(text):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.end()
    # Thoughts can contain the opening tag; then they end with the last closing tag.
    last = text.rfind(_CLOSE)
    return None if last < 0 else last + len(_CLOSE)


class Tally:
    """Counts the dialogues that were sent to a server, and those that it gave no answer for."""

    def __init__(self) -> None:
        self.asked = 0
        self.missing: dict[NoAnswer, list[int]] = {}

    @property
    def unanswered(self) -> int:
        """Number of dialogues without an answer."""
        return sum(map(len, self.missing.values()))

    def add(self, index: int, why: NoAnswer | None) -> None:
        """Count a dialogue.

        Args:
            index: of the dialogue, from 0.
            why: the reason why it has no answer; None: it has one.
        """
        self.asked += 1
        if why is not None:
            self.missing.setdefault(why, []).append(index)

    def line(self) -> str:
        """Return how many dialogues have no answer, and for each reason the numbers (from 1) of the first few."""
        reasons = []
        for why, indexes in sorted(self.missing.items(), key=lambda item: -len(item[1])):
            numbers = [str(index + 1) for index in sorted(indexes)]
            reasons.append(f"{len(indexes)} {why.value} (no. {listed(numbers, _EXAMPLES)})")
        verb = "has" if self.unanswered == 1 else "have"
        return f"{self.unanswered} of {counted(self.asked, 'dialogue')} {verb} no answer: {', '.join(reasons)}"


def unanswered_lines(url: str, tallies: Sequence[Tally], *, stopped: bool) -> list[str]:
    """Return a line for each generation in which dialogues have no answer.

    Args:
        url: of the server.
        tallies: of all generations, in order.
        stopped: whether the generation was stopped early because no dialogue had an answer.
    """
    lines = []
    for number, tally in enumerate(tallies, start=1):
        if not tally.missing:
            continue
        line = f"{url}: {f'part {number} of {len(tallies)}: ' if len(tallies) > 1 else ''}{tally.line()}"
        if tally.missing.keys() & {NoAnswer.OPEN_THOUGHTS, NoAnswer.ONLY_THOUGHTS}:
            line += "; switch thinking off (generate.server.extra_body), or raise generate.max_new_tokens"
        if stopped:
            line += "; stopped, since no dialogue has one"
        lines.append(f"{line}; finished outputs are kept, and the same command retries the rest")
    return lines
