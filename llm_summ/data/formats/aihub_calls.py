"""AI Hub: conversations with call centres of the public and private sectors (71844, 71852), and of finance."""

from __future__ import annotations

from pathlib import Path

from llm_summ.data.dialogue import Turn
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format
from llm_summ.data.formats.json_node import Node, has_keys, read_json
from llm_summ.data.formats.plain_text import spoken_lines

__all__ = ["AIHUB_CALLS", "AIHUB_FINANCE"]


def _parse_calls(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    whole = read_json(source)
    for number, record in enumerate(whole if whole.is_list else [whole], 1):
        reading.add(
            record["source_id"].text() or f"{source.stem}-{number}",
            spoken_lines(record["consulting_content"].text().replace("\r\n", "\n")),
            number,
            summary=_summary(record["instructions"]),
            topic=record["consulting_category"].text() or None,
        )
    return reading


def _summary(instructions: Node) -> str | None:
    """Return the output of the task that is a summary; None if there is none, as in the other labels."""
    for instruction in instructions if instructions.is_list else []:
        for task in instruction["data"]:
            names = task["task"].text() + task["task_category"].text()
            if "요약" in names:
                return task["output"].text() or None
    return None


def _parse_finance(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    whole = read_json(source)
    for number, record in enumerate(whole if whole.is_list else [whole], 1):
        consulting = record["consulting"]
        turns: list[Turn] = []
        for pair in record["qa_data"]:
            question = pair["input"]["question"] if pair["input"].is_object else pair["input"]
            turns += [Turn("고객", question.text().strip()), Turn("상담사", pair["output"].text().strip())]
        reading.dropped["empty text"] += sum(not turn.text for turn in turns)
        reading.add(
            record["source"]["source_id"].text() or f"{source.stem}-{number}",
            turns,
            number,
            summary=consulting["consulting_summary"].text() or None,
            topic=consulting["consulting_topic"].text() or consulting["consulting_category"].text() or None,
        )
    return reading


def _is_finance(path: Path, head: bytes) -> bool:
    return has_keys(head, "consulting") and (has_keys(head, "qa_data") or has_keys(head, "consulting_summary"))


AIHUB_CALLS = conversation_format(
    "aihub-calls",
    (".json",),
    _parse_calls,
    sniff=lambda path, head: has_keys(head, "consulting_content"),
    unit="row",
)
AIHUB_FINANCE = conversation_format("aihub-finance", (".json",), _parse_finance, sniff=_is_finance, unit="row")
