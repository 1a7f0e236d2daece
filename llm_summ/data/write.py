"""Data files written: CSV, JSONL and parquet, in UTF-8."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError, first_line
from llm_summ.core.files import whole_file
from llm_summ.core.optional_packages import require
from llm_summ.core.progress import say
from llm_summ.data.source import file_kind
from llm_summ.data.table import Record, Table

__all__ = ["say_encoding", "write_table"]


def write_table(table: Table, path: Path) -> None:
    """Write a table; `path` appears whole or not at all.

    Reading it again gives the same records, if it is a file of the same kind. Of another kind it has the same
    texts, but CSV has neither numbers nor nulls, and parquet has every column in every row.

    CSV and JSONL are written as UTF-8. A byte order mark stands before it where one was read, and in the CSV that
    is made from a CSV in CP949, since the program that wrote that looks for it; never in a JSONL made from a CSV.

    Raises:
        DataError: the ending is none of ours, the new kind of file cannot hold a value, or the file cannot be
            written.
        MissingPackageError: pyarrow is not installed, and the file is to be parquet.
    """
    kind = file_kind(path)
    if kind == ".parquet":
        require("pyarrow", extra="parquet", why=f"{path}")
    try:
        with whole_file(path) as building:
            if kind == ".parquet":
                _write_parquet(table, building)
            else:
                text = _csv_text(table, path) if kind == ".csv" else _jsonl_text(table)
                building.write_bytes(text.encode("utf-8-sig" if _has_mark(table, kind) else "utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def say_encoding(table: Table) -> None:
    """Say that what was written is in another encoding than what was read, if it is."""
    if table.encoding == "cp949":
        say(f"{table.path}: is CP949; what was written is UTF-8")


def _has_mark(table: Table, kind: str) -> bool:
    if table.encoding == "cp949":
        return kind == ".csv" == table.path.suffix.lower()
    return table.encoding == "utf-8-sig" and kind == table.path.suffix.lower()


def _csv_text(table: Table, path: Path) -> str:
    lines = []
    header = [name.strip() for name in table.columns]
    cells = ([_cell(table, record, column, path) for column in table.columns] for record in table.records)
    for fields in (header, *cells):
        out = io.StringIO()
        # With any other line end, some versions of Python leave a lone carriage return unquoted.
        csv.writer(out, lineterminator="\r\n").writerow(fields)
        lines.append(out.getvalue().removesuffix("\r\n") + table.line_end)
    return "".join(lines)


def _cell(table: Table, record: Record, column: str, path: Path) -> str:
    value = record.values.get(column)
    if isinstance(value, list | dict):
        raise DataError(
            f"{path}: {table.place(record)} has a {type(value).__name__} in {' '.join(column.split())}, which CSV "
            "cannot hold; choose a name that ends in .jsonl or .parquet"
        )
    if value is None or isinstance(value, str):
        return value or ""
    return _json(table, record, value)


def _jsonl_text(table: Table) -> str:
    return "".join(_json(table, record, record.values) + "\n" for record in table.records)


def _json(table: Table, record: Record, value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError as error:  # parquet has such numbers
        raise DataError(
            f"{table.place(record)}: found a number that is not finite, which JSON does not have; "
            "choose a name that ends in .parquet"
        ) from error


def _write_parquet(table: Table, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = table.schema
    if schema is None and table.path.suffix.lower() == ".csv":
        schema = pa.schema([(name, pa.string()) for name in table.columns])
    # From JSONL the types are guessed from the first row, which so has to have every column.
    rows = [{name: record.values.get(name) for name in table.columns} for record in table.records]
    try:
        parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    except (pa.ArrowException, OverflowError) as error:  # an integer of more than 64 bits
        raise DataError(f"{table.path}: cannot be written as parquet ({first_line(error)})") from error
