"""A table whose dialogues, summaries and other texts have tags in place of names, and masks in place of values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from llm_summ.data.formats.conversation import turn_object
from llm_summ.data.preparation import Handling, Prepared, prepare
from llm_summ.data.read import dialogue_column, table_dialogues
from llm_summ.data.table import Record, Table

__all__ = ["prepared_table"]


def prepared_table(table: Table, handling: Handling) -> tuple[Table, list[Prepared]]:
    """Return a table as a model may read it, and its dialogues.

    Every text of a row changes with its dialogue, wherever it is, but for the id: references, the topic, further
    columns, and texts in lists and objects. A list of utterances under ``conversation``, the turns as a corpus has
    them, is left out.

    Raises:
        DataError: a row is not usable.
    """
    records, all_prepared = [], []
    for record, dialogue in zip(table.records, table_dialogues(table), strict=True):
        column = dialogue_column(record)
        others = {
            name: _without_conversation(value)
            for name, value in record.values.items()
            if name not in ("fname", column)
        }
        # As references they get the tags and masks of the turns.
        prepared = prepare(replace(dialogue, references=tuple(_texts(others))), handling)
        changed = _with_texts(others, iter(prepared.dialogue.references))
        changed["fname"] = record.values["fname"]
        changed[column] = prepared.dialogue.text
        if column == "turns":
            changed[column] = [turn_object(turn) for turn in prepared.dialogue.turns]
        records.append(Record(record.line, {name: changed[name] for name in record.values}))
        all_prepared.append(prepared)
    return replace(table, records=records), all_prepared


def _without_conversation(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("conversation"), list):
        return {name: item for name, item in value.items() if name != "conversation"}
    return value


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts of a JSON value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _with_texts(value: Any, texts: Iterator[str]) -> Any:
    """Return a JSON value with other texts, in the order of `_texts`."""
    if isinstance(value, str):
        return next(texts)
    if isinstance(value, dict):
        return {name: _with_texts(item, texts) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_texts(item, texts) for item in value]
    return value
