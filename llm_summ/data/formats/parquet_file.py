"""Parquet, by way of pyarrow."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from llm_summ.core.errors import DataError, first_line
from llm_summ.core.optional_packages import require
from llm_summ.data.formats.checks import check_columns, check_values
from llm_summ.data.formats.format import Format
from llm_summ.data.mistaken_formats import parquet_error
from llm_summ.data.table import Record, Table

__all__ = ["PARQUET", "parquet_rows", "unpacks_to_more"]

_CELL = 100  # bytes that a value takes in Python at least, with its part of a row or an object
_BATCH = 1000  # rows


def parquet_rows(path: Path) -> int:
    """Return how many rows a file says it has; 0 if it cannot be read."""
    require("pyarrow", extra="parquet", why=f"{path}")
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return int(parquet.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, ValueError):
        return 0  # the reader reports the reason


def unpacks_to_more(path: Path, most: int, check: Callable[[], None] = lambda: None) -> bool:
    """Return whether a file takes more than a number of bytes when it is read; no more than that is kept.

    A file has equal values once, so 20 kB may be a gigabyte of texts, and only the values show it.

    Args:
        path: the file.
        most: the number of bytes.
        check: is called for each batch of rows; what it raises ends the work.
    """
    require("pyarrow", extra="parquet", why=f"{path}")
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
            chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
            size = _CELL * sum(chunk.num_values for chunk in chunks)
            if max(size, sum(chunk.total_uncompressed_size for chunk in chunks)) > most:
                return True
            # No value is longer than the part of the file that has it: so many rows fit into the limit.
            longest = max((chunk.total_uncompressed_size for chunk in chunks), default=1)
            rows = max(1, min(_BATCH, most // max(1, longest)))
            for batch in file.iter_batches(batch_size=rows, use_threads=False):
                check()
                size += batch.nbytes
                if size > most:
                    return True
    except (pa.ArrowException, OSError, ValueError):
        pass  # the reader reports the reason
    return False


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
