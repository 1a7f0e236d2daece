"""What readers of chats, transcripts and corpora have in common: conversations, and the table made from them.

A reader gets a `Source` (the content of a file, or of a file in an archive) and `ReadOptions`, and returns a
`Reading`: conversations of turns, and counts of what was dropped. Chats, which go on for months, are cut into
dialogues by `cut_messages` (`chats.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from llm_summ.core.errors import DataError
from llm_summ.core.formatting import counted
from llm_summ.core.progress import say
from llm_summ.data.dialogue import Turn
from llm_summ.data.encoding import decode_text, read_content
from llm_summ.data.formats.checks import check_values
from llm_summ.data.formats.format import Format
from llm_summ.data.formats.mixed import check_not_mixed, may_be_mixed
from llm_summ.data.table import Record, Table

__all__ = [
    "DROPPED_KINDS",
    "MAX_BYTES",
    "Conversation",
    "ReadOptions",
    "Reading",
    "Source",
    "UnknownContentError",
    "as_table",
    "conversation_format",
    "join_turns",
    "read_conversations",
    "read_source",
    "summary_line",
    "turn_object",
]

MAX_BYTES = 300_000_000
"""The largest chat, transcript or corpus file that is read; JSON takes about six times as much memory."""

DROPPED_KINDS = ("system", "deleted", "placeholder")
"""What is not a message of anybody, and is dropped unless `ReadOptions.keep` names it."""

_SENTENCE_END = re.compile(r"[.?!…~。][\"'”’)]*\Z")
_PAUSE = 2.0  # seconds of silence that end a turn without a speaker
_LONG_TURN = 300  # characters after which a turn without a speaker is not continued


class UnknownContentError(DataError):
    """A file is none that any format reads; in an archive it is left out, as a readme."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How chats are read.

    Attributes:
        cut: where a chat is cut into dialogues: at silences (``gap``), at midnight (``day``) or nowhere
            (``whole``).
        gap_minutes: a silence of this length or more divides two dialogues.
        keep: kinds of lines in `DROPPED_KINDS` that are kept as turns.
    """

    cut: Literal["gap", "day", "whole"] = "gap"
    gap_minutes: float = 180
    keep: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a file in an archive.

    Attributes:
        path: its name; of a file in an archive ``archive.zip/folder/name.txt``.
        content: its bytes.
    """

    path: Path
    content: bytes = field(repr=False)

    def text(self) -> str:
        """Return the text, with line feeds only.

        Raises:
            DataError: it is not a text in UTF-8 or CP949.
        """
        return decode_text(self.path, self.content)[0].replace("\r\n", "\n").replace("\r", "\n")

    @property
    def stem(self) -> str:
        """The name without folders and ending, in composed Hangul, for ids."""
        return unicodedata.normalize("NFC", self.path.stem) or "dialogue"


@dataclass(slots=True)
class Conversation:
    """A conversation as a reader gives it.

    Attributes:
        id: unique within the file.
        turns: at least one.
        line: the line on which it begins; of JSON the number of the conversation.
        values: further columns, such as `summary` and `topic`.
        derived_id: whether the id was made from the name of the file; then it is changed if another file has it.
    """

    id: str
    turns: list[Turn]
    line: int = 1
    values: dict[str, Any] = field(default_factory=dict)
    derived_id: bool = False


@dataclass(slots=True)
class Reading:
    """The result of reading a file.

    Attributes:
        conversations: in the order of the file.
        dropped: how many lines or messages of each kind were dropped.
        notes: what was assumed.
    """

    conversations: list[Conversation] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, id: str, turns: Sequence[Turn], line: int, **values: Any) -> None:
        """Add a conversation, or count it as empty if no turn has words; further columns may be None."""
        spoken = [turn for turn in turns if turn.text.strip()]
        if spoken:
            kept = {name: value for name, value in values.items() if value is not None}
            self.conversations.append(Conversation(id, spoken, line, kept))
        else:
            self.dropped["empty dialogue"] += 1

    def described(self, name: str) -> str:
        """Return what was read, dropped and assumed, for people."""
        turns = sum(len(conversation.turns) for conversation in self.conversations)
        return "; ".join([summary_line(name, len(self.conversations), turns, self.dropped), *self.notes])

    def add_whole(self, source: Source, turns: Sequence[Turn], line: int = 1, **values: Any) -> None:
        """Add the conversation that is the whole of a file, which gives it its id."""
        if any(turn.text.strip() for turn in turns):
            self.add(source.stem, turns, line, **values)
            self.conversations[-1].derived_id = True


def conversation_format(
    name: str,
    suffixes: tuple[str, ...],
    parse: Callable[[Source, ReadOptions], Reading],
    *,
    sniff: Callable[[Path, bytes], bool] | None,
    unit: Literal["line", "row"] = "line",
    write: Callable[[Table, Path], bytes] | None = None,
) -> Format:
    """Return the format of a chat, a transcript or a corpus."""

    def read(path: Path, required: Sequence[str]) -> Table:
        reading = read_source(known, read_content(path, MAX_BYTES), ReadOptions())
        say(f"{path}: {reading.described(known.name)}")
        return as_table(path, known, reading.conversations)

    known = Format(name, suffixes, read=read, write=write, sniff=sniff, unit=unit, parse=parse)
    return known


def read_conversations(path: Path, known: Format, options: ReadOptions) -> Reading:
    """Read a file of a format that has `Format.parse`.

    Raises:
        DataError: it cannot be read, or has no turn.
    """
    return read_source(known, read_content(path, MAX_BYTES), options)


def read_source(known: Format, source: tuple[Path, bytes] | Source, options: ReadOptions) -> Reading:
    """Parse a content; see `read_conversations`."""
    where = source if isinstance(source, Source) else Source(*source)
    assert known.parse is not None, known
    if not where.content.strip():
        raise DataError(f"{where.path}: empty file; expected {known.name}")
    if may_be_mixed(known.name):
        check_not_mixed(where.path, known.name, where.text())
    reading = known.parse(where, options)
    if not reading.conversations:
        found = _listed(reading.dropped) or "nothing that is a turn"
        raise DataError(f"{where.path}: no dialogue; read as {known.name}, found {found}; expected turns")
    return reading


def as_table(path: Path, known: Format, conversations: Iterable[Conversation]) -> Table:
    """Return a table with a row for each conversation.

    Raises:
        DataError: a text has a NUL or half a character, or is too long.
    """
    records: list[Record] = []
    columns: dict[str, None] = dict.fromkeys(("fname", "turns"))
    for conversation in conversations:
        turns = [turn_object(turn) for turn in conversation.turns]
        values: dict[str, Any] = {"fname": conversation.id, "turns": turns, **conversation.values}
        check_values(partial(known.place, path, conversation.line), values)
        columns.update(dict.fromkeys(values))
        records.append(Record(conversation.line, values))
    return Table(path, tuple(columns), records, format=known)


def summary_line(name: str, dialogues: int, turns: int, dropped: Mapping[str, int]) -> str:
    """Return what was read and what was dropped, for people."""
    count = f"{counted(dialogues, 'dialogue')}, {counted(turns, 'turn')}"
    left_out = _listed(dropped)
    return f"{name + ': ' if name else ''}{count}{'; dropped ' * bool(left_out)}{left_out}"


def join_turns(turns: Iterable[Turn]) -> list[Turn]:
    """Join pieces of speech that a format has cut.

    Pieces of one speaker that follow one another are joined with a space. Pieces without a speaker are joined up
    to the end of a sentence, a pause of two seconds, or 300 characters.
    """
    joined: list[tuple[Turn, list[str]]] = []  # with the pieces of its text: they are joined once, at the end
    for turn in turns:
        text = " ".join(turn.text.split())
        if not text:
            continue
        before, pieces = joined[-1] if joined else (None, [])
        if (
            before is not None
            and before.speaker == turn.speaker
            and (turn.speaker or _continues(before, " ".join(pieces), turn))
        ):
            pieces.append(text)
            joined[-1] = (before._replace(end=turn.end), pieces)
        else:
            joined.append((turn, [text]))
    return [turn._replace(text=" ".join(pieces)) for turn, pieces in joined]


def _continues(before: Turn, text: str, turn: Turn) -> bool:
    pause = turn.start - before.end if turn.start is not None and before.end is not None else 0.0
    return pause < _PAUSE and len(text) < _LONG_TURN and not _SENTENCE_END.search(text)


def turn_object(turn: Turn) -> dict[str, Any]:
    """Return a turn as an object of the column `turns`."""
    values = {"speaker": turn.speaker, "text": turn.text, "start": turn.start, "end": turn.end}
    return {name: value for name, value in values.items() if value is not None}


def _listed(dropped: Mapping[str, int]) -> str:
    return ", ".join(counted(number, _NOUNS.get(kind, kind)) for kind, number in dropped.items() if number)


_NOUNS = {"system": "system line", "deleted": "deleted message"}
