"""Files with lines of two formats, such as a chat and captions pasted one below the other."""

from __future__ import annotations

import re
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.data.formats.checks import shown_text

__all__ = ["check_not_mixed", "may_be_mixed"]

_CLOCK = r"(?:\d+:)?\d{1,2}:\d{2}[.,]\d{3}"
# Lines that only a program writes; in words about a format they do not stand alone.
_MARKS = {
    "vtt or srt": re.compile(
        rf"^(?:\ufeff?WEBVTT|[ \t]*{_CLOCK}[ \t]*-->[ \t]*{_CLOCK}(?:[ \t].*)?)$", re.MULTILINE
    ),
    "kakaotalk": re.compile(
        r"^(?:(?:저장한 날짜|Date Saved) ?:.*\d.*"
        r"|-{10,} (?:\d{4}년 \d{1,2}월 \d{1,2}일 .요일|\w+day, .* \d{4}) -{10,})$",
        re.MULTILINE,
    ),
}
_FORMATS = {"vtt": "vtt or srt", "srt": "vtt or srt", "kakaotalk": "kakaotalk", "clova-note": "", "text": ""}


def may_be_mixed(name: str) -> bool:
    """Return whether a format is made of lines, so that its files can be."""
    return name in _FORMATS


def check_not_mixed(path: Path, name: str, text: str) -> None:
    """Check that a text has no line that only another format has.

    Args:
        path: for the error.
        name: the format as which the text is read, one that `may_be_mixed`.
        text: with line feeds only.

    Raises:
        DataError: it has one.
    """
    for other, mark in _MARKS.items():
        if other != _FORMATS[name] and (match := mark.search(text)):
            line = text.count("\n", 0, match.start()) + 1
            raise DataError(
                f"{path}:{line}: read as {name}, but found a line of {other} («{shown_text(match[0])}»); expected "
                "one format; divide the file there"
            )
