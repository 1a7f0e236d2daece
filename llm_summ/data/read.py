"""Dialogues and predictions from data files."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError, PredictionError
from llm_summ.core.progress import say
from llm_summ.data.dialogue import Dialogue, Turn
from llm_summ.data.formats import read_table
from llm_summ.data.source import resolve_source
from llm_summ.data.table import Record, Table
from llm_summ.data.turn_list import read_turns, turn_texts

__all__ = [
    "DIALOGUE_COLUMNS",
    "dialogue_column",
    "dialogue_text",
    "given_turns",
    "read_data_table",
    "read_dialogues",
    "read_hypotheses",
    "reference_columns",
    "table_dialogues",
    "text_of",
    "topic_columns",
]

DIALOGUE_COLUMNS = ("fname", "dialogue|turns")
"""What a data file must have: an id, and the dialogue as a text or as a list of turns."""

_REFERENCE = re.compile(r"summary(?:[ ._-]?\d+)?")
_TOPIC = re.compile(r"topic(?:[ ._-]?\d+)?")
_LIKE_A_REFERENCE = re.compile(
    r"(?!.*(?:len|token|count|score|rouge|model|id$))(?!.*\n).*summar(?:y|ies).*|(?:gold|references?|labels?|요약문?)\W?\d*",
    re.IGNORECASE,
)


def read_dialogues(
    source: str | Path | Sequence[str | Path],
    *,
    references: bool = False,
    shuffle: int | None = None,
    limit: int | None = None,
    option: str | None = None,
) -> list[Dialogue]:
    """Read a data file, or several as one.

    Columns: `fname` and `dialogue` (in JSONL and parquet also `turns`, a list of texts or of objects such as
    ``{"speaker": "#Person1#", "text": "…", "start": 2.5, "end": 4}``); `summary` (references, each optional) and
    `topic`. Every column called summary, or summary and a number, is a reference, in the order of the file:
    `summary1`, `summary_1`, `summary-1`, `summary 1` and `summary.1`, which is what pandas calls a second
    `summary`; the numbers may begin anywhere, and several forms may be mixed. A column of another name that may
    hold references (`Summary`, `summary_en`, `reference`) is not read; a notice names it. Other columns, such as
    an index without a name, are ignored.

    No text is changed. A line break within a turn of `turns` is kept, in the text and in the turn.

    Args:
        source: the path of a file in one of the formats in `formats/`, or ``sample:train|dev|test``; or several.
        references: whether every row must have at least one reference.
        shuffle: the seed of a random order; None keeps the order of the file.
        limit: how many rows to take, after the shuffle.
        option: as for `resolve_source`: the option that names another file, for the error if one is missing.

    Raises:
        DataError: a file is missing, unreadable or empty, lacks a column, or a row is not usable.
    """
    dialogues: list[Dialogue] = []
    seen: dict[str, tuple[Table, Record]] = {}
    for name in [source] if isinstance(source, str | Path) else source:
        table = read_data_table(resolve_source(str(name), option=option))
        dialogues += table_dialogues(table, seen, references=references)
    if shuffle is not None:
        random.Random(shuffle).shuffle(dialogues)
    return dialogues[:limit]


def read_data_table(path: Path) -> Table:
    """Read a data file without any check of its rows.

    Raises:
        DataError: the file cannot be read, lacks a column, or has no rows.
    """
    table = read_table(path, DIALOGUE_COLUMNS)
    if not table.records:
        raise DataError(f"{path}: no rows; expected at least one dialogue")
    taken = set(table.columns)
    free = (name for number in count(2) if (name := f"summary{number}") not in taken)
    names = chain([] if reference_columns(table.columns) else ["summary"], free)
    for name in table.columns:
        if _LIKE_A_REFERENCE.fullmatch(name) and not _REFERENCE.fullmatch(name):
            shown = " ".join(name.split())
            say(f"{table.path}: column {shown} is not read; if it holds references, call it {next(names)}")
    return table


def table_dialogues(
    table: Table, seen: dict[str, tuple[Table, Record]] | None = None, *, references: bool = False
) -> list[Dialogue]:
    """Return the dialogues of a table, one for each record.

    Args:
        table: the file.
        seen: the rows of the ids in earlier files; the ids of this file are added.
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
            other, earlier = seen[dialogue.id]
            where = f"{table.unit} {earlier.line}" if other is table else other.place(earlier)
            raise DataError(
                f"{table.place(record)}: duplicate id {dialogue.id}, first in {where}; ids must differ"
            )
        seen[dialogue.id] = (table, record)
        dialogues.append(dialogue)
    return dialogues


def read_hypotheses(path: Path) -> dict[str, str]:
    """Read a prediction file with the columns `fname` and `summary`.

    Returns:
        the summary of each id, unchanged; it may be empty.

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
    """Return the columns that hold references."""
    return [name for name in columns if _REFERENCE.fullmatch(name)]


def topic_columns(columns: Sequence[str]) -> list[str]:
    """Return the columns that hold topics."""
    return [name for name in columns if _TOPIC.fullmatch(name)]


def text_of(table: Table, record: Record, column: str) -> str:
    """Return a field as text; empty if it is null or missing.

    Raises:
        DataError: the field holds something else than a text.
    """
    value = record.values.get(column)
    if value is None or isinstance(value, str):
        return value or ""
    raise DataError(f"{table.place(record)}: {column}: found {type(value).__name__}; expected a text")


def dialogue_column(record: Record) -> str:
    """Return the column with the dialogue: `dialogue`, or `turns` if that is blank."""
    text = record.values.get("dialogue")
    if "turns" not in record.values:
        return "dialogue"
    # Next to a column `dialogue`, one called `turns` may be the number of turns.
    blank = isinstance(text, str) and not text.strip() and isinstance(record.values["turns"], list)
    return "turns" if text is None or blank else "dialogue"


def dialogue_text(table: Table, record: Record) -> str:
    """Return the text of the dialogue in the `dialogue_column` of a row; of a list, each turn begins a line.

    Raises:
        DataError: the field is neither a text nor a list of turns.
    """
    turns = _turn_list(table, record)
    return text_of(table, record, "dialogue") if turns is None else "\n".join(turn_texts(*turns))


def given_turns(table: Table, record: Record) -> tuple[Turn, ...]:
    """Return the turns of a row that has a list of them with speakers or times; none for any other row.

    Raises:
        DataError: the field is not a list of turns.
    """
    turns = _turn_list(table, record)
    return () if turns is None else read_turns(*turns)


def _turn_list(table: Table, record: Record) -> tuple[str, list[Any]] | None:
    """Return the column `turns` as an error names it, and the list in it; None if the dialogue is a text."""
    if dialogue_column(record) == "dialogue":
        return None
    turns = record.values["turns"]
    where = f"{table.place(record)}: turns"
    if turns is None or turns == "":
        return where, []
    if not isinstance(turns, list):
        raise DataError(
            f'{where}: found {type(turns).__name__}; expected a list such as [{{"speaker": "A", "text": "…"}}]'
        )
    return where, turns


def _dialogue(table: Table, record: Record, references: bool) -> Dialogue:
    where = table.place(record)
    identity = text_of(table, record, "fname").strip()
    given = given_turns(table, record)
    text = "\n".join(map(str, given)) if given else dialogue_text(table, record)
    if not identity:
        raise DataError(f"{where}: empty fname; every row needs an id")
    if len(identity.splitlines()) > 1:
        raise DataError(f"{where}: fname: found a line break in {identity!r}; expected an id on one line")
    if not text.strip():
        raise DataError(f"{where}: {identity}: empty dialogue; fill it in or remove the row")
    columns = reference_columns(list(record.values))
    summaries = tuple(value for column in columns if (value := text_of(table, record, column)).strip())
    if references and not summaries:
        if not columns:
            raise DataError(
                f"{table.path}: no column summary (or summary1, summary2 …); "
                f"found {', '.join(name or '(no name)' for name in record.values)}; this command needs references"
            )
        raise DataError(f"{where}: {identity}: empty {', '.join(sorted(columns))}; every row needs a reference")
    # Of several columns, `topic` comes first.
    columns = sorted(topic_columns(list(record.values)), key=lambda name: name != "topic")
    topics = (text_of(table, record, name) for name in columns if record.values[name] is not None)
    return Dialogue(identity, text, summaries, next(topics, None) or None, given)
