"""The check of a submission against a sample: its format, its columns, its ids and its summaries.

A file may be as broken as it likes: the check goes on as far as it can tell what is meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.data.oddities import stripped_id, visible
from llm_summ.errors import DataError
from llm_summ.submit.lenient import Fault, Ids, Row, file_rows, file_text
from llm_summ.submit.report import Report
from llm_summ.submit.sample import Sample
from llm_summ.submit.texts import is_empty, text_faults

__all__ = ["check_submission", "first_counted"]

_INDEX_NAMES = re.compile(r"|index|unnamed: ?\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the fields stand; None where there is no such column."""

    width: int
    id: int | None
    summary: int | None
    index: int | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row of which is known what its fields are; a summary or an index that is not there is None."""

    line: int
    id: str
    summary: str | None
    index: str | None

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
    text, faults = file_text(path, content, sample)
    if not text.strip():
        return Report.of(path, sample.path, 0, faults or [Fault("empty-file", None, "", f"{len(content)} bytes")])
    ids = Ids(sample.ids)
    rows, more = file_rows(text, ids)
    faults += more
    columns, body, more = _columns(rows, sample, ids)
    faults += more
    entries: list[_Entry] = []
    for row in body:
        faults += _field_faults(row, columns)
        entry = _entry(row, columns, ids)
        if entry is not None:
            entries.append(entry)
    if columns.id is not None:
        faults += _id_faults(entries, sample)
    if sample.index is not None and columns.index is not None:
        faults += _index_faults(entries, sample, sample.index)
    for entry in entries:
        faults += _summary_faults(entry, sample)
    faults += _repeated_summaries(entries, sample)
    return Report.of(path, sample.path, len(body), faults)


def first_counted(ids: Sequence[str], wanted: Sequence[str]) -> int | None:
    """From which row on ids that were made by counting are not those that are wanted; None if they were not."""
    if len(ids) != len(wanted) or len(ids) < 2 or list(ids) == list(wanted):
        return None
    found = re.fullmatch(r"(.*?)(\d{1,15})", ids[0], re.DOTALL)
    if not found or not wanted[0].startswith(found[1]):
        return None
    if any(identity != f"{found[1]}{int(found[2]) + at}" for at, identity in enumerate(ids)):
        return None
    return next(at for at, (one, other) in enumerate(zip(ids, wanted, strict=True)) if one != other)


def _columns(rows: list[Row], sample: Sample, ids: Ids) -> tuple[_Columns, list[Row], list[Fault]]:
    """Where the fields stand, the rows without the header, and what is wrong with that."""
    faults: list[Fault] = []
    first = rows[0]
    header = [_name(field) for field in first.fields]
    if (
        "fname" not in header
        and "summary" not in header
        and any(ids.alike(field.strip()) for field in first.fields)
    ):
        faults.append(Fault("missing-header", first.line, "", f"«{visible(','.join(first.fields))}»"))
        width = Counter(len(row.fields) for row in rows).most_common(1)[0][0]
        header, body = [_name(name) for name in sample.columns], rows
        if width != len(header):
            header = [*[""] * (width - 2), "fname", "summary"][-width:]
    else:
        body = rows[1:]
        at = header.index("fname") if "fname" in header else 0
        if body and all(_has_unnamed_index(row, header, at, ids) for row in body):
            faults.append(
                Fault("column-name", first.line, "", "the rows have an index, the header has no name for it")
            )
            header = ["", *header]
        elif [name.strip("\r\n") for name in first.fields] != list(sample.columns):
            faults += _header_faults(first, header, sample)
    where_id = header.index("fname") if "fname" in header else _most(_counts(body, len(header), ids))
    sizes = [0 if at == where_id else size for at, size in enumerate(_sizes(body, len(header)))]
    where = header.index("summary") if "summary" in header else _most(sizes)
    index = header.index("") if "" in header else None
    return _Columns(len(header), where_id, where, index), body, faults


def _counts(rows: Sequence[Row], width: int, ids: Ids) -> list[int]:
    """How many ids of the sample each column has."""
    return [sum(ids.has(row.fields[at].strip()) for row in rows if at < len(row.fields)) for at in range(width)]


def _sizes(rows: Sequence[Row], width: int) -> list[int]:
    """How many characters each column has."""
    return [sum(len(row.fields[at]) for row in rows if at < len(row.fields)) for at in range(width)]


def _most(counts: Sequence[int]) -> int | None:
    """Where the largest count stands; None if all are zero."""
    return counts.index(max(counts)) if any(counts) else None


def _name(field: str) -> str:
    """A column's name, however it is spelt; that of an index is empty."""
    name = field.strip("\ufeff \t\r\n\"'").casefold()
    return "" if _INDEX_NAMES.fullmatch(name) else name


def _has_unnamed_index(row: Row, header: list[str], at: int, ids: Ids) -> bool:
    fields = row.fields
    return len(fields) == len(header) + 1 and fields[0].strip().isdigit() and ids.alike(fields[at + 1].strip())


def _header_faults(row: Row, header: list[str], sample: Sample) -> Iterator[Fault]:
    shown = f"found {visible(','.join(row.fields))}; expected {visible(','.join(sample.columns))}"
    wanted = {_name(name): name for name in sample.columns}
    for name in wanted:
        if name not in header:
            yield Fault("missing-column" if name else "missing-index", row.line, "", shown)
    seen: set[str] = set()
    for field, name in zip(row.fields, header, strict=True):
        if name not in wanted or name in seen:
            yield Fault("extra-column" if name else "extra-index", row.line, "", f"«{visible(field)}»: {shown}")
        elif field != wanted[name]:
            yield Fault("column-name", row.line, "", f"«{visible(field)}»: {shown}")
        seen.add(name)
    there = [name for name in dict.fromkeys(header) if name in wanted]
    if there != [name for name in wanted if name in seen]:
        yield Fault("column-order", row.line, "", shown)


def _field_faults(row: Row, columns: _Columns) -> Iterator[Fault]:
    count = len(row.fields)
    if count != columns.width and not row.broken:
        where = columns.id if columns.id is not None and columns.id < count else 0
        told = f"{count} fields instead of {columns.width}: «{visible(','.join(row.fields))}»"
        kind = "unquoted-comma" if count > columns.width else "missing-field"
        yield Fault(kind, row.line, visible(row.fields[where].strip()), told)


def _entry(row: Row, columns: _Columns, ids: Ids) -> _Entry | None:
    """A row as far as it can be told; None if it is but a piece of another."""
    fields = row.fields
    if len(fields) == columns.width:
        summary = None if columns.summary is None else fields[columns.summary]
        index = None if columns.index is None else fields[columns.index]
        return _Entry(row.line, "" if columns.id is None else fields[columns.id], summary, index)
    at = next((at for at, field in enumerate(fields) if ids.alike(field.strip())), None)
    if at is None:
        return None
    summary = ",".join(fields[at + 1 :]) if len(fields) > at + 1 else None
    return _Entry(row.line, fields[at], summary, None)


def _id_faults(entries: Sequence[_Entry], sample: Sample) -> Iterator[Fault]:
    place = {identity: at for at, identity in enumerate(sample.ids)}
    counted = first_counted([stripped_id(entry.id) for entry in entries], sample.ids)
    first: dict[str, int] = {}
    last = -1
    for at, entry in enumerate(entries):
        identity = stripped_id(entry.id)
        if not identity:
            yield Fault("empty-id", entry.line, "", f"«{visible(entry.summary or '')}»")
            continue
        if identity != entry.id:
            yield Fault("id-space", entry.line, entry.shown_id, f"«{entry.shown_id}»")
        if identity in first:
            yield Fault("repeated-id", entry.line, entry.shown_id, f"stands already in line {first[identity]}")
            continue
        first[identity] = entry.line
        if counted is not None:
            if at >= counted:
                yield Fault("counted-ids", entry.line, entry.shown_id, f"the sample has {sample.ids[at]} here")
        elif identity not in place:
            yield Fault("extra-id", entry.line, entry.shown_id, "")
        elif place[identity] < last:
            yield Fault("id-order", entry.line, entry.shown_id, f"stands behind {sample.ids[last]}")
        else:
            last = place[identity]
    if counted is None:
        for identity in sample.ids:
            if identity not in first:
                yield Fault("missing-id", None, visible(identity), "")


def _index_faults(entries: Sequence[_Entry], sample: Sample, index: Sequence[str]) -> Iterator[Fault]:
    """Rows whose index is neither that of their place nor that of their id."""
    by_id = dict(zip(sample.ids, index, strict=True))
    for at, entry in enumerate(entries):
        wanted = index[at] if at < len(index) else str(at)
        if entry.index is not None and entry.index not in (wanted, by_id.get(stripped_id(entry.id))):
            told = f"found «{visible(entry.index)}», expected {visible(wanted)}"
            yield Fault("index-values", entry.line, entry.shown_id, told)


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
