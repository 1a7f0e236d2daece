"""AI Hub: dialogue summaries and everyday dialogues, minutes (582), and meetings (464)."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.data.dialogue import Turn
from llm_summ.data.formats.checks import shown_text
from llm_summ.data.formats.conversation import Reading, ReadOptions, Source, conversation_format, join_turns
from llm_summ.data.formats.json_node import Node, has_keys, read_json
from llm_summ.data.formats.plain_text import spoken_lines

__all__ = ["AIHUB_DIALOGUE", "AIHUB_MEETING", "AIHUB_MINUTES"]

_SIGN = (
    r"#@(?:시스템|이모티콘)#(?:[가-힣A-Za-z]{1,8}#)?"  # 사진, 동영상, 검색, 지도, 파일, 송금, 삭제, 기타, 하트, …
)
_ONLY_SIGNS = re.compile(rf"(?:{_SIGN}\s*)+")
_DELETED_SIGN = re.compile(r"#@시스템#삭제#\s*")
_NOISE = re.compile(r"@(?:웃음|목청|박수|노래)|/\((?:noise|bgm|laugh|[a-z]+)\)|(?<!\S)[a-z]/\s?")
_TWO_FORMS = re.compile(r"\(([^()]*)\)/\(([^()]*)\)")
_SPEAKER_MARK = re.compile(r"(?:(?<!\s)\s++)?[○◯]\s*+(?=\S)")
_NAMED = re.compile(
    r"(?P<name>\S+(?: \S+){0,3}?)(?: {2,}|[ \t]*\n)(?P<text>.*)|(?P<label>\S+(?: \S+)?): +(?P<words>.*)", re.DOTALL
)
_OFFICE = re.compile(r"\S*(?:장|위원|의원|장관|차관|관|원장|대리|사무처장|총장|청장|국장|과장|간사|대표|감사)\Z")


def _parse_dialogue(source: Source, options: ReadOptions) -> Reading:
    reading = Reading()
    for number, item in enumerate(read_json(source)["data"], 1):
        info = item["header"]["dialogueInfo"]
        body = item["body"]
        utterances = body if body.is_list else body["dialogue"]
        began = next((when for one in utterances if (when := _when(one)) is not None), None)
        turns: list[Turn] = []
        pieces: list[list[str]] = []  # of the text of each turn
        last: tuple[str, str | None] | None = None
        for one in utterances:
            text, speaker = one["utterance"].text().strip(), one["participantID"].text() or None
            kind = _kind(text)
            if kind is not None and kind not in options.keep:
                reading.dropped[kind] += 1
                continue
            when = _when(one)
            start = None if when is None or began is None else (when - began).total_seconds()
            turn = (one["turnID"].text(), speaker)
            if turns and turn[0] and turn == last:
                pieces[-1].append(text)
            else:
                turns.append(Turn(speaker, "", start))
                pieces.append([text])
            last = turn
        summary = None if body.is_list else body["summary"].text()
        reading.add(
            info["dialogueID"].text() or f"{source.stem}-{number}",
            [turn._replace(text=" ".join(texts)) for turn, texts in zip(turns, pieces, strict=True)],
            number,
            summary=summary,
            topic=info["topic"].text() or None,
            date=None if began is None else began.isoformat(" ", "minutes"),
        )
    return reading


def _kind(text: str) -> str | None:
    if not text:
        return "empty utterance"
    if _DELETED_SIGN.fullmatch(text):
        return "deleted"
    return "placeholder" if _ONLY_SIGNS.fullmatch(text) else None


def _when(utterance: Node) -> datetime | None:
    try:
        return datetime.fromisoformat(f"{utterance['date'].text()} {utterance['time'].text()}").replace(
            tzinfo=None
        )
    except ValueError:
        return None


def _parse_minutes(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    whole = read_json(source)
    kinds: dict[str, None] = {}
    for number, document in enumerate(whole if whole.is_list else [whole], 1):
        meta, refined, notes = document["Meta(Acqusition)"], document["Meta(Refine)"], document["Annotation"]
        kind = meta["doc_type"].text()
        if kind and kind != "minute":
            kinds[kind] = None
            reading.dropped[f"{shown_text(kind)} document"] += 1
            continue
        identity = "-".join(filter(None, (meta["doc_id"].text(), refined["passage_id"].text())))
        reading.add(
            identity or f"{source.stem}-{number}",
            _minutes(refined["passage"].text()),
            number,
            summary=notes["summary1"].text() or notes["summary3"].text(),
            topic=meta["doc_name"].text() or None,
            extractive=notes["summary2"].text() or None,
            in_two_or_three_sentences=notes["summary3"].text() or None,
        )
    if kinds and not reading.conversations:
        raise DataError(
            f"{source.path}: found documents of the type {shown_text(', '.join(kinds))}; expected minutes "
            "(doc_type minute), which are the only conversations of this data set"
        )
    return reading


def _minutes(passage: str) -> list[Turn]:
    """Return the turns of minutes: a mark before each speaker (``○위원장 김민지``), or a label on each line."""
    passage = passage.replace("\r\n", "\n")
    if not _SPEAKER_MARK.search(passage):
        return spoken_lines(passage)
    first, *parts = _SPEAKER_MARK.split(passage)
    turns = [Turn(None, first.strip())] if first.strip() else []
    return [*turns, *(_after_mark(part.strip()) for part in parts)]


def _after_mark(part: str) -> Turn:
    """Return the turn after a mark: the name ends at two spaces or a line end, or after the office and a word."""
    if match := _NAMED.fullmatch(part):
        return Turn(match["name"] or match["label"], (match["text"] or match["words"] or "").strip())
    words = part.split(" ")
    count = 2 if any(map(_OFFICE.fullmatch, words[:2])) else 1
    return Turn(" ".join(words[:count]), " ".join(words[count:]).strip())


def _parse_meeting(source: Source, _: ReadOptions) -> Reading:
    reading = Reading()
    whole = read_json(source)
    for number, meeting in enumerate(whole if whole.is_list else [whole], 1):
        turns = []
        for utterance in meeting["utterance"]:
            text = _spelt(utterance["form"].text() or utterance["original_form"].text())
            start, end = (
                _first_time(utterance, names) for names in (("start", "start_time"), ("end", "end_time"))
            )
            turns.append(Turn(utterance["speaker_id"].text() or None, text, start, end))
        reading.dropped["empty utterance"] += sum(not turn.text for turn in turns)
        metadata = meeting["metadata"]
        topic = (metadata["topic"].texts() or metadata["title"].texts()) if metadata.is_object else []
        identity = meeting["id"].text() or (source.stem if number == 1 else f"{source.stem}-{number}")
        reading.add(identity, join_turns(turns), number, topic=", ".join(topic) or None)
    return reading


def _spelt(text: str) -> str:
    """Return words without noise; of two spellings ``(한글)/(원문)`` the second, which is how one writes it."""
    text = _TWO_FORMS.sub(lambda match: "" if not match[1] and match[2] == "idiom" else match[2], text)
    return " ".join(_NOISE.sub(" ", text).split())


def _first_time(utterance: Node, names: tuple[str, ...]) -> float | None:
    return next((time for name in names if (time := utterance[name].seconds()) is not None), None)


def _is_meeting(path: Path, head: bytes) -> bool:
    return has_keys(head, "utterance", "original_form") and not has_keys(head, "document")


AIHUB_DIALOGUE = conversation_format(
    "aihub-dialogue",
    (".json",),
    _parse_dialogue,
    sniff=lambda path, head: has_keys(head, "dialogueInfo"),
    unit="row",
)
AIHUB_MINUTES = conversation_format(
    "aihub-582",
    (".json",),
    _parse_minutes,
    sniff=lambda path, head: has_keys(head, "Meta(Acqusition)"),
    unit="row",
)
AIHUB_MEETING = conversation_format("aihub-464", (".json",), _parse_meeting, sniff=_is_meeting, unit="row")
