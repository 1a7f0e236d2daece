"""Data files as they stand: records with their lines, read from CSV, JSONL or parquet (`write.py` writes them).

Nothing is judged here but what keeps a file from being read at all; what its rows mean is `read.py`'s.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError, first_line
from llm_summ.core.optional_packages import require
from llm_summ.data.encoding import read_text
from llm_summ.data.json_lines import json_lines, not_json_lines
from llm_summ.data.mistaken_formats import (
    column_hint,
    header_error,
    missing_columns,
    other_text_format,
    parquet_error,
    row_error,
)
from llm_summ.data.source import file_kind

__all__ = ["MAX_FIELD_BYTES", "Record", "Table", "place", "read_table"]

MAX_FIELD_BYTES = 1_000_000
"""A field as long as this is refused: in practice a quote is missing, and the field is half of the file."""

_INDEX = re.compile(r"\s*|index|Unnamed: ?\d+", re.IGNORECASE)  # the last as pandas calls it
_PYTHONS_LIMIT = 2**31 - 1  # of the csv module, whose own default of 131,072 refuses long meetings


@dataclass(frozen=True, slots=True)
class Record:
    """One row.

    Attributes:
        line: the line on which it begins; in parquet the row's number. Both count from 1.
        values: by column; texts in CSV, whatever JSON holds in JSONL and parquet.
    """

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A data file.

    Attributes:
        path: where it was read.
        columns: the header; of JSONL, every key in the order of its first appearance.
        records: the rows.
        encoding: ``utf-8``, ``utf-8-sig`` or ``cp949``; not used by parquet.
        line_end: what ends a line of CSV.
        schema: parquet's types.
    """

    path: Path
    columns: tuple[str, ...]
    records: list[Record]
    encoding: str = "utf-8"
    line_end: str = "\n"
    schema: Any = field(default=None, repr=False, compare=False)

    def is_empty(self, record: Record) -> bool:
        """Return whether nothing is in a row but an index, as in those that spreadsheets leave below a table."""
        return all(
            value is None or (isinstance(value, str) and not value.strip()) or _INDEX.fullmatch(name)
            for name, value in record.values.items()
        )

    def refuse_empty_rows(self) -> None:
        """Name the rows in which nothing is.

        Raises:
            DataError: there are any.
        """
        if empty := [record for record in self.records if self.is_empty(record)]:
            more = f" (the first of {len(empty):,})" if len(empty) > 1 else ""
            raise DataError(
                f"{self.place(empty[0])}: found an empty row{more}, as spreadsheets leave them; "
                f"delete {'these rows' if more else 'this row'}"
            )

    def place(self, record: Record) -> str:
        """Where a record stands, as an error names it."""
        return place(self.path, record.line)


def place(path: Path, line: int) -> str:
    """A line of a file as an error names it; parquet has rows, not lines."""
    return f"{path}: row {line}" if path.suffix.lower() == ".parquet" else f"{path}:{line}"


def read_table(path: Path, required: Sequence[str]) -> Table:
    """Read a file.

    Args:
        path: its name ends in .csv, .jsonl or .parquet.
        required: columns that must be there (in JSONL: in every row); ``a|b`` stands for either of two.

    Raises:
        DataError: the file cannot be read, is damaged, or lacks a column.
        MissingPackageError: pyarrow is not installed, and the file is parquet.
    """
    read = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}[file_kind(path)]
    return read(path, required)


def _read_csv(path: Path, required: Sequence[str]) -> Table:
    csv.field_size_limit(_PYTHONS_LIMIT)
    text, encoding = read_text(path)
    if other := other_text_format(path, text, required):
        raise other
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    end = 0  # the line on which the last record ended
    try:
        header = _csv_header(path, text, reader, required, encoding)
        end = reader.line_num
        for fields in reader:
            line, end = end + 1, reader.line_num
            if not fields:
                continue  # an empty line
            if len(fields) != len(header):
                raise row_error(
                    f"{path}:{line}", fields, _shown(header), len(header), _last_lines(text, line, end)
                )
            for name, value in zip(header, fields, strict=True):
                _check_size(path, line, name, value)
            records.append(Record(line, dict(zip(header, fields, strict=True))))
    except csv.Error as error:
        raise DataError(f"{path}:{end + 1}: not valid CSV from here ({error}); check the quotes") from error
    first_end = text[: text.find("\n") + 1]
    return Table(path, tuple(header), records, encoding, "\r\n" if first_end.endswith("\r\n") else "\n")


def _last_lines(text: str, line: int, end: int) -> list[str]:
    """The last line of the row before `line`, and of the row from there to `end`; none if a CR ends every line."""
    lines = list(io.StringIO(text, newline=""))
    return [lines[line - 2], lines[end - 1]] if "\n" in text else []


def _csv_header(
    path: Path, text: str, reader: Iterator[list[str]], required: Sequence[str], encoding: str
) -> list[str]:
    """The columns, with the required ones among them."""
    try:
        header = next(filter(None, reader), None)  # an empty line is an empty record
    except csv.Error:
        if other := header_error(path, text, required, encoding):
            raise other from None
        raise
    if header is None:
        raise DataError(f"{path}: empty file; expected a header with {_first_names(required)}")
    header = _distinct([name.strip() for name in header])
    if missing_columns(header, required) and (other := header_error(path, text, required, encoding)):
        raise other
    _check_columns(str(path), header, required)
    return header


def _distinct(header: list[str]) -> list[str]:
    """Columns without a name get as many spaces as are before them, so that each keeps its values."""
    return [name or " " * header[:place].count("") for place, name in enumerate(header)]


def _read_jsonl(path: Path, required: Sequence[str]) -> Table:
    text, encoding = read_text(path)
    if other := not_json_lines(path, text, required, encoding):
        raise other
    records: list[Record] = []
    for line, values in json_lines(path, text):
        for name in values:
            _check_letters(path, line, "a key", name)
        _check_columns(f"{path}:{line}", list(values), required)
        for name, value in values.items():
            _check_value(path, line, name, value)
        records.append(Record(line, values))
    columns = dict.fromkeys(name for record in records for name in record.values)
    return Table(path, tuple(columns), records, encoding)


def _read_parquet(path: Path, required: Sequence[str]) -> Table:
    if other := parquet_error(path, required):
        raise other
    require("pyarrow", extra="parquet", why=f"{path}")
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = parquet.read_table(path)
        rows = found.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        # It may quote the file's own bytes.
        reason = "".join(letter if letter.isprintable() else "�" for letter in first_line(error)[:160])
        raise DataError(f"{path}: not a parquet file that can be read ({reason})") from error
    columns = tuple(found.column_names)
    _check_columns(str(path), columns, required)
    for number, row in enumerate(rows, 1):
        for name, value in row.items():
            _check_value(path, number, name, value)
    return Table(path, columns, [Record(number, row) for number, row in enumerate(rows, 1)], schema=found.schema)


def _check_columns(where: str, found: Sequence[str], required: Sequence[str]) -> None:
    if missing := missing_columns(found, required):
        raise DataError(
            f"{where}: no column {_first_names(missing)}; found {_shown(found)}; "
            f"expected {_first_names(required)}{column_hint(found, missing)}"
        )
    twice = sorted({name for name in found if list(found).count(name) > 1})
    if twice:
        hint = ", such as summary1, summary2" if "summary" in twice else ""
        raise DataError(f"{where}: column {_shown(twice)} is there twice; every column needs its own name{hint}")


def _first_names(required: Sequence[str]) -> str:
    return ", ".join(name.partition("|")[0] for name in required)


def _shown(columns: Sequence[str]) -> str:
    """Column names as an error shows them, on one line."""
    names = [" ".join(name.split()) or "(no name)" for name in columns[:12]]
    shown = ", ".join(names + ["…"] * (len(columns) > 12)) or "none"
    return shown if len(shown) <= 160 else shown[:160] + "…"


def _check_value(path: Path, line: int, name: str, value: Any) -> None:
    """Refuse what JSON and parquet can hold and no text should: half a character, a NUL, a megabyte."""
    if isinstance(value, str):
        _check_size(path, line, name, value)
        _check_letters(path, line, name, value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_letters(path, line, f"{name}: a key", key)
            _check_value(path, line, name, inner)
    elif isinstance(value, list):
        for inner in value:
            _check_value(path, line, name, inner)


def _check_letters(path: Path, line: int, name: str, text: str) -> None:
    # JSON can write half a character; UTF-8 cannot
    half = next((letter for letter in text if "\ud800" <= letter <= "\udfff"), "") if _is_odd(text) else ""
    if half:
        raise DataError(
            f"{place(path, line)}: {_shown([name])}: found {half!r}, half a character; expected a text"
        )
    if "\0" in text:
        raise DataError(f"{place(path, line)}: {_shown([name])}: found a NUL; expected a text")


def _is_odd(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _check_size(path: Path, line: int, name: str, value: str) -> None:
    # A character is at most four bytes: short fields are not encoded to be counted.
    if len(value) * 4 < MAX_FIELD_BYTES:
        return
    size = len(value.encode("utf-8", "replace"))
    if size >= MAX_FIELD_BYTES:
        raise DataError(
            f"{place(path, line)}: {_shown([name])}: found a field of {size:,} bytes, expected less than "
            f"{MAX_FIELD_BYTES:,}; is a quote missing before it?"
        )
