"""Dialogues and predictions from data files."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError, PredictionError
from llm_summ.core.progress import say
from llm_summ.data.dialogue import Dialogue
from llm_summ.data.source import resolve_source
from llm_summ.data.table import Record, Table, place, read_table

__all__ = [
    "DIALOGUE_COLUMNS",
    "SAID_KEYS",
    "SPEAKER_KEYS",
    "dialogue_column",
    "dialogue_text",
    "read_dialogues",
    "read_hypotheses",
    "reference_columns",
    "say_unread",
    "table_dialogues",
    "text_of",
    "topic_columns",
    "turn_keys",
]

DIALOGUE_COLUMNS = ("fname", "dialogue|turns")
"""What a data file must have: an id, and the dialogue as a text or as a list of turns."""

_REFERENCE = re.compile(r"summary(?:[ ._-]?\d+)?")
_TOPIC = re.compile(r"topic(?:[ ._-]?\d+)?")
_LIKE_A_REFERENCE = re.compile(
    r"(?!.*(?:len|token|count|score|rouge|model|id$)).*summar(?:y|ies).*|(?:gold|references?|labels?|요약문?)\W?\d*",
    re.IGNORECASE,
)
SPEAKER_KEYS = ("speaker", "role", "name", "from")
SAID_KEYS = ("text", "content", "utterance", "value")
"""What a turn of a chat may call its speaker, and what was said."""


def read_dialogues(
    source: str | Sequence[str],
    *,
    references: bool = False,
    shuffle: int | None = None,
    limit: int | None = None,
    option: str | None = None,
) -> list[Dialogue]:
    """Read a data file, or several as one.

    Columns: `fname` and `dialogue` (in JSONL and parquet also `turns`, a list of texts or of objects such as
    ``{"speaker": "#Person1#", "text": "…"}``); `summary` (references, each optional) and `topic`. Every column
    called summary, or summary and a number, is a reference, in the order of the file: `summary1`, `summary_1`,
    `summary-1`, `summary 1` and `summary.1`, which is what pandas calls a second `summary`; the numbers may begin
    anywhere, and several forms may be mixed. A column of another name that may hold references (`Summary`,
    `summary_en`, `reference`) is not read; a notice names it. Other columns, such as an index without a name, are
    left alone.

    No text is changed: a line break within a turn of `turns` stays, and what follows it is a line without a
    speaker.

    Args:
        source: a path that ends in .csv, .jsonl or .parquet, or ``sample:train|dev|test``; or several of them.
        references: whether every row must have at least one reference.
        shuffle: the seed of a random order; None keeps the file's.
        limit: how many rows to take, after the shuffle.
        option: as for `resolve_source`: what names another file, where one is missing.

    Raises:
        DataError: a file is missing, unreadable or empty, lacks a column, or a row is not usable.
    """
    dialogues: list[Dialogue] = []
    seen: dict[str, tuple[Path, int]] = {}
    for one in [source] if isinstance(source, str) else source:
        path = resolve_source(one, option=option)
        table = read_table(path, DIALOGUE_COLUMNS)
        if not table.records:
            raise DataError(f"{path}: no rows; expected at least one dialogue")
        say_unread(table)
        dialogues += table_dialogues(table, seen, references=references)
    if shuffle is not None:
        random.Random(shuffle).shuffle(dialogues)
    return dialogues[:limit]


def table_dialogues(
    table: Table, seen: dict[str, tuple[Path, int]] | None = None, *, references: bool = False
) -> list[Dialogue]:
    """The dialogues of a file that has been read, one a record.

    Args:
        table: the file.
        seen: where the ids of the files before it stand; this one's are added.
        references: whether every row must have at least one reference.

    Raises:
        DataError: a row is not usable.
    """
    seen = {} if seen is None else seen
    table.refuse_empty_rows()
    dialogues = []
    for record in table.records:
        dialogue = _dialogue(table, record, references)
        if dialogue.id in seen:
            other, line = seen[dialogue.id]
            first = f"line {line}" if other == table.path else place(other, line)
            raise DataError(f"{table.place(record)}: id {dialogue.id} stands already in {first}; ids must differ")
        seen[dialogue.id] = (table.path, record.line)
        dialogues.append(dialogue)
    return dialogues


def read_hypotheses(path: Path) -> dict[str, str]:
    """Read a prediction file with the columns `fname` and `summary`.

    Returns:
        the summary of each id, as it stands; it may be empty.

    Raises:
        PredictionError: the file cannot be used.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise PredictionError(f"{path}: {what}; expected predictions as CSV or JSONL with fname and summary")
    hypotheses: dict[str, str] = {}
    try:
        table = read_table(path, ("fname", "summary"))
        table.refuse_empty_rows()
        for record in table.records:
            identity = text_of(table, record, "fname").strip()
            if identity in hypotheses:
                raise PredictionError(
                    f"{table.place(record)}: id {identity or '(empty)'} is there twice; expected a row for each id"
                )
            hypotheses[identity] = text_of(table, record, "summary")
    except DataError as error:
        raise PredictionError(str(error)) from error
    return hypotheses


def reference_columns(columns: Sequence[str]) -> list[str]:
    """Return those of the columns that hold references."""
    return [name for name in columns if _REFERENCE.fullmatch(name)]


def topic_columns(columns: Sequence[str]) -> list[str]:
    """Return those of the columns that hold topics."""
    return [name for name in columns if _TOPIC.fullmatch(name)]


def say_unread(table: Table) -> None:
    """Print a notice for each column that may hold references and is not read as such."""
    free = (name for number in count(2) if (name := f"summary{number}") not in table.columns)
    names = chain([] if reference_columns(table.columns) else ["summary"], free)
    for name in table.columns:
        if _LIKE_A_REFERENCE.fullmatch(name) and not _REFERENCE.fullmatch(name):
            shown = " ".join(name.split())
            say(f"{table.path}: column {shown} is not read; if it holds references, call it {next(names)}")


def text_of(table: Table, record: Record, column: str) -> str:
    """A field as text; empty where it is null or missing.

    Raises:
        DataError: it is no text.
    """
    value = record.values.get(column)
    if value is None or isinstance(value, str):
        return value or ""
    raise DataError(f"{table.place(record)}: {column}: found {type(value).__name__}; expected a text")


def dialogue_column(record: Record) -> str:
    """Where the dialogue stands: in `dialogue`, or in `turns` if that is blank."""
    text = record.values.get("dialogue")
    if "turns" not in record.values:
        return "dialogue"
    # Beside a column `dialogue`, one called `turns` may be a number of turns.
    blank = isinstance(text, str) and not text.strip() and isinstance(record.values["turns"], list)
    return "turns" if text is None or blank else "dialogue"


def dialogue_text(table: Table, record: Record) -> str:
    """The dialogue, a turn a line: what stands in its `dialogue_column`.

    Raises:
        DataError: neither is what it should be.
    """
    if dialogue_column(record) == "dialogue":
        return text_of(table, record, "dialogue")
    turns = record.values["turns"]
    if turns is None or turns == "":
        return ""
    where = f"{table.place(record)}: turns"
    if not isinstance(turns, list):
        raise DataError(
            f'{where}: found {type(turns).__name__}; expected a list such as [{{"speaker": "A", "text": "…"}}]'
        )
    return "\n".join(_turns(where, turns))


def _turns(where: str, turns: list[Any]) -> Iterator[str]:
    for number, turn in enumerate(turns, 1):
        if isinstance(turn, str):
            yield turn
            continue
        if not isinstance(turn, dict):
            raise DataError(f"{where}: turn {number}: found {type(turn).__name__}; expected a text or an object")
        speaker, said = turn_keys(turn)
        if said is None:
            raise DataError(
                f"{where}: turn {number}: found {' '.join(', '.join(turn).split()) or 'nothing'}; expected a text "
                f"under {' or '.join(SAID_KEYS)}, and a speaker under {' or '.join(SPEAKER_KEYS)}"
            )
        for key in filter(None, (speaker, said)):
            if not isinstance(turn[key], str):
                raise DataError(
                    f"{where}: turn {number}: {key}: found {type(turn[key]).__name__}; expected a text"
                )
        yield f"{turn[speaker]}: {turn[said]}" if speaker and turn[speaker] else turn[said]


def turn_keys(turn: dict[str, Any]) -> tuple[str | None, str | None]:
    """Under which keys a turn has its speaker and what was said; None where it has none."""
    speaker, said = (
        next((key for key in keys if turn.get(key) is not None), None) for keys in (SPEAKER_KEYS, SAID_KEYS)
    )
    return speaker, said


def _dialogue(table: Table, record: Record, references: bool) -> Dialogue:
    where = table.place(record)
    identity, text = text_of(table, record, "fname").strip(), dialogue_text(table, record)
    if not identity:
        raise DataError(f"{where}: empty fname; every row needs an id")
    if len(identity.splitlines()) > 1:
        raise DataError(f"{where}: fname: found a line break in {identity!r}; expected an id on one line")
    if not text.strip():
        raise DataError(f"{where}: {identity}: empty dialogue; fill it in or remove the row")
    columns = reference_columns(list(record.values))
    found = tuple(value for column in columns if (value := text_of(table, record, column)).strip())
    if references and not found:
        if not columns:
            raise DataError(
                f"{table.path}: no column summary (or summary1, summary2 …); "
                f"found {', '.join(name or '(no name)' for name in record.values)}; this command needs references"
            )
        raise DataError(f"{where}: {identity}: empty {', '.join(sorted(columns))}; every row needs a reference")
    named = sorted(topic_columns(list(record.values)), key=lambda name: name != "topic")
    topics = (text_of(table, record, name) for name in named if record.values[name] is not None)
    topic = next(topics, None)
    return Dialogue(identity, text, found, topic or None)
