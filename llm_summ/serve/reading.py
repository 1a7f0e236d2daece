"""Dialogues out of a request: texts, turns and files, by the readers of the command line."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llm_summ.core.errors import DataError, InputError
from llm_summ.core.progress import say
from llm_summ.data import Dialogue
from llm_summ.data.formats import named_format, read_table
from llm_summ.data.formats.archive import ARCHIVE, distinct_ids, no_dialogue, numbered, read_files
from llm_summ.data.formats.checks import check_values
from llm_summ.data.formats.conversation import Conversation, ReadOptions, as_table, read_source
from llm_summ.data.formats.format import Format
from llm_summ.data.formats.parquet_file import PARQUET, parquet_rows, unpacks_to_more
from llm_summ.data.formats.plain_text import PLAIN_TEXT
from llm_summ.data.formats.registry import recognise
from llm_summ.data.read import DIALOGUE_COLUMNS, table_dialogues
from llm_summ.data.turn_list import read_turns, turn_texts
from llm_summ.serve.bodies import DialogueBody, DialoguesBody, too_many_dialogues
from llm_summ.serve.errors import HttpError
from llm_summ.serve.limits import MOST_CHARACTERS, MOST_TURNS, ServiceSettings

__all__ = ["Check", "InputDialogue", "Upload", "read_dialogues", "read_uploads", "read_whole"]

Check = Callable[[], None]
"""Is called while something takes long; it raises if no client waits any more."""

_UNPACKED = 10  # times the largest body: what a zip or a parquet file may unpack to
_WHOLE = ReadOptions(cut="whole")


@dataclass(frozen=True, slots=True)
class InputDialogue:
    """A dialogue of a request.

    Attributes:
        dialogue: the dialogue; empty if there is an error.
        format: the name of the format it was read as.
        error: why it cannot be used.
    """

    dialogue: Dialogue
    format: str = ""
    error: InputError | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a request.

    Attributes:
        name: as the client calls it, without folders.
        content: its bytes.
    """

    name: str
    content: bytes


def read_dialogues(body: DialoguesBody, check: Check) -> list[InputDialogue]:
    """Return the dialogues of a JSON request.

    Of several dialogues, those that cannot be read have an error. A single text may be a chat, which is cut into
    dialogues at long silences.

    Args:
        body: the request.
        check: may end the work.

    Raises:
        HttpError: there is nothing to read, or more than one of `text`, `turns` and `dialogues`.
        DataError: the only dialogue cannot be read.
    """
    given = [name for name in ("text", "turns", "dialogues") if getattr(body, name) is not None]
    if len(given) != 1:
        raise HttpError(
            400,
            f"found {' and '.join(given) or 'none'} of text, turns and dialogues; expected one, or a form's file",
            "no_dialogue",
        )
    if body.dialogues is None:
        return _limited(_read_one(body, "text", body.format, ReadOptions()))
    if not body.dialogues:
        raise HttpError(400, "dialogues: found none; expected at least one", "no_dialogue")
    found: list[InputDialogue] = []
    for number, item in enumerate(body.dialogues, 1):
        name = item.id or f"dialogue-{number}"
        check()
        try:
            found.append(_read_whole(item, name, body.format))
        except InputError as error:
            found.append(InputDialogue(Dialogue(name, ""), error=error))
    _check_ids(found)
    return _limited(found)


def read_whole(item: DialogueBody, name: str, format_name: str | None = None) -> Dialogue:
    """Return the dialogue of a text or of turns; a chat is not cut.

    Raises:
        DataError: no reader knows it, it names no speakers, it is too long, or it has more than one conversation.
    """
    [found] = _limited([_read_whole(item, name, format_name)])
    if found.error is not None:
        raise found.error
    return found.dialogue


def read_uploads(
    uploads: Sequence[Upload], format_name: str | None, settings: ServiceSettings, check: Check
) -> list[InputDialogue]:
    """Return the dialogues of files, in order.

    Args:
        uploads: the files.
        format_name: of all files; None recognises each.
        settings: have the limits; a zip or a parquet file may unpack to ten times the largest request.
        check: may end the work.

    Returns:
        the dialogues; a file that cannot be read is one entry with an error, if there are others.

    Raises:
        DataError: the only file cannot be read.
        HttpError: a zip or a parquet file is too large.
    """
    found: list[InputDialogue] = []
    for upload in uploads:
        try:
            check()
            found += _read_upload(upload, format_name, settings, check)
        except InputError as error:
            if len(uploads) == 1:
                raise
            found.append(InputDialogue(Dialogue(Path(upload.name).stem, ""), error=error))
    return _limited(_with_distinct_ids(found))


def _limited(found: Sequence[InputDialogue]) -> list[InputDialogue]:
    """Return dialogues with an error in place of those that are too long."""
    return [one if one.error is not None else _checked(one) for one in found]


def _checked(found: InputDialogue) -> InputDialogue:
    identity, characters = found.dialogue.id, len(found.dialogue.text)
    if characters > MOST_CHARACTERS:
        error = _too_long(identity, characters, MOST_CHARACTERS, "characters")
    elif (turns := len(found.dialogue.turns)) > MOST_TURNS:
        error = _too_long(identity, turns, MOST_TURNS, "turns")
    else:
        return found
    return replace(found, dialogue=Dialogue(identity, ""), error=error)


def _too_long(name: str, number: int, most: int, unit: str) -> DataError:
    return DataError(f"{name}: found {number:,} {unit}; expected at most {most:,} in a dialogue; divide it")


def _read_whole(item: DialogueBody, name: str, format_name: str | None) -> InputDialogue:
    if (item.text is None) == (item.turns is None):
        both = "neither text nor turns" if item.text is None else "text and turns"
        raise DataError(f"{name}: found {both}; expected one of them")
    found = _read_one(item, name, format_name, _WHOLE)
    if len(found) > 1:
        raise DataError(f"{name}: found {len(found)} conversations; expected one")
    return found[0]


def _read_one(item: DialogueBody, name: str, format_name: str | None, options: ReadOptions) -> list[InputDialogue]:
    if item.turns is not None:
        if len(item.turns) > MOST_TURNS:
            raise _too_long(name, len(item.turns), MOST_TURNS, "turns")
        check_values(lambda: name, {"turns": item.turns})
        turns = read_turns(f"{name}: turns", item.turns)
        texts = turn_texts(f"{name}: turns", item.turns)
        if not any(text.strip() for text in texts):
            raise DataError(f"{name}: turns: found no words; expected at least one turn with a text")
        dialogue = Dialogue.of_turns(name, turns) if turns else Dialogue(name, "\n".join(texts))
        return [InputDialogue(dialogue if item.id is None else replace(dialogue, id=item.id), "turns")]
    assert item.text is not None
    # A reader chooses by the name's ending; messages have the name without it.
    shown = name.replace("/", "-")
    path = Path(f"{shown}.txt")
    try:
        content = item.text.encode()
        known = named_format(format_name) if format_name else recognise(path, content)
        found = _parsed(known, path, content, options)
    except UnicodeEncodeError as error:
        raise DataError(f"{name}: found half a character; expected a text") from error
    except DataError as error:
        raise type(error)(str(error).replace(str(path), name)) from error
    if item.id is not None and len(found) == 1:
        return [replace(found[0], dialogue=replace(found[0].dialogue, id=item.id))]
    return found


def _parsed(known: Format, path: Path, content: bytes, options: ReadOptions) -> list[InputDialogue]:
    reading = read_source(known, (path, content), options)
    dialogues = table_dialogues(as_table(path, known, reading.conversations))
    is_plain = known is PLAIN_TEXT and len(dialogues) == 1
    if not is_plain or reading.dropped or reading.notes:
        say(f"{path}: {reading.described(known.name)}")
    return [InputDialogue(dialogue, known.name) for dialogue in dialogues]


def _read_upload(
    upload: Upload, format_name: str | None, settings: ServiceSettings, check: Check
) -> list[InputDialogue]:
    most = settings.max_body * _UNPACKED
    path = Path(upload.name)
    known = named_format(format_name) if format_name else recognise(path, upload.content)
    if known.parse is not None:
        return _parsed(known, path, upload.content, ReadOptions())
    if known is ARCHIVE:
        _refuse_large(upload, most)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"file{path.suffix.lower()}"
        file.write_bytes(upload.content)
        try:
            if known is ARCHIVE:
                return list(_unpacked(file, upload.name, most, check))
            if known is PARQUET:
                if parquet_rows(file) > settings.max_dialogues:
                    raise too_many_dialogues(settings.max_dialogues)
                if unpacks_to_more(file, most, check):
                    raise _too_large(upload.name, most)
            table = read_table(file, DIALOGUE_COLUMNS)
            if not table.records:
                raise DataError(f"{file}: no rows; expected at least one dialogue")
            if len(table.records) > settings.max_dialogues:  # before their turns are read
                raise too_many_dialogues(settings.max_dialogues, len(table.records))
            return [InputDialogue(dialogue, known.name) for dialogue in table_dialogues(table)]
        except InputError as error:
            raise type(error)(str(error).replace(str(file), upload.name)) from error


def _unpacked(file: Path, name: str, most: int, check: Check) -> Iterator[InputDialogue]:
    """Yield the dialogues of a zip."""
    conversations: list[tuple[Conversation, str]] = []
    characters = 0
    for _, format_name, result in read_files(file, ReadOptions(), most=most):
        check()
        if isinstance(result, DataError):
            say(str(result).replace(str(file), name))
            continue
        if result.conversations or result.dropped:
            say(result.described(format_name or name).replace(str(file), name))
        conversations += ((conversation, format_name) for conversation in result.conversations)
        characters += sum(len(turn.text) for one in result.conversations for turn in one.turns)
        if characters > most:
            raise _too_large(name, most)
    if not conversations:
        raise no_dialogue(name)
    distinct_ids([conversation for conversation, _ in conversations])
    dialogues = table_dialogues(as_table(Path(name), ARCHIVE, [conversation for conversation, _ in conversations]))
    for dialogue, (_, format_name) in zip(dialogues, conversations, strict=True):
        yield InputDialogue(dialogue, format_name)


def _refuse_large(upload: Upload, most: int) -> None:
    try:
        total = sum(info.file_size for info in zipfile.ZipFile(io.BytesIO(upload.content)).infolist())
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError):
        return  # its reader says what it is
    if total > most:
        raise _too_large(upload.name, most)


def _too_large(name: str, most: int) -> HttpError:
    return HttpError(413, f"{name}: unpacks to more than {most / 1e6:g} MB; divide it", "body_too_large")


def _check_ids(found: Sequence[InputDialogue]) -> None:
    seen: set[str] = set()
    for one in found:
        if one.dialogue.id in seen:
            raise HttpError(400, f"dialogues: duplicate id {one.dialogue.id}; ids must differ", "duplicate_id")
        seen.add(one.dialogue.id)


def _with_distinct_ids(found: Sequence[InputDialogue]) -> list[InputDialogue]:
    """Return dialogues of several files with ids that differ, by a number at their end."""
    distinct = numbered(set())
    return [replace(one, dialogue=replace(one.dialogue, id=distinct(one.dialogue.id))) for one in found]
