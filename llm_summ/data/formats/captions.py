"""Captions: WebVTT as Zoom, Teams and others write it, and SRT.

The cues of one speaker that follow one another are joined, since they are cut in the middle of sentences.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from llm_summ.data.dialogue import Turn, text_turns
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format, join_turns
from llm_summ.data.turn_list import seconds

__all__ = ["SRT", "VTT"]

_TIMING = re.compile(
    r"\s*(?P<start>(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})\s*-->\s*(?P<end>(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})\b.*"
)
_NO_CUE = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s.*)?")
# A tag has at most 200 letters: a text of tags that are never closed would be read to its end from each of them.
_VOICE = re.compile(r"<v(?:\.[^\s>]{0,200})?\s([^>]{0,200})>")
_MARKUP = re.compile(
    r"</?(?:[cibuv]|lang|ruby|rt|font)(?:[.\s][^>]{0,200})?>|<(?:\d+:)?\d{2}:\d{2}\.\d{3}>|\{\\an?\d+\}"
)
_OWN_LINE = re.compile(r"\((?P<name>[^()]{1,40})\)")
_BRACKETED = re.compile(r"\[(?P<name>[^\[\]]{1,40})\]:?\s+(?P<text>\S.*)", re.DOTALL)
_PREFIX = re.compile(r"(?P<name>[^\s:：][^:：\n]{0,39}?)[:：]\s+(?P<text>\S.*)", re.DOTALL)
_DASH = re.compile(r"\s*[-–—]\s*(?=\S)")
_NAME_SHARE = 0.5  # of the cues, which shows that names come before the colons


class _Cue(NamedTuple):
    start: float | None
    end: float | None
    lines: list[str]


def _parse(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    cues = list(_cues(source.text(), reading.dropped))
    names, bracketed = _prefixes(cues)
    turns: list[Turn] = []
    for cue in cues:
        pieces = [piece for piece in _pieces(cue, names) if piece.text.strip()]
        if not pieces:
            reading.dropped["empty cue"] += 1
        turns += pieces
    if names and not bracketed:  # a cue without a name continues that of the last speaker
        for index, turn in enumerate(turns[1:], 1):
            if turn.speaker is None:
                turns[index] = turn._replace(speaker=turns[index - 1].speaker)
    joined = [turn._replace(label=None) for turn in _joined(turns)]
    if joined and not any(turn.speaker for turn in joined):
        reading.notes.append("it names no speakers")
    reading.add_whole(source, joined, 1)
    return reading


def _joined(turns: list[Turn]) -> list[Turn]:
    """Join cues, except before a dash, which shows that somebody else speaks (such turns have an empty label)."""
    parts: list[list[Turn]] = [[]]
    for turn in turns:
        if turn.label == "":
            parts.append([])
        parts[-1].append(turn)
    return [turn for part in parts for turn in join_turns(part)]


def _cues(text: str, dropped: Counter[str]) -> Iterator[_Cue]:
    """Yield the cues; header, notes and styles are not cues."""
    for block in re.split(r"\n[ \t]*\n+", text.strip("\n")):
        lines = block.split("\n")
        timings = [index for index, line in enumerate(lines) if _TIMING.fullmatch(line)]
        if not timings:
            if not _NO_CUE.fullmatch(lines[0].strip("\ufeff ")) and block.strip():
                dropped["untimed block"] += 1
            continue
        # Some writers leave out the blank line between cues.
        for index, after in zip(timings, [*timings[1:], len(lines) + 1], strict=True):
            match = _TIMING.fullmatch(lines[index])
            assert match
            last = after - 1 if after <= len(lines) and lines[after - 1].strip().isdigit() else after
            yield _Cue(seconds(match["start"]), seconds(match["end"]), lines[index + 1 : last])


def _prefixes(cues: list[_Cue]) -> tuple[frozenset[str], bool]:
    """Return the names before a colon or in brackets at the beginning of cues, and whether most have brackets.

    Programs that recognise speakers write brackets, and none where they are not sure.
    """
    firsts = [_plain(cue.lines[0]) for cue in cues if cue.lines]
    found: Counter[str] = Counter()
    for first in firsts:
        if match := _BRACKETED.fullmatch(first) or _PREFIX.fullmatch(first):
            found[match["name"]] += 1
    if found and found.total() >= _NAME_SHARE * len(firsts):
        return frozenset(found), 2 * sum(map(bool, map(_BRACKETED.fullmatch, firsts))) > found.total()
    labelled = {turn.speaker for turn in text_turns("\n".join(firsts)) if turn.speaker}
    return frozenset(name for name in found if name in labelled), False


def _pieces(cue: _Cue, names: frozenset[str]) -> list[Turn]:
    """Return the parts of a cue, one for each speaker in it."""
    text = "\n".join(cue.lines)
    if _VOICE.search(text):
        before, *voices = _VOICE.split(text)
        spoken = [(None, before), *zip(voices[::2], voices[1::2], strict=True)]
        return [
            Turn((name and html.unescape(name).strip()) or None, _plain(words), cue.start, cue.end)
            for name, words in spoken
        ]
    pieces: list[Turn] = []
    speaker: str | None = None
    for line in map(_plain, cue.lines):
        match = _BRACKETED.fullmatch(line) or _PREFIX.fullmatch(line)
        if own := _OWN_LINE.fullmatch(line.strip()):
            speaker = own["name"].strip()
        elif match and match["name"] in names:
            speaker = match["name"]
            pieces.append(Turn(speaker, match["text"], cue.start, cue.end))
        elif _DASH.match(line) and speaker is None:
            pieces.append(Turn(None, _DASH.sub("", line, count=1), cue.start, cue.end, label=""))
        else:
            pieces.append(Turn(speaker, line, cue.start, cue.end))
    return pieces


def _plain(text: str) -> str:
    return html.unescape(_MARKUP.sub("", text)).replace("\u200e", "").replace("\xa0", " ").strip()


def _is_srt(path: Path, head: bytes) -> bool:
    text = head.decode("utf-8-sig", "ignore").lstrip()
    return re.match(r"\d+[^\S\n]*\n\s*\d+:\d{2}:\d{2},\d{1,3}\s*-->", text) is not None


VTT = conversation_format(
    "vtt",
    (".vtt", ".txt"),
    _parse,
    sniff=lambda path, head: head.removeprefix(b"\xef\xbb\xbf").startswith(b"WEBVTT"),
)
SRT = conversation_format("srt", (".srt", ".txt"), _parse, sniff=_is_srt)
