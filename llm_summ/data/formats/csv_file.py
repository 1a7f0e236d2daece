"""CSV with commas, in UTF-8 or CP949."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.data.encoding import read_text
from llm_summ.data.formats.checks import (
    MAX_FIELD_BYTES,
    check_columns,
    check_size,
    finite_json,
    first_names,
    shown_columns,
)
from llm_summ.data.formats.format import Format
from llm_summ.data.mistaken_formats import header_error, missing_columns, other_text_format, row_error
from llm_summ.data.table import Record, Table

__all__ = ["CSV"]

_MOST_COLUMNS = 16_384  # as many as a spreadsheet has
_PYTHONS_LIMIT = 2**31 - 1  # of the csv module, whose own default of 131,072 refuses long meetings


def _read(path: Path, required: Sequence[str]) -> Table:
    csv.field_size_limit(_PYTHONS_LIMIT)
    text, encoding = read_text(path)
    if other := other_text_format(path, text, required):
        raise other
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    end = 0  # the line on which the previous record ended
    try:
        header = _header(path, text, reader, required, encoding)
        end = reader.line_num
        for fields in reader:
            line, end = end + 1, reader.line_num
            if not fields:
                continue  # an empty line
            if len(fields) != len(header):
                raise row_error(
                    f"{path}:{line}", fields, shown_columns(header), len(header), _last_lines(text, line, end)
                )
            if max(map(len, fields)) * 4 >= MAX_FIELD_BYTES:  # a character has at most four bytes
                for name, value in zip(header, fields, strict=True):
                    check_size(partial(CSV.place, path, line), name, value)
            records.append(Record(line, dict(zip(header, fields, strict=True))))
    except csv.Error as error:
        raise DataError(f"{path}:{end + 1}: not valid CSV from here ({error}); check the quotes") from error
    first_end = text[: text.find("\n") + 1]
    return Table(path, tuple(header), records, encoding, "\r\n" if first_end.endswith("\r\n") else "\n")


def _last_lines(text: str, line: int, end: int) -> list[str]:
    """Return the last line of the row before `line`, and of the row that ends at `end`.

    Nothing is returned if a lone carriage return ends every line.
    """
    lines = list(io.StringIO(text, newline=""))
    return [lines[line - 2], lines[end - 1]] if "\n" in text else []


def _header(
    path: Path, text: str, reader: Iterator[list[str]], required: Sequence[str], encoding: str
) -> list[str]:
    """Return the columns, after a check that the required ones are among them."""
    try:
        header = next(filter(None, reader), None)  # an empty line is an empty record
    except csv.Error:
        if other := header_error(path, text, required, encoding):
            raise other from None
        raise
    if header is None:
        raise DataError(f"{path}: empty file; expected a header with {first_names(required)}")
    if len(header) > _MOST_COLUMNS:
        raise DataError(
            f"{path}: found {len(header):,} columns; expected at most {_MOST_COLUMNS:,}; is a line end missing?"
        )
    # Columns without a name are named by white space that differs, so that each keeps its values. With spaces
    # alone the names of all columns would be as long as the square of their number.
    blanks = ("\t" * tabs + " " * spaces for tabs, spaces in (divmod(number, 128) for number in count()))
    header = [name.strip() or next(blanks) for name in header]
    if missing_columns(header, required) and (other := header_error(path, text, required, encoding)):
        raise other
    check_columns(str(path), header, required)
    return header


def _write(table: Table, path: Path) -> bytes:
    """Return the file as UTF-8.

    It has a byte order mark if a CSV file was read that had one, or that was in CP949: the program that wrote such
    a file looks for the mark.
    """
    lines = []
    header = [name.strip() for name in table.columns]
    cells = ([_cell(table, record, column, path) for column in table.columns] for record in table.records)
    for fields in (header, *cells):
        out = io.StringIO()
        # With any other line end, some versions of Python leave a lone carriage return unquoted.
        csv.writer(out, lineterminator="\r\n").writerow(fields)
        lines.append(out.getvalue().removesuffix("\r\n") + table.line_end)
    marked = table.encoding != "utf-8" and table.path.suffix.lower() in CSV.suffixes
    return "".join(lines).encode("utf-8-sig" if marked else "utf-8")


def _cell(table: Table, record: Record, column: str, path: Path) -> str:
    value = record.values.get(column)
    if isinstance(value, list | dict):
        raise DataError(
            f"{path}: {table.place(record)} has a {type(value).__name__} in {' '.join(column.split())}, which CSV "
            "cannot hold; choose a name that ends in .jsonl or .parquet"
        )
    if value is None or isinstance(value, str):
        return value or ""
    return finite_json(table, record, value)


CSV = Format("CSV", (".csv",), read=_read, write=_write, multiline_fields=True)
