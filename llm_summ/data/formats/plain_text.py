"""Plain text: one dialogue, a line ``이름: 말`` for each turn; a line without a name continues the turn before."""

from __future__ import annotations

from llm_summ.data.dialogue import Turn, find_speakers
from llm_summ.data.formats.checks import shown_text
from llm_summ.data.formats.conversation import (
    Reading,
    ReadOptions,
    Source,
    UnknownContentError,
    conversation_format,
)

__all__ = ["PLAIN_TEXT", "spoken_lines"]


def _parse(source: Source, _: ReadOptions) -> Reading:
    text = source.text().strip("\n")
    turns = spoken_lines(text)
    if not any(turn.speaker for turn in turns):
        shown = " / ".join([shown_text(line) for line in text.split("\n") if line.strip()][:3])
        raise UnknownContentError(
            f"{source.path}: found no speakers, and no chat or transcript that is known, in «{shown}»; expected "
            "lines such as 민지: 네, or name the format: llm-summ data convert --format NAME"
        )
    reading = Reading()
    reading.add_whole(source, turns, 1)
    return reading


def spoken_lines(text: str) -> list[Turn]:
    """Return the turns of a text whose lines begin with speakers; blank lines around the words are left out."""
    turns = [
        turn._replace(text=turn.text.strip("\n").rstrip(), label=None)
        for turn in find_speakers([Turn(None, text)])
    ]
    return [turn for turn in turns if turn.text.strip()]


PLAIN_TEXT = conversation_format("text", (".txt",), _parse, sniff=None)
