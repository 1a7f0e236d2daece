"""Naver Clova: the text that Clova Note exports, and the JSON of CLOVA Speech."""

from __future__ import annotations

import re
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.data.dialogue import Turn
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format, join_turns
from llm_summ.data.formats.json_node import has_keys, read_json
from llm_summ.data.turn_list import seconds

__all__ = ["CLOVA_NOTE", "CLOVA_SPEECH"]

_CLOCK = r"(?P<clock>(?:\d{1,2}:)?\d{1,3}:\d{2})"
_DATE = re.compile(
    r"(?P<date>\d{4}\.\d{1,2}\.\d{1,2})\.? ?\(?[월화수목금토일]\)?(?:요일)? "
    r"(?P<clock>(?:오전|오후) \d{1,2}:\d{2}).*"
)
_GUEST = r"(?:참석자|화자|Speaker|Attendee) ?\d+"
_BLOCK = re.compile(rf"(?P<name>\S(?:.{{0,37}}?\S)?)\s++{_CLOCK}")
_ONE_LINE = re.compile(rf"(?P<name>{_GUEST})\s+{_CLOCK}\s+(?P<text>\S.*)")
_A_TIME = re.compile(r"(?:오전|오후|[.,:;?!])\Z")  # before a clock in a sentence, and in the line of the date
_ALONE = re.compile(_GUEST)
_TAIL = re.compile(
    r".*(?:clovanote\.naver\.com|AI가 (?:자동|생성|요약)|인공지능.{0,20}(?:자동|생성)).*", re.IGNORECASE
)
_SPAN = re.compile(r"\d{1,3}:\d{2}(?::\d{2})? ?~ ?\d{1,3}:\d{2}(?::\d{2})?")


def _parse(source: Source, _: ReadOptions) -> Reading:
    lines = [line.rstrip() for line in source.text().split("\n")]
    if sum(map(bool, map(_SPAN.fullmatch, lines))) > sum(map(bool, map(_BLOCK.fullmatch, lines))):
        raise DataError(
            f"{source.path}: found a summary of Clova Note; expected the conversation itself; export 음성 기록"
        )
    reading = Reading()
    turns: list[Turn] = []
    words: list[str] = []
    open_turn: Turn | None = None
    timed = any(_BLOCK.fullmatch(line) or _ONE_LINE.fullmatch(line) for line in lines)
    first = 0
    topic = date = None
    for number, line in enumerate(lines, 1):
        begun = _begun(line, blank_before=number == 1 or not lines[number - 2], timed=timed)
        if begun is None and _TAIL.fullmatch(line):
            reading.dropped["Clova Note line"] += 1
            continue
        if begun is None and open_turn is None:
            date = date or ((match := _DATE.fullmatch(line)) and f"{match['date']} {match['clock']}") or None
            topic = topic or (line if line and date is None else None)
            continue
        if begun is None:
            words.append(line)
            continue
        if open_turn is not None:
            turns.append(_ended(open_turn, words))
        open_turn, words = begun, [begun.text] if begun.text else []
        first = first or number
    if open_turn is not None:
        turns.append(_ended(open_turn, words))
    reading.dropped["empty turn"] += sum(not turn.text for turn in turns)
    reading.add_whole(source, turns, first, topic=topic if date else None, date=date)
    return reading


def _begun(line: str, *, blank_before: bool, timed: bool) -> Turn | None:
    """Return the turn that a line begins, with the words that are on it; None for other lines."""
    if not timed:
        return Turn(line, "") if blank_before and _ALONE.fullmatch(line) else None
    if match := _ONE_LINE.fullmatch(line):
        return Turn(match["name"], match["text"], seconds(match["clock"]))
    if blank_before and (match := _BLOCK.fullmatch(line)) and not _A_TIME.search(match["name"]):
        return Turn(match["name"], "", seconds(match["clock"]))
    return None


def _ended(turn: Turn, words: list[str]) -> Turn:
    return turn._replace(text="\n".join(words).strip("\n"))


def _is_note(path: Path, head: bytes) -> bool:
    lines = [line.rstrip() for line in head.decode("utf-8-sig", "ignore").splitlines()]
    if any(map(_DATE.fullmatch, lines[:6])):
        return True
    guests = re.compile(rf"{_GUEST}(?:\s+{_CLOCK}(?:\s+\S.*)?)?")
    spans = sum(map(bool, map(_SPAN.fullmatch, lines)))
    blocks = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if not before and (guests.fullmatch(line) or _BLOCK.fullmatch(line))
    ]
    one_line = sum(map(bool, map(_ONE_LINE.fullmatch, lines)))
    return len(blocks) >= 2 or one_line >= 2 or spans >= 2


def _parse_speech(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    turns = []
    for segment in read_json(source)["segments"]:
        speaker = segment["speaker"]
        label, name = speaker["label"].text(), speaker["name"].text()
        who = name or (f"참석자 {label}" if label.isdigit() else label) or None
        text = segment["textEdited"].text().strip() or segment["text"].text()
        turns.append(Turn(who, text, segment["start"].seconds(0.001), segment["end"].seconds(0.001)))
    reading.dropped["empty segment"] += sum(not turn.text.strip() for turn in turns)
    reading.add_whole(source, join_turns(turns), 1)
    return reading


CLOVA_NOTE = conversation_format("clova-note", (".txt",), _parse, sniff=_is_note)
CLOVA_SPEECH = conversation_format(
    "clova-speech",
    (".json",),
    _parse_speech,
    sniff=lambda path, head: (
        has_keys(head, "segments") and (has_keys(head, "textEdited") or has_keys(head, "diarization"))
    ),
    unit="row",
)
