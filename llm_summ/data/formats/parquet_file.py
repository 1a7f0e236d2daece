"""Parquet, by way of pyarrow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from llm_summ.core.errors import DataError, first_line
from llm_summ.core.optional_packages import require
from llm_summ.data.formats.checks import check_columns, check_values
from llm_summ.data.formats.format import Format
from llm_summ.data.mistaken_formats import parquet_error
from llm_summ.data.table import Record, Table

__all__ = ["PARQUET"]


def _read(path: Path, required: Sequence[str]) -> Table:
    if other := parquet_error(path, required):
        raise other
    require("pyarrow", extra="parquet", why=f"{path}")
    import pyarrow as pa
    from pyarrow import parquet

    try:
        arrow = parquet.read_table(path)
        rows = arrow.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        # The message may quote bytes of the file.
        reason = "".join(letter if letter.isprintable() else "�" for letter in first_line(error)[:160])
        raise DataError(f"{path}: not a parquet file that can be read ({reason})") from error
    columns = tuple(arrow.column_names)
    check_columns(str(path), columns, required)
    for number, row in enumerate(rows, 1):
        check_values(partial(PARQUET.place, path, number), row)
    return Table(path, columns, [Record(number, row) for number, row in enumerate(rows, 1)], schema=arrow.schema)


def _write(table: Table, path: Path) -> bytes:
    require("pyarrow", extra="parquet", why=f"{path}")
    import pyarrow as pa
    from pyarrow import parquet

    # The types are guessed from the first row, which therefore needs every column.
    rows = [{name: record.values.get(name) for name in table.columns} for record in table.records]
    schema = table.schema
    if schema is None and all(isinstance(value, str) for row in rows for value in row.values()):
        schema = pa.schema([(name, pa.string()) for name in table.columns])
    out = io.BytesIO()
    try:
        parquet.write_table(pa.Table.from_pylist(rows, schema=schema), out)
    except (pa.ArrowException, OverflowError) as error:  # an integer of more than 64 bits
        raise DataError(f"{table.path}: cannot be written as parquet ({first_line(error)})") from error
    return out.getvalue()


PARQUET = Format("parquet", (".parquet",), read=_read, write=_write, unit="row")
