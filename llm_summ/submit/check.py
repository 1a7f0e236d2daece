"""The check of a submission against a sample: its format, its columns, its ids and its summaries.

A file may be as broken as it likes: the check goes on as far as it can tell what is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.data.handed_in import first_counted, is_empty
from llm_summ.data.oddities import stripped_id, visible
from llm_summ.errors import DataError
from llm_summ.submit.columns import Columns, find_columns
from llm_summ.submit.ids import Ids
from llm_summ.submit.lenient import Fault, Row, file_rows, file_text
from llm_summ.submit.report import Report
from llm_summ.submit.sample import Sample
from llm_summ.submit.texts import text_faults

__all__ = ["check_submission"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of which is known what its fields are; a summary that is not there is None."""

    line: int
    id: str
    summary: str | None
    others: tuple[str, ...] = ()

    @property
    def shown_id(self) -> str:
        return visible(self.id)


def check_submission(path: Path, sample: Sample) -> Report:
    """Compare a file, whatever it is, with a sample submission.

    Raises:
        DataError: there is no such file, or it may not be read.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: cannot be read ({reason}); expected a submission") from error
    text, faults = file_text(content, sample)
    ids = Ids(sample)
    rows, more = file_rows(text, ids) if text.strip() else ([], [])
    faults += more
    if not rows:
        return Report.of(path, sample.path, 0, faults or [Fault("empty-file", None, "", f"{len(content)} bytes")])
    columns, body, more = find_columns(rows, sample, ids)
    faults += more
    entries: list[_Entry] = []
    for row in body:
        faults += _field_faults(row, columns)
        entry = _entry(row, columns, ids)
        if entry is not None:
            entries.append(entry)
    if columns.id is not None:
        faults += _id_faults(entries, columns, sample, ids)
    for entry in entries:
        faults += _summary_faults(entry, sample)
    faults += _repeated_summaries(entries, sample)
    return Report.of(path, sample.path, len(body), faults)


def _field_faults(row: Row, columns: Columns) -> Iterator[Fault]:
    width = len(row.fields)
    if width != columns.width and not row.broken:
        where = columns.id if columns.id is not None and columns.id < width else 0
        told = f"{width} field{'s' * (width != 1)} instead of {columns.width}: {row.shown}"
        kind = "unquoted-comma" if width > columns.width else "missing-field"
        yield Fault(kind, row.line, visible(row.fields[where].strip()), told)


def _entry(row: Row, columns: Columns, ids: Ids) -> _Entry | None:
    """A row as far as it can be told; None if it is but a piece of another."""
    fields = row.fields
    if len(fields) == columns.width:
        summary = None if columns.summary is None else fields[columns.summary]
        others = tuple(fields[at] for at, _ in columns.others)
        return _Entry(row.line, "" if columns.id is None else fields[columns.id], summary, others)
    at = ids.place(fields, ids.column if columns.id is None else columns.id)
    if at is None:
        return None
    return _Entry(row.line, fields[at], ",".join(fields[at + 1 :]) if len(fields) > at + 1 else None)


def _id_faults(entries: Sequence[_Entry], columns: Columns, sample: Sample, ids: Ids) -> Iterator[Fault]:
    place = {identity: at for at, identity in enumerate(sample.ids)}
    counted = first_counted([stripped_id(entry.id) for entry in entries], sample.ids)
    first: dict[str, int] = {}
    last = -1
    for at, entry in enumerate(entries):
        identity = stripped_id(entry.id)
        if not identity:
            yield Fault("empty-id", entry.line, "", f"«{visible(entry.summary or '')}»")
            continue
        if counted is None:
            identity = ids.meant(identity) or identity
        if identity in place and identity != entry.id:
            told = f"«{entry.shown_id}»; did you mean {visible(identity)}?"
            yield Fault("misspelt-id", entry.line, entry.shown_id, told)
        if identity in first:
            yield Fault("repeated-id", entry.line, entry.shown_id, f"stands already in line {first[identity]}")
            continue
        first[identity] = entry.line
        if counted is not None:
            if at >= counted:
                yield Fault("counted-ids", entry.line, entry.shown_id, f"the sample has {sample.ids[at]} here")
        elif identity not in place:
            yield Fault("extra-id", entry.line, entry.shown_id, "")
        else:
            yield from _other_faults(entry, columns, sample, place[identity])
            if place[identity] < last:
                yield Fault("id-order", entry.line, entry.shown_id, f"stands behind {sample.ids[last]}")
            last = max(last, place[identity])
    if counted is None:
        for identity in sample.ids:
            if identity not in first:
                yield Fault("missing-id", None, visible(identity), "")


def _other_faults(entry: _Entry, columns: Columns, sample: Sample, row: int) -> Iterator[Fault]:
    """Fields that are neither id nor summary, and not those of the sample's row of this id."""
    for field, (_, at) in zip(entry.others, columns.others, strict=False):
        if field != sample.rows[row][at]:
            name = visible(sample.columns[at]) or "the index"
            told = f"{name}: found «{visible(field)}», expected «{visible(sample.rows[row][at])}»"
            yield Fault("other-column", entry.line, entry.shown_id, told)


def _summary_faults(entry: _Entry, sample: Sample) -> Iterator[Fault]:
    text = entry.summary
    if text is None:
        return
    if sample.placeholder and text.strip() == sample.placeholder:
        yield Fault("placeholder", entry.line, entry.shown_id, f"«{visible(text)}»")
        return
    for kind, start, end in text_faults(text):
        yield Fault(kind, entry.line, entry.shown_id, f"«{visible(text, start, end)}»")


def _repeated_summaries(entries: Sequence[_Entry], sample: Sample) -> Iterator[Fault]:
    first: dict[str, _Entry] = {}
    for entry in entries:
        text = (entry.summary or "").strip()
        if is_empty(text) or text == sample.placeholder:
            continue
        other = first.setdefault(text, entry)
        if stripped_id(other.id) != stripped_id(entry.id):
            told = f"as line {other.line}, {other.shown_id}: «{visible(text)}»"
            yield Fault("repeated-summary", entry.line, entry.shown_id, told)
