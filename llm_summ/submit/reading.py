"""Read a submission as far as possible: its rows, and the faults of the file.

The check judges the rows; `submit` writes them again in the form of the sample, so that a file that the check can
read need not be repaired by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError, PredictionError, listed
from llm_summ.core.progress import say
from llm_summ.data.row_rules import stripped_id, visible
from llm_summ.predictions.id_matching import first_counted
from llm_summ.submit.columns import Columns, find_columns
from llm_summ.submit.sample import Ids, SampleSubmission
from llm_summ.submit.tolerant_csv import CsvRow, Fault, file_rows, file_text

__all__ = ["ParsedSubmission", "SubmissionEntry", "broken_texts", "read_submission"]


@dataclass(frozen=True, slots=True)
class SubmissionEntry:
    """A row whose fields are recognised; a missing summary is None."""

    line: int
    id: str
    summary: str | None
    others: tuple[str, ...] = ()

    @property
    def shown_id(self) -> str:
        """The id as a report shows it."""
        return visible(self.id)


@dataclass(frozen=True, slots=True)
class ParsedSubmission:
    """A file as far as it can be read.

    Attributes:
        rows: the number of rows without the header.
        columns: the index of each field; None for a file without rows.
        entries: the rows.
        pieces: the text of lines without an id (an unquoted line break), with the line of the entry before them.
        faults: the faults of its format.
    """

    rows: int
    columns: Columns | None
    entries: tuple[SubmissionEntry, ...]
    pieces: tuple[tuple[int, str], ...]
    faults: tuple[Fault, ...]


def read_submission(path: Path, sample: SampleSubmission, ids: Ids) -> ParsedSubmission:
    """Read any file as a submission.

    Raises:
        DataError: the file does not exist or cannot be read.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: cannot be read ({reason}); expected a submission") from error
    text, faults = file_text(content, sample)
    rows, more = file_rows(text, ids) if text.strip() else ([], [])
    faults += more
    if not rows:
        return ParsedSubmission(
            0, None, (), (), tuple(faults or [Fault("empty-file", None, "", f"{len(content)} bytes")])
        )
    return _submission(rows, faults, sample, ids)


def broken_texts(path: Path, sample: SampleSubmission) -> dict[str, str] | None:
    """Read the summaries of a file that is not a valid prediction file, in the same way as the check.

    It may also be JSON: a list of objects, an object by ids, or columns as pandas writes them.

    Returns:
        a summary for every id of the sample; None if some are missing or cannot be read.

    Raises:
        PredictionError: an id has two different summaries, or its ids were made by counting.
    """
    ids = Ids(sample)
    rows = _json_rows(path, ids)
    try:
        parsed = _submission(rows, [], sample, ids) if rows else read_submission(path, sample, ids)
    except DataError:
        return None
    if first_counted([stripped_id(entry.id) for entry in parsed.entries], sample.ids) is not None:
        return None
    texts: dict[str, str] = {}
    for entry in parsed.entries:
        pieces = [entry.summary or "", *(piece for line, piece in parsed.pieces if line == entry.line)]
        identity, text = ids.meant(entry.id), "\n".join(filter(None, pieces))
        if identity and texts.setdefault(identity, text) != text:
            raise PredictionError(
                f"{path}:{entry.line}: id {identity} has two different summaries; expected one row for each id"
            )
    if set(texts) < set(sample.ids) or any(_is_damaged(text) for text in texts.values()):
        return None
    kinds = list(dict.fromkeys(fault.kind for fault in parsed.faults)) or ["JSON" if rows else "misspelt-id"]
    say(f"{path}: not a valid prediction file ({listed(kinds)}); read in the same way as by `submit --check`")
    return texts


def _submission(rows: list[CsvRow], faults: list[Fault], sample: SampleSubmission, ids: Ids) -> ParsedSubmission:
    columns, body, more = find_columns(rows, sample, ids)
    faults += more
    entries: list[SubmissionEntry] = []
    pieces: list[tuple[int, str]] = []
    for row in body:
        faults += _field_faults(row, columns)
        entry = _entry(row, columns, ids)
        if entry is not None:
            entries.append(entry)
        elif entries:
            pieces.append((entries[-1].line, row.source.strip().removesuffix('"')))
    return ParsedSubmission(len(body), columns, tuple(entries), tuple(pieces), tuple(faults))


def _field_faults(row: CsvRow, columns: Columns) -> Iterator[Fault]:
    width = len(row.fields)
    if width != columns.width and not row.broken:
        where = columns.id if columns.id is not None and columns.id < width else 0
        shown = f"{width} field{'s' * (width != 1)} instead of {columns.width}: {row.shown}"
        kind = "unquoted-comma" if width > columns.width else "missing-field"
        yield Fault(kind, row.line, visible(row.fields[where].strip()), shown)


def _entry(row: CsvRow, columns: Columns, ids: Ids) -> SubmissionEntry | None:
    """Return a row as far as its fields are recognised; None if it is only a piece of another row."""
    fields = row.fields
    if len(fields) == columns.width:
        summary = None if columns.summary is None else fields[columns.summary]
        others = tuple(fields[index] for index, _ in columns.others)
        return SubmissionEntry(row.line, "" if columns.id is None else fields[columns.id], summary, others)
    index = ids.place(fields, ids.column if columns.id is None else columns.id)
    if index is None:
        return None
    summary = ",".join(fields[index + 1 :]) if len(fields) > index + 1 else None
    return SubmissionEntry(row.line, fields[index], summary)


def _is_damaged(text: str) -> bool:
    """Return whether a text has bytes that are not UTF-8, and so cannot be written."""
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _json_rows(path: Path, ids: Ids) -> list[CsvRow]:
    """Return the header and the rows of a JSON file; none if it is another file, or not a table."""
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError):
        return []
    if text[:1] not in ("{", "["):
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return []
    records = _records(value, ids)
    header = list(dict.fromkeys(key for record in records for key in record))
    if not header:
        return []
    table = [header, *([_cell(record.get(key)) for key in header] for record in records)]
    return [CsvRow(line, fields, ",".join(fields), False) for line, fields in enumerate(table, 1)]


def _records(value: Any, ids: Ids) -> list[Mapping[str, Any]]:
    """Return the rows of a table in JSON: a list of objects, texts by id, columns of cells, or one within."""
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    if not isinstance(value, dict):
        return []
    if any(map(ids.has, value)):
        return [
            {"fname": key, **(item if isinstance(item, dict) else {"summary": item})}
            for key, item in value.items()
        ]
    columns = {
        key: list(item.values()) if isinstance(item, dict) else item
        for key, item in value.items()
        if isinstance(item, dict | list)
    }
    if len(columns) > 1 and len({len(cells) for cells in columns.values()}) == 1:
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return next((records for item in value.values() if (records := _records(item, ids))), [])


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
