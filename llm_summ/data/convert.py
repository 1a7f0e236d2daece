"""`data convert`: chats, transcripts and corpora as one data file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from llm_summ.core.errors import DataError
from llm_summ.core.formatting import counted
from llm_summ.core.progress import Progress, say
from llm_summ.core.records import JsonRecord
from llm_summ.data.formats import format_of_source, named_format, read_table, write_table
from llm_summ.data.formats.archive import ARCHIVE, distinct_ids, no_dialogue, read_files
from llm_summ.data.formats.conversation import (
    Conversation,
    Reading,
    ReadOptions,
    as_table,
    read_conversations,
    summary_line,
)
from llm_summ.data.formats.format import Format
from llm_summ.data.preparation import Handling, preparation_lines, unused_lines
from llm_summ.data.prepared_table import prepared_table
from llm_summ.data.read import DIALOGUE_COLUMNS, dialogue_text, read_hypotheses, table_dialogues
from llm_summ.data.source import check_out, resolve_source
from llm_summ.data.table import Record, Table

__all__ = ["OUT_ENDINGS", "Conversion", "ConvertedFile", "convert", "report_lines"]

OUT_ENDINGS = (".jsonl", ".csv", ".parquet", ".json")
_LISTED = 20  # files, beyond which only errors have a line of their own


@dataclass(frozen=True, slots=True)
class ConvertedFile(JsonRecord):
    """One file that was read, a file of an archive or a channel of an export.

    Attributes:
        path: its name, with that of the archive before it.
        format: the name of its format; empty if it is unknown.
        dialogues: how many dialogues it has.
        turns: how many turns they have.
        dropped: how many lines or messages of each kind were dropped.
        notes: what was assumed.
        error: why it could not be read; None if it was.
    """

    path: Path
    format: str
    dialogues: int = 0
    turns: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Conversion(JsonRecord):
    """The result of a conversion.

    Attributes:
        out: the file that was written.
        dialogues: in it.
        turns: in it.
        files: what was read, and what could not be.
        masked: how many values of each kind were masked.
        tagged: how many dialogues have tags in place of names.
    """

    out: Path
    dialogues: int
    turns: int
    files: tuple[ConvertedFile, ...]
    masked: dict[str, int] = field(default_factory=dict)
    tagged: int = 0

    @property
    def errors(self) -> list[str]:
        """The errors of files that could not be read."""
        return [file.error for file in self.files if file.error is not None]

    def lines(self) -> list[str]:
        """Return the result for people."""
        return [f"{self.out}: {counted(self.dialogues, 'dialogue')}, {counted(self.turns, 'turn')}"]


class _Part(NamedTuple):
    """The dialogues of one file: conversations of a reader, or a table of ours."""

    file: ConvertedFile
    known: Format
    conversations: list[Conversation]
    table: Table | None = None

    def ids(self) -> list[str]:
        """Return the ids of its dialogues."""
        of_table = [] if self.table is None else [str(row.values["fname"]).strip() for row in self.table.records]
        return of_table or [conversation.id.strip() for conversation in self.conversations]


def convert(
    sources: Sequence[str],
    out: Path,
    *,
    options: ReadOptions | None = None,
    format_name: str | None = None,
    summaries: Path | None = None,
    handling: Handling | None = None,
    force: bool = False,
) -> Conversion:
    """Read files, zips and folders, and write their dialogues into one file.

    A file that cannot be read is reported, and the others are written.

    Args:
        sources: files, zips, folders, or parts of the sample.
        out: the file to write: .jsonl and .parquet keep turns and times, .csv has texts, .json is 말평's form.
        options: how chats are cut, and what is kept.
        format_name: the format of all files; None recognises each.
        summaries: predictions that become the column `summary`.
        handling: what is done with names and personal data, in every text of a dialogue; None: nothing.
        force: whether `out` may replace another file.

    Raises:
        DataError: nothing could be read, a summary is missing, or the file cannot be written.
    """
    known = None if format_name is None else named_format(format_name)
    check_out(out, OUT_ENDINGS, inputs=[path for path in map(Path, sources) if path.is_file()], force=force)
    parts: list[_Part] = []
    failed: list[_Part] = []
    with Progress("reading", len(sources)) if len(sources) > 1 else nullcontext() as progress:
        for source in sources:
            for part in _parts(source, known, options or ReadOptions()):
                (failed if part.file.error is not None else parts).append(part)
            if progress is not None:
                progress.advance()
    if not any(part.file.dialogues for part in parts):
        raise _nothing(sources, [part.file.error or "" for part in failed])
    distinct_ids([conversation for part in parts for conversation in part.conversations])
    parts, again = _without_duplicates(parts)
    table = _table(out, parts)
    if summaries is not None:
        table = _with_summaries(table, summaries)
    dialogues = table_dialogues(table)
    masked: Counter[str] = Counter()
    tagged = 0
    if handling is not None and not handling.changes_nothing:
        table, prepared = prepared_table(table, handling)
        for line in (*unused_lines(handling, dialogues), *preparation_lines(prepared)):
            say(line)
        for one in prepared:
            masked.update(one.masked)
        tagged = sum(bool(one.speakers.names) for one in prepared)
    if out.suffix.lower() == ".csv":
        table = _texts_only(table)
    write_table(table, out)
    turns = sum(len(dialogue.turns) for dialogue in dialogues)
    files = tuple(part.file for part in (*parts, *failed, *again))
    return Conversion(out, len(dialogues), turns, files, dict(masked), tagged)


def _parts(source: str, known: Format | None, options: ReadOptions) -> Iterator[_Part]:
    """Yield the dialogues of every file of a source, or its error."""
    try:
        path = Path(source) if source and Path(source).is_dir() else resolve_source(source)
        found = format_of_source(path, known)
        if found is ARCHIVE:
            for where, name, result in read_files(path, options, known):
                yield _part(where, name, result)
            return
        if found.parse is not None:
            yield _part(path, found.name, read_conversations(path, found, options))
            return
        table = read_table(path, DIALOGUE_COLUMNS)
        dialogues = table_dialogues(table)
        turns = sum(len(dialogue.turns) for dialogue in dialogues)
        yield _Part(ConvertedFile(path, found.name, len(dialogues), turns), found, [], table)
    except DataError as error:
        yield _part(Path(source), "", error)


def _part(path: Path, name: str, result: Reading | DataError) -> _Part:
    known = named_format(name) if name else ARCHIVE
    if isinstance(result, Reading):
        try:
            table_dialogues(as_table(path, known, result.conversations))
        except DataError as error:
            result = error
    if isinstance(result, DataError):
        return _Part(ConvertedFile(path, name, error=str(result)), known, [])
    turns = sum(len(conversation.turns) for conversation in result.conversations)
    dropped = {kind: number for kind, number in result.dropped.items() if number}
    file = ConvertedFile(path, name, len(result.conversations), turns, dropped, tuple(result.notes))
    return _Part(file, known, result.conversations)


def _nothing(sources: Sequence[str], errors: list[str]) -> DataError:
    if len(errors) == 1:
        return DataError(errors[0])
    if not errors:
        return no_dialogue(sources[0])
    more = [f"and {counted(len(errors) - _LISTED, 'more file')}"] if len(errors) > _LISTED else []
    return DataError("\n".join([*errors[:_LISTED], *more, "no file could be read; nothing was written"]))


def _without_duplicates(parts: Sequence[_Part]) -> tuple[list[_Part], list[_Part]]:
    """Return the files whose ids no earlier file has, and the others with their error."""
    first: dict[str, Path] = {}
    kept, again = [], []
    for part in parts:
        path = part.file.path
        if double := next((identity for identity in part.ids() if identity in first), None):
            error = f"{path}: duplicate id {double}, first in {first[double]}; ids must differ"
            again.append(part._replace(file=ConvertedFile(path, part.file.format, error=error)))
        else:
            first.update(dict.fromkeys(part.ids(), path))
            kept.append(part)
    return kept, again


def _table(out: Path, parts: Sequence[_Part]) -> Table:
    """Return the rows of all files, with numbers in the order of the output."""
    records: list[Record] = []
    columns: dict[str, None] = {}
    for part in parts:
        table = part.table or as_table(part.file.path, part.known, part.conversations)
        if table.records:
            columns.update(dict.fromkeys(table.columns))
        records += [Record(len(records) + number, row.values) for number, row in enumerate(table.records, 1)]
    return Table(out, tuple(columns), records)


def _with_summaries(table: Table, path: Path) -> Table:
    """Return the table with the summaries of a prediction file.

    Raises:
        DataError: a dialogue has no summary there.
    """
    found = read_hypotheses(path)
    ids = [str(record.values.get("fname")).strip() for record in table.records]
    if missing := [identity for identity in ids if identity not in found]:
        raise DataError(
            f"{path}: no summary of {', '.join(missing[:5])}{', …' * (len(missing) > 5)} "
            f"({len(missing):,} of {len(ids):,} dialogues); expected one for each"
        )
    records = [
        Record(record.line, {**record.values, "summary": found[identity]})
        for record, identity in zip(table.records, ids, strict=True)
    ]
    return replace(table, columns=tuple(dict.fromkeys([*table.columns, "summary"])), records=records)


def _texts_only(table: Table) -> Table:
    """Return the table as CSV can hold it: texts instead of turns, and no lists or objects."""
    say(f"{table.path}: CSV holds no times; choose a name that ends in .jsonl to keep them")
    records = []
    columns: dict[str, None] = {}
    for record in table.records:
        values: dict[str, Any] = {}
        for name, value in record.values.items():
            if name in ("dialogue", "turns"):
                values["dialogue"] = dialogue_text(table, record)
            elif not isinstance(value, list | dict):
                values[name] = value
        columns.update(dict.fromkeys(values))
        records.append(Record(record.line, values))
    return replace(table, columns=tuple(columns), records=records)


def report_lines(conversion: Conversion) -> list[str]:
    """Return what was read from each file, for people; of many files only those with errors."""
    done = [file for file in conversion.files if file.error is None]
    lines = []
    if len(done) <= _LISTED:
        lines += [f"{file.path}: {_described(file)}" for file in done]
    else:
        dropped: Counter[str] = Counter()
        for file in done:
            dropped.update(file.dropped)
        names = ", ".join(dict.fromkeys(file.format for file in done if file.format))
        whole = ConvertedFile(Path(), names, conversion.dialogues, conversion.turns, dict(dropped))
        lines.append(f"{counted(len(done), 'file')}: {_described(whole)}")
    return lines


def _described(file: ConvertedFile) -> str:
    return "; ".join([summary_line(file.format, file.dialogues, file.turns, file.dropped), *file.notes])
