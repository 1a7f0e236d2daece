"""The column `turns`: a list of texts, or of objects as chats and transcripts have them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.data.dialogue import Turn, find_speakers

__all__ = ["SPEAKER_KEYS", "TEXT_KEYS", "read_turns", "seconds", "turn_keys", "turn_texts"]

SPEAKER_KEYS = ("speaker", "role", "name", "from")
TEXT_KEYS = ("text", "content", "utterance", "value")
"""The keys that the object of a turn may have for its speaker and its text."""

_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{2}(?:[.,]\d{1,6})?)")


def turn_texts(where: str, turns: list[Any]) -> list[str]:
    """Return each turn of a list as it is written in the text of a dialogue.

    Args:
        where: the column, for the error.
        turns: texts, or objects such as ``{"speaker": "#Person1#", "text": "…"}``.

    Raises:
        DataError: an item is neither a text nor an object with a text.
    """
    return list(map(str, _turns(where, turns)))


def read_turns(where: str, turns: list[Any]) -> tuple[Turn, ...]:
    """Return the turns of a list, with the speakers and times that it has.

    The speaker is that of the object, or else that of the label in the text. A line break within a turn stays in
    it. A text whose object names no speaker is divided before each of its lines that begins with a label.

    Args:
        where: the column, for the error.
        turns: as for `turn_texts`.

    Returns:
        the turns; none if they are just the lines of the dialogue's text, whose labels are read when they are
        needed.

    Raises:
        DataError: as `turn_texts`.
    """
    items = list(_turns(where, turns))
    if all(isinstance(item, str) and "\n" not in item for item in items):
        return ()
    turns_given = [Turn(None, item) if isinstance(item, str) else item for item in items]
    return tuple(turns_given) if all(turn.speaker for turn in turns_given) else find_speakers(turns_given)


def turn_keys(turn: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the keys under which an object has its speaker and its text; None for what it lacks."""
    if turn.get("speaker") is not None and turn.get("text") is not None:  # our own names: the usual case
        return "speaker", "text"
    speaker, text = (
        next((key for key in keys if turn.get(key) is not None), None) for keys in (SPEAKER_KEYS, TEXT_KEYS)
    )
    return speaker, text


def seconds(value: Any) -> float | None:
    """Return a time in seconds: of a number, or of a clock such as ``02:33``, ``1:02:33.5`` or ``00:02:33,480``.

    Anything else gives None.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str) and (clock := _CLOCK.fullmatch(value.strip())):
        hours, minutes, rest = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
    return None


def _turns(where: str, turns: list[Any]) -> Iterator[str | Turn]:
    """Yield each turn; a plain text as it is."""
    for number, turn in enumerate(turns, 1):
        if isinstance(turn, str):
            yield turn
            continue
        if not isinstance(turn, dict):
            raise DataError(f"{where}: turn {number}: found {type(turn).__name__}; expected a text or an object")
        speaker, text = turn_keys(turn)
        if text is None:
            raise DataError(
                f"{where}: turn {number}: found {' '.join(', '.join(turn).split()) or 'nothing'}; expected a text "
                f"under {' or '.join(TEXT_KEYS)}, and a speaker under {' or '.join(SPEAKER_KEYS)}"
            )
        for key in (speaker, text):
            if key is not None and not isinstance(turn[key], str):
                raise DataError(
                    f"{where}: turn {number}: {key}: found {type(turn[key]).__name__}; expected a text"
                )
        name = turn[speaker] if speaker else None
        yield Turn(name or None, turn[text], seconds(turn.get("start")), seconds(turn.get("end")))
