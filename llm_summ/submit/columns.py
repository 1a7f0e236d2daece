"""The columns of a submission: their names in the header, and where the fields really are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llm_summ.core.formatting import counted
from llm_summ.data.row_rules import visible
from llm_summ.submit.sample import Ids, SampleSubmission
from llm_summ.submit.tolerant_csv import CsvRow, Fault

__all__ = ["Columns", "find_columns"]

_INDEX_NAMES = re.compile(r"|index|unnamed: ?\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Columns:
    """The index of each field; None if the file lacks the column.

    `others` has the index of each other column of the sample: in the file, and in the sample.
    """

    width: int
    id: int | None
    summary: int | None
    others: tuple[tuple[int, int], ...]


def find_columns(
    rows: list[CsvRow], sample: SampleSubmission, ids: Ids
) -> tuple[Columns, list[CsvRow], list[Fault]]:
    """Return the columns, the rows without the header, and the faults of both."""
    first = rows[0]
    header = [_name(field) for field in first.fields]
    if (
        "fname" not in header
        and "summary" not in header
        and any(ids.alike(field.strip()) for field in first.fields)
    ):
        faults, body = [Fault("missing-header", first.line, "", first.shown)], rows
        header = [_name(name) for name in sample.columns]
        if (width := _usual_width(rows)) != len(header):
            header = [*[""] * (width - 2), "fname", "summary"][-width:]
    else:
        header, body, faults = _header(rows, sample, ids)
    where_id, more = _id_column(header, body, first, ids)
    sizes = [
        0 if at == where_id else sum(len(row.fields[at]) for row in body if at < len(row.fields))
        for at in range(len(header))
    ]
    where = header.index("summary") if "summary" in header else where_id
    others = [
        (header.index(_name(name)), at)
        for at, name in enumerate(sample.columns)
        if name not in ("fname", "summary") and _name(name) in header
    ]
    columns = Columns(len(header), where_id, _most(sizes) if where == where_id else where, tuple(others))
    return columns, body, faults + more


def _header(rows: list[CsvRow], sample: SampleSubmission, ids: Ids) -> tuple[list[str], list[CsvRow], list[Fault]]:
    """Return the columns' names, one for each field of a row; the rows; and the faults of the header."""
    rows, faults = _without_last_comma(rows)
    first = rows[0]
    header = [_name(field) for field in first.fields]
    body = []
    for row in rows[1:]:
        if "fname" in header and [_name(field) for field in row.fields] == header:
            faults.append(Fault("repeated-header", row.line, "", row.shown))
        else:
            body.append(row)
    full = [row for row in body if len(row.fields) == len(sample.columns)]
    like_sample = 2 * sum(ids.alike(row.fields[ids.column].strip()) for row in full) > len(body)
    indexed = 2 * sum(_has_unnamed_index(row, header, ids) for row in body) > len(body)
    if indexed or (like_sample and len(header) != len(sample.columns)):
        width = counted(_usual_width(body), "field")
        difference = f"the rows have {width}, the header {len(header)}: {_against(first, sample)}"
        has_index = "" in map(_name, sample.columns)
        faults.append(
            Fault("column-name" if has_index or like_sample else "extra-index", first.line, "", difference)
        )
        header = [_name(name) for name in sample.columns] if like_sample else ["", *header]
    elif [name.strip("\r\n") for name in first.fields] != list(sample.columns):
        faults += _header_faults(first, header, sample)
    return header, body, faults


def _without_last_comma(rows: list[CsvRow]) -> tuple[list[CsvRow], list[Fault]]:
    """Return the rows without the empty last field that a comma at the end of most lines makes."""
    first, body = rows[0], rows[1:]
    in_header = len(first.fields) > 1 and not first.fields[-1].strip()
    width = len(first.fields) + (not in_header)
    ends = [row for row in body if len(row.fields) == width and not row.fields[-1].strip()]
    if 2 * len(ends) <= len(body):
        return rows, []
    shown = f"{counted(len(ends), 'row')} with a comma after the last field, such as {ends[0].shown}"
    cut = [row if len(row.fields) != width else replace(row, fields=row.fields[:-1]) for row in body]
    if in_header:
        first = replace(first, fields=first.fields[:-1])
    return [first, *cut], [Fault("extra-column", ends[0].line, "", shown)]


def _usual_width(rows: Sequence[CsvRow]) -> int:
    return Counter(len(row.fields) for row in rows).most_common(1)[0][0]


def _id_column(
    header: list[str], body: Sequence[CsvRow], first: CsvRow, ids: Ids
) -> tuple[int | None, list[Fault]]:
    """Return the column of the ids: the one of that name, unless all ids are in another."""
    counts = [
        sum(len(row.fields) > at and ids.has(row.fields[at].strip()) for row in body) for at in range(len(header))
    ]
    fullest = _most(counts)
    if "fname" not in header:
        return fullest, []
    named = header.index("fname")
    if fullest is None or any(ids.meant(row.fields[named]) for row in body if len(row.fields) > named):
        return named, []
    difference = f"column {named + 1} is called fname, the ids are in column {fullest + 1}"
    return fullest, [Fault("column-order", first.line, "", difference)]


def _most(counts: Sequence[int]) -> int | None:
    """Return the index of the largest count; None if all are zero."""
    return counts.index(max(counts)) if any(counts) else None


def _name(field: str) -> str:
    """Return a column's name in normal form; that of an index is empty."""
    name = field.strip("\ufeff \t\r\n\"'").casefold()
    return "" if _INDEX_NAMES.fullmatch(name) else name


def _has_unnamed_index(row: CsvRow, header: list[str], ids: Ids) -> bool:
    at = header.index("fname") if "fname" in header else 0
    fields = row.fields
    return len(fields) == len(header) + 1 and fields[0].strip().isdigit() and ids.alike(fields[at + 1].strip())


def _against(header: CsvRow, sample: SampleSubmission) -> str:
    return f"found {header.shown}; expected «{visible(','.join(sample.columns))}»"


def _header_faults(row: CsvRow, header: list[str], sample: SampleSubmission) -> Iterator[Fault]:
    shown = _against(row, sample)
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
