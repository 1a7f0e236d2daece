"""The JSON of Whisper and of WhisperX, which may know the speakers."""

from __future__ import annotations

from pathlib import Path

from llm_summ.data.dialogue import Turn
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format, join_turns
from llm_summ.data.formats.json_node import has_keys, read_json

__all__ = ["WHISPER"]


def _parse(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    whole = read_json(source)
    turns = []
    for segment in whole if whole.is_list else whole["segments"]:
        text = segment["text"].text()
        start, end = segment["start"].seconds(), segment["end"].seconds()
        turns.append(Turn(segment["speaker"].text() or None, text, start, end))
    reading.dropped["empty segment"] += sum(not turn.text.strip() for turn in turns)
    if not any(turn.speaker for turn in turns):
        reading.notes.append("it names no speakers")
    reading.add_whole(source, join_turns(turns), 1)
    return reading


def _is_whisper(path: Path, head: bytes) -> bool:
    return has_keys(head, "segments", "start", "end", "text")


WHISPER = conversation_format("whisper", (".json",), _parse, sniff=_is_whisper, unit="row")
