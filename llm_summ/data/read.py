"""Dialogues and predictions from data files."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_summ.data.dialogue import Dialogue
from llm_summ.data.source import resolve_source
from llm_summ.data.table import Record, Table, place, read_table
from llm_summ.errors import DataError, PredictionError

__all__ = [
    "DIALOGUE_COLUMNS",
    "SAID_KEYS",
    "SPEAKER_KEYS",
    "dialogue_text",
    "read_dialogues",
    "read_hypotheses",
    "reference_columns",
    "text_of",
]

DIALOGUE_COLUMNS = ("fname", "dialogue|turns")
"""What a data file must have: an id, and the dialogue as a text or as a list of turns."""

_REFERENCE = re.compile(r"summary\d*")
SPEAKER_KEYS = ("speaker", "role", "name", "from")
SAID_KEYS = ("text", "content", "utterance", "value")
"""What a turn of a chat may call its speaker, and what was said."""


def read_dialogues(
    source: str | Sequence[str],
    *,
    references: bool = False,
    shuffle: int | None = None,
    limit: int | None = None,
) -> list[Dialogue]:
    """Read a data file, or several as one.

    Columns: `fname` and `dialogue` (in JSONL and parquet also `turns`, a list of texts or of objects such as
    ``{"speaker": "#Person1#", "text": "…"}``); `summary` or `summary1`, `summary2` … (references, each optional)
    and `topic`. Other columns, such as an index without a name, are left alone.

    Args:
        source: a path that ends in .csv, .jsonl or .parquet, or ``sample:train|dev|test``; or several of them.
        references: whether every row must have at least one reference.
        shuffle: the seed of a random order; None keeps the file's.
        limit: how many rows to take, after the shuffle.

    Raises:
        DataError: a file is missing, unreadable or empty, lacks a column, or a row is not usable.
    """
    dialogues: list[Dialogue] = []
    seen: dict[str, tuple[Path, int]] = {}
    for one in [source] if isinstance(source, str) else source:
        path = resolve_source(one)
        table = read_table(path, DIALOGUE_COLUMNS)
        if not table.records:
            raise DataError(f"{path}: no rows; expected at least one dialogue")
        for record in table.records:
            dialogue = _dialogue(table, record, references)
            if dialogue.id in seen:
                other, line = seen[dialogue.id]
                first = f"line {line}" if other == path else place(other, line)
                raise DataError(
                    f"{table.place(record)}: id {dialogue.id} stands already in {first}; ids must differ"
                )
            seen[dialogue.id] = (path, record.line)
            dialogues.append(dialogue)
    if shuffle is not None:
        random.Random(shuffle).shuffle(dialogues)
    return dialogues[:limit]


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
        for record in table.records:
            identity = text_of(table, record, "fname").strip()
            if identity in hypotheses:
                raise PredictionError(
                    f"{table.place(record)}: id {identity} stands there twice; expected one row for each id"
                )
            hypotheses[identity] = text_of(table, record, "summary")
    except DataError as error:
        raise PredictionError(str(error)) from error
    return hypotheses


def reference_columns(columns: Sequence[str]) -> list[str]:
    """Those of the columns that hold references."""
    return [name for name in columns if _REFERENCE.fullmatch(name)]


def text_of(table: Table, record: Record, column: str) -> str:
    """A field as text; empty where it is null or missing.

    Raises:
        DataError: it is no text.
    """
    value = record.values.get(column)
    if value is None or isinstance(value, str):
        return value or ""
    raise DataError(f"{table.place(record)}: {column}: found {type(value).__name__}; expected a text")


def dialogue_text(table: Table, record: Record) -> str:
    """The dialogue, a turn a line: the column `dialogue`, or else `turns`.

    Raises:
        DataError: neither is what it should be.
    """
    if record.values.get("dialogue") is not None or "turns" not in record.values:
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
        said = next((turn[key] for key in SAID_KEYS if turn.get(key) is not None), None)
        speaker = next((turn[key] for key in SPEAKER_KEYS if turn.get(key) is not None), None)
        if not isinstance(said, str) or not isinstance(speaker, str | None):
            raise DataError(
                f"{where}: turn {number}: found {', '.join(map(str, turn)) or 'nothing'}; expected a text under "
                f"{' or '.join(SAID_KEYS)}, and a speaker under {' or '.join(SPEAKER_KEYS)}"
            )
        yield f"{speaker}: {said}" if speaker else said


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
    topics = (text_of(table, record, name) for name in ("topic", "topic1") if record.values.get(name) is not None)
    topic = next(topics, None)
    return Dialogue(identity, text, found, topic or None)
