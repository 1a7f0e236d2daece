"""KakaoTalk exports: Windows (Korean, English, copied from the window), Android, iOS, 24-hour clock, Mac CSV.

A line that fits no pattern belongs to the message before it. Lines of the messenger (who came, who left), deleted
and hidden messages, and placeholders such as ``사진`` are dropped and counted. What names something is kept:
files, votes, transfers, searches.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.data.formats.chats import Message, cut_messages
from llm_summ.data.formats.checks import shown_text
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format
from llm_summ.data.formats.kakaotalk_lines import Line, is_about, kind_of, read_line

__all__ = ["KAKAOTALK", "KAKAOTALK_MAC"]

_NO_DAY = datetime(2000, 1, 1)  # of what was copied without a line for the day
_HEADER = re.compile(r".*(?:카카오톡 대화|KakaoTalk Chats.*)|(?:저장한 날짜|Date Saved) ?:.*")
_MAC_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?\"?Date\"?,\"?User\"?,\"?Message\"?\s*\r?\n")
_MIXED_SHARE = 0.2  # of messages in another style, which would be a pasted chat if they were fewer
_LONGEST_HEADING = 10  # lines; exports have two to four


class _Chat:
    """The messages of an export, as its lines come in."""

    def __init__(self, options: ReadOptions) -> None:
        self.messages: list[Message] = []
        self.dropped: Counter[str] = Counter()
        self.styles: dict[str, list[int]] = {}
        self.keep = options.keep
        self._speaker: str | None = None
        self._open: list[str] | None = None  # the lines of the last message
        self._start: tuple[int, datetime | None] = (0, None)

    def begin(self, line: int, when: datetime | None, speaker: str | None, text: str) -> None:
        self.end()
        self._start, self._speaker, self._open = (line, when), speaker, [text]

    def more(self, text: str) -> bool:
        """Add a line to the last message; False if there is none."""
        if self._open is None:
            return False
        self._open.append(text)
        return True

    def end(self) -> None:
        """Finish the last message: keep it, or count it as dropped."""
        if self._open is None:
            return
        text, self._open = "\n".join(self._open).strip("\n").rstrip(), None
        kind = kind_of(self._speaker, text)
        if kind is None and self._speaker is None:
            kind = "system"
        if kind is None and not text.strip():
            kind = "empty message"
        if kind is not None and kind not in self.keep:
            self.dropped[kind] += 1
        else:
            self.messages.append(Message(*self._start, self._speaker, text))


def _parse(source: Source, options: ReadOptions) -> Reading:
    chat = _Chat(options)
    day, dated, style, last, day_style = _NO_DAY, False, "", _NO_DAY, ""
    for number, written in enumerate(source.text().split("\n"), 1):
        found = read_line(written, day)
        if found is not None and found.kind != "day":
            chat.styles.setdefault(found.style, []).append(number)
            style = style or found.style
            if found.style != style:  # a chat that was pasted into a message
                found = None
        elif found is not None and not _is_day(found, style, day_style):
            found = None
        if found is None:
            _no_pattern(chat, number, written, last if style else None)
        elif found.kind == "day":
            chat.end()
            day, dated, day_style = found.when, True, day_style or found.style
        else:
            dated = dated or found.style != "computer"
            if not dated and found.when < last:  # a clock that goes back shows the next day
                day += timedelta(days=1)
                found = found._replace(when=found.when + timedelta(days=1))
            last = found.when
            chat.begin(number, found.when, found.speaker, found.text)
    chat.end()
    _refuse_mixture(source.path, chat.styles, style)
    if (lines := chat.dropped["heading line"]) > _LONGEST_HEADING:
        raise DataError(
            f"{source.path}: read as kakaotalk, but found {lines} lines before the first message; expected a "
            f"heading of at most {_LONGEST_HEADING}; if they belong to something else, divide the file there"
        )
    if not chat.messages and not chat.styles:
        raise DataError(f"{source.path}: found no message; expected lines such as [민지] [오후 6:01] 네")
    reading = cut_messages(source, chat.messages, options, dated=dated)
    reading.dropped.update(chat.dropped)
    return reading


def _is_day(found: Line, style: str, day_style: str) -> bool:
    """Return whether a line is a day of the export, and not a date in a message of several lines.

    Args:
        found: the line.
        style: of the messages before it; empty if there are none.
        day_style: of the first day; empty if there is none.
    """
    if found.style in ("dashes", "weekday"):
        return found.style == "dashes" or day_style != "dashes"
    return style in ("", found.style)


def _no_pattern(chat: _Chat, number: int, written: str, last: datetime | None) -> None:
    """Take a line without a time: of the messenger, of the header, or the next of a message."""
    if kind_of(None, written) == "system":
        if "system" in chat.keep:
            chat.begin(number, last, None, written)
        else:
            chat.dropped["system"] += 1
    elif not chat.more(written) and written.strip() and not _HEADER.fullmatch(written.strip()):
        chat.dropped["heading line"] += 1


def _refuse_mixture(path: Path, styles: dict[str, list[int]], style: str) -> None:
    total = sum(map(len, styles.values()))
    for other, lines in styles.items():
        if other != style and len(lines) > _MIXED_SHARE * total:
            raise DataError(
                f"{path}: found two forms of KakaoTalk lines, first in line {styles[style][0]} and in line "
                f"{lines[0]}; expected one form; divide the file"
            )


def _parse_mac(source: Source, options: ReadOptions) -> Reading:
    chat = _Chat(options)
    reader = csv.reader(io.StringIO(source.text(), newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            start, line = line, reader.line_num + 1
            if not row or start == 1:
                continue
            when = _mac_time(row[0])
            if len(row) != 3 or when is None:
                raise DataError(
                    f"{source.path}:{start}: found {len(row)} fields, the first «{shown_text(row[0])}»; "
                    'expected Date,User,Message such as 2026-03-02 18:01:22,"민지","네"'
                )
            speaker = row[1].strip() or None
            if speaker is not None and is_about(row[2], speaker):
                speaker = None
            chat.begin(start, when, speaker, row[2])
    except csv.Error as error:
        raise DataError(f"{source.path}:{line}: not valid CSV from here ({error}); check the quotes") from error
    chat.end()
    reading = cut_messages(source, chat.messages, options, dated=True)
    reading.dropped.update(chat.dropped)
    return reading


def _mac_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=None)
    except ValueError:
        return None


def _is_chat(path: Path, head: bytes) -> bool:
    texts = (head.decode(encoding, "ignore") for encoding in ("utf-8-sig", "cp949"))
    return any(_is_message(text.splitlines()) for text in texts)


def _is_message(lines: list[str]) -> bool:
    found: list[Line] = [line for text in lines[:200] if (line := read_line(text, _NO_DAY)) is not None]
    return any(line.kind == "message" for line in found)


KAKAOTALK = conversation_format("kakaotalk", (".txt",), _parse, sniff=_is_chat)
KAKAOTALK_MAC = conversation_format(
    "kakaotalk-mac", (".csv",), _parse_mac, sniff=lambda path, head: _MAC_HEADER.match(head) is not None
)
