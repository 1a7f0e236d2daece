"""Messages of chats, and how a chat of months becomes dialogues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from llm_summ.data.dialogue import Turn
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source

__all__ = ["Message", "cut_messages"]


class Message(NamedTuple):
    """A message of a chat.

    Attributes:
        line: the line on which it begins.
        when: its time; None if the chat has none.
        speaker: a name; None for a line of the messenger itself.
        text: the words.
    """

    line: int
    when: datetime | None
    speaker: str | None
    text: str


def cut_messages(source: Source, messages: Sequence[Message], options: ReadOptions, *, dated: bool) -> Reading:
    """Return the dialogues of a chat: one for each stretch of messages that `ReadOptions.cut` keeps together.

    Args:
        source: the file, for ids.
        messages: in the order of the file.
        options: where to cut.
        dated: whether the days of the messages are known, or only their clock.
    """
    reading = Reading()
    parts: list[list[Message]] = []
    for message in messages:
        if not parts or _is_cut(parts[-1][-1].when, message.when, options):
            parts.append([])
        parts[-1].append(message)
    used: Counter[str] = Counter()
    for part in parts:
        began = next((message.when for message in part if message.when is not None), None)
        turns = [Turn(message.speaker, message.text, _since(began, message.when)) for message in part]
        name = source.stem
        if options.cut != "whole" and began is not None and dated:
            name += began.strftime("_%Y-%m-%d" if options.cut == "day" else "_%Y-%m-%d_%H%M")
        used[name] += 1
        name = name if used[name] == 1 else f"{name}-{used[name]}"
        date = began.isoformat(" ", "minutes") if began is not None and dated else None
        reading.add(name, turns, part[0].line, date=date)
    for conversation in reading.conversations:
        conversation.derived_id = True
    return reading


def _is_cut(before: datetime | None, when: datetime | None, options: ReadOptions) -> bool:
    if before is None or when is None or options.cut == "whole":
        return False
    if options.cut == "day":
        return before.date() != when.date()
    return when - before >= timedelta(minutes=options.gap_minutes)


def _since(began: datetime | None, when: datetime | None) -> float | None:
    return None if began is None or when is None else (when - began).total_seconds()
