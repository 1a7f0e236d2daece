"""Corpora of the National Institute of Korean Language: spoken dialogue (SDRW), messengers (MDRW, MMRW)."""

from __future__ import annotations

from pathlib import Path

from llm_summ.data.dialogue import Turn
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format, join_turns
from llm_summ.data.formats.json_node import has_keys, read_json

__all__ = ["NIKL"]


def _parse(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    whole = read_json(source)
    messenger = whole["id"].text().startswith("M")
    for number, document in enumerate(whole["document"], 1):
        turns = []
        for utterance in document["utterance"]:
            text = utterance["form"].text() or utterance["original_form"].text()
            speaker = utterance["speaker_id"].text() or None
            times = (None, None) if messenger else (utterance["start"].seconds(), utterance["end"].seconds())
            turns.append(Turn(speaker, text.strip(), *times))
        reading.dropped["empty utterance"] += sum(not turn.text for turn in turns)
        identity = document["id"].text() or f"{source.stem}.{number}"
        topic = document["metadata"]["topic"].texts() or whole["metadata"]["topic"].texts()
        spoken = [turn for turn in turns if turn.text]
        # An utterance is a message of a messenger, but a piece of speech.
        kept = spoken if messenger or identity.startswith("M") else join_turns(spoken)
        reading.add(identity, kept, number, topic=", ".join(topic) or None)
    return reading


def _is_nikl(path: Path, head: bytes) -> bool:
    return has_keys(head, "document", "utterance") and (has_keys(head, "speaker_id") or has_keys(head, "form"))


NIKL = conversation_format("nikl", (".json",), _parse, sniff=_is_nikl, unit="row")
