"""The lines of KakaoTalk exports: messages, days, and what the messenger itself writes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal, NamedTuple

__all__ = ["Line", "is_about", "kind_of", "read_line"]

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    *("November", "December"),
)
_MONTH = "|".join((*_MONTHS, *(name[:3] for name in _MONTHS)))
_DATES = {
    "ko": r"(?P<year>\d{4})년 (?P<month>\d{1,2})월 (?P<day>\d{1,2})일",
    "dots": r"(?P<year>\d{4})\. ?(?P<month>\d{1,2})\. ?(?P<day>\d{1,2})\.?",
    "en": rf"(?P<month>{_MONTH})\.? (?P<day>\d{{1,2}}), (?P<year>\d{{4}})",
}
_CLOCK = (
    r"(?:(?P<half>오전|오후|AM|PM) ?)?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2})?"
    r"(?:[ \u202f](?P<after>[AaPp][Mm]))?"
)
_WEEKDAY = r"(?:(?P<before>[A-Z][a-z]+day), )?DATE(?: \(?(?P<after_it>[월화수목금토일])(?:요일)?\)?)?"
_DAYS = [
    re.compile(rf"(?P<dashes>-{{3,}} *)?{_WEEKDAY.replace('DATE', date)}(?: *-{{3,}})?\s*")
    for date in _DATES.values()
]
_DATED = {name: re.compile(rf"{date},? (?:at )?{_CLOCK}(?P<rest>.*)") for name, date in _DATES.items()}
_COMPUTER = re.compile(rf"\[(?P<name>.+?)\] \[{_CLOCK}\](?: (?P<text>.*))?")
_PERSON = r".{1,60}?님"
_CAME = rf"{_PERSON}(?:이|을|과|께서) ?(?:.*님[을과] ?)?(?:들어왔|나갔|퇴장했|초대했|내보냈|입장했)습니다\.?"
_WARNING = r"\s*(?:타인|운영정책|금전|불법).*"
_CAME_LINE, _WARNING_LINE = re.compile(_CAME), re.compile(_WARNING)
_SYSTEM_LINE = re.compile(
    rf"{_CAME}(?:{_WARNING})?"
    r"|.{1,60} (?:joined|left) (?:this|the) chat ?room\.?|.{1,60} invited .{1,200}\."
    r"|.{1,60}님이 (?:방장|부방장)이 되었습니다\.?|운영정책을 위반한 메시지로 신고 접수 시.*"
    r"|타인, 기관 등의 사칭에 유의.*|금전/개인정보를 요구.*"
)
_HIDDEN = re.compile(r"채팅방 관리자가 메시지를 가렸습니다\.?")
_DELETED = re.compile(r"삭제된 메시지입니다\.?|This message was deleted\.?")
_PLACEHOLDER = re.compile(
    r"사진(?: \d+장)?|동영상|\(?이모티콘\)? ?|음성메시지|카카오톡 프로필|(?:보이스톡|페이스톡|그룹콜) .{1,20}"
    r"|라이브톡 (?:시작|종료)|Photos?(?: \d+)?|\d+ photos|Video|(?:\(Emoticon\)|Emoticons?) ?"
    r"|Voice (?:message|note)"
)
_BOTS = frozenset({"방장봇", "오픈채팅봇"})


class Line(NamedTuple):
    """A line of an export.

    Attributes:
        kind: a message, a day, or a line of the messenger with its own time.
        style: which export writes such lines: ``computer``, ``ko``, ``dots`` or ``en``; of a day also how it is
            known: by ``dashes`` or by a ``weekday``.
        when: the time; of a computer's message only its clock is known, and the day is that of `day`.
        speaker: of a message.
        text: the words.
    """

    kind: Literal["message", "day", "system"]
    style: str
    when: datetime
    speaker: str | None = None
    text: str = ""


def read_line(line: str, day: datetime) -> Line | None:
    """Return what a line is; None if it fits no pattern, and so belongs to the message before it.

    Args:
        line: without its line feed.
        day: the last day that was found.
    """
    if match := _COMPUTER.fullmatch(line):
        when = _when(match, day)
        return None if when is None else Line("message", "computer", when, match["name"], match["text"] or "")
    for pattern in _DAYS:
        if (match := pattern.fullmatch(line)) and (when := _when(match)):
            if not match["dashes"] and not (match["before"] or match["after_it"]):
                continue  # a date in a message
            return Line("day", "dashes" if match["dashes"] else "weekday", when)
    for style, pattern in _DATED.items():
        if (match := pattern.fullmatch(line)) and (when := _when(match)):
            return _dated(style, when, match["rest"])
    return None


def kind_of(speaker: str | None, text: str) -> str | None:
    """Return the kind of what is no message of anybody (see `DROPPED_KINDS`); None for a message."""
    text = text.strip()
    if speaker in _BOTS or _HIDDEN.fullmatch(text) or (speaker is None and _is_system(text)):
        return "system"
    if _DELETED.fullmatch(text):
        return "deleted"
    return "placeholder" if _PLACEHOLDER.fullmatch(text) else None


def is_about(text: str, speaker: str) -> bool:
    """Return whether a message of a speaker is the messenger's line about that speaker, as Mac exports have it."""
    return _is_system(text.strip()) and text.strip().startswith((f"{speaker}님", speaker + " "))


def _is_system(text: str) -> bool:
    """Return whether a text is the messenger's own.

    It has one line. Only after a line about who came or left, a second one may warn. Each line has its own
    pattern: one for both would read a long second line again for each end of the first.
    """
    line, line_feed, rest = text.partition("\n")
    if not line_feed:
        return _SYSTEM_LINE.fullmatch(line) is not None
    return _WARNING_LINE.fullmatch(rest) is not None and _CAME_LINE.fullmatch(line.rstrip()) is not None


def _dated(style: str, when: datetime, rest: str) -> Line | None:
    if not rest.strip():
        return Line("day", style, when)
    if rest.startswith(", "):
        name, separator, text = rest[2:].partition(" : ")
        if not separator and name.endswith(" :"):
            return Line("message", style, when, name[:-2], "")
        return Line("message", style, when, name, text) if separator else Line("system", style, when, None, name)
    return Line("system", style, when, None, rest[2:]) if rest.startswith(": ") else None


def _when(match: re.Match[str], day: datetime | None = None) -> datetime | None:
    """Return the time of a match; None for a day or a clock that does not exist."""
    found = match.groupdict()
    hour, minute = int(found.get("hour") or 0), int(found.get("minute") or 0)
    half = (found.get("half") or found.get("after") or "").upper()
    if half in ("오후", "PM") and hour < 12:
        hour += 12
    elif half in ("오전", "AM") and hour == 12:
        hour = 0
    try:
        if day is not None:
            return day.replace(hour=hour, minute=minute)
        month = found["month"]
        number = int(month) if month.isdigit() else [name[:3] for name in _MONTHS].index(month[:3]) + 1
        return datetime(int(found["year"]), number, int(found["day"]), hour, minute)
    except ValueError:
        return None
