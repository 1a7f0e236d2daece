"""말평 (2024, 일상 대화 요약): an array of dialogues, whose summaries are written into ``output`` and handed in.

The file is written as it was read, with the summaries of the table in ``output``. Dialogues of other files can be
written in this form, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.data.dialogue import Turn
from llm_summ.data.formats.checks import check_values
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format, join_turns
from llm_summ.data.formats.json_node import Node, has_keys, read_json
from llm_summ.data.table import Record, Table

__all__ = ["MALPYEONG"]


def _parse(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    for number, row in enumerate(read_json(source), 1):
        inputs = row["input"]
        turns = _turns(inputs["conversation"])
        reading.add(
            row["id"].text() or f"{source.stem}-{number}",
            turns,
            number,
            summary=row["output"].text(),
            topic=", ".join(inputs["subject_keyword"].texts()) or None,
            input=inputs.value,
        )
    return reading


def _turns(conversation: Node) -> list[Turn]:
    """Return the turns; a speaker may have several utterances in a row, which are one turn."""
    return join_turns(
        Turn(utterance["speaker"].text() or None, utterance["utterance"].text()) for utterance in conversation
    )


def _write(table: Table, path: Path) -> bytes:
    rows = []
    for record in table.records:
        summary = record.values.get("summary")
        if summary is not None and not isinstance(summary, str):
            raise DataError(
                f"{table.place(record)}: summary: found {type(summary).__name__}; expected a text or nothing"
            )
        rows.append({"id": record.values.get("fname"), "input": _input(table, record), "output": summary or ""})
        check_values(lambda record=record: table.place(record), rows[-1])  # type: ignore[misc]
    try:
        return (json.dumps(rows, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise DataError(f"{path}: found a number that is not finite, which JSON does not have") from error


def _input(table: Table, record: Record) -> dict[str, Any]:
    """Return the input of a row as it was read, or made from its turns if they are others."""
    from llm_summ.data.read import table_dialogues

    [dialogue] = table_dialogues(Table(table.path, table.columns, [record], format=table.format))
    turns = [(turn.speaker or "", turn.text) for turn in dialogue.turns]
    given = record.values.get("input")
    if isinstance(given, dict) and isinstance(given.get("conversation"), list):
        read = [(turn.speaker or "", turn.text) for turn in _turns(Node(given["conversation"], table.path))]
        if read == turns:
            return given
    keywords = given.get("subject_keyword") if isinstance(given, dict) else None
    topic = record.values.get("topic")
    return {
        "conversation": [{"speaker": speaker, "utterance": text} for speaker, text in turns],
        "subject_keyword": keywords or ([topic] if isinstance(topic, str) and topic else []),
    }


def _is_malpyeong(path: Path, head: bytes) -> bool:
    return has_keys(head, "input", "conversation", "utterance")


MALPYEONG = conversation_format("malpyeong", (".json",), _parse, sniff=_is_malpyeong, unit="row", write=_write)
