"""What a server sent back: a text to keep, or the reason why there is none. It knows nothing of HTTP.

Models that think write their thoughts in front of the answer: ``<think>…</think>``. They are no part of a summary,
and a text that consists of them, or was stopped in the middle of them, is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from llm_summ.core.errors import listed
from llm_summ.predictions.prediction import FinishReason

__all__ = ["Answer", "NoAnswer", "Tally", "read_answer", "unanswered_lines", "without_thoughts"]

_OPEN, _CLOSE = "<think>", "</think>"
_TAG = re.compile(r"<(/?)think>")
_EXAMPLES = 3  # dialogues that are named for each reason


class NoAnswer(Enum):
    """Why there is no text to keep; the value is what is printed."""

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
        text: without thoughts in front of it.
        finish_reason: "stop" or "length".
        had_thoughts: whether there were any.
    """

    text: str
    finish_reason: FinishReason
    had_thoughts: bool = False


def read_answer(
    content: object, finish_reason: object, *, refusal: object = None, thoughts: object = None
) -> Answer | NoAnswer:
    """Return the text that a server sent, or why it is none.

    Args:
        content: the text; None or missing where there is none.
        finish_reason: as the server gives it.
        refusal: what the model wrote instead of an answer.
        thoughts: what the server has separated from the text.
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
    """Return a text without the closed blocks of thoughts that it opens with, and the white space behind them.

    A text that opens with none is returned unchanged, and so is a block further on. None: a block is not closed.
    """
    while text.lstrip().startswith(_OPEN):
        end = _end_of_block(text)
        if end is None:
            return None
        text = text[end:].lstrip()
    return text


def _end_of_block(text: str) -> int | None:
    """Where the first block ends; None: nowhere."""
    depth = 0
    for tag in _TAG.finditer(text):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.end()
    # Thoughts may mention the tag that opens them: then they end where the last one closes.
    last = text.rfind(_CLOSE)
    return None if last < 0 else last + len(_CLOSE)


class Tally:
    """Counts the dialogues that a server was asked for, and those that it gave no answer to."""

    def __init__(self) -> None:
        self.asked = 0
        self.missing: dict[NoAnswer, list[int]] = {}

    @property
    def unanswered(self) -> int:
        """Dialogues without an answer."""
        return sum(map(len, self.missing.values()))

    def add(self, index: int, why: NoAnswer | None) -> None:
        """Count a dialogue.

        Args:
            index: of the dialogue, from 0.
            why: why it has no answer; None: it has one.
        """
        self.asked += 1
        if why is not None:
            self.missing.setdefault(why, []).append(index)

    def line(self) -> str:
        """Return how many dialogues have no answer, and why; the first few are named by their number, from 1."""
        reasons = []
        for why, indexes in sorted(self.missing.items(), key=lambda item: -len(item[1])):
            numbers = [str(index + 1) for index in sorted(indexes)]
            reasons.append(f"{len(indexes)} {why.value} (no. {listed(numbers, _EXAMPLES)})")
        return f"{self.unanswered} of {self.asked} dialogues have no answer: {', '.join(reasons)}"


def unanswered_lines(url: str, tallies: Sequence[Tally], *, stopped: bool) -> list[str]:
    """Return a line for each generation in which dialogues have no answer.

    Args:
        url: of the server.
        tallies: of all generations, in their order.
        stopped: whether it was stopped early because no dialogue had an answer.
    """
    lines = []
    for number, tally in enumerate(tallies, start=1):
        if not tally.missing:
            continue
        line = f"{url}: {f'part {number} of {len(tallies)}: ' if len(tallies) > 1 else ''}{tally.line()}"
        if tally.missing.keys() & {NoAnswer.OPEN_THOUGHTS, NoAnswer.ONLY_THOUGHTS}:
            line += "; switch thoughts off (generate.server.extra_body), or raise generate.max_new_tokens"
        if stopped:
            line += "; stopped, since none has one"
        lines.append(f"{line}; what was finished is kept, and the same command asks again for the rest")
    return lines
