"""Read and write a data file of any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.core.files import whole_file
from llm_summ.core.progress import say
from llm_summ.data.formats.checks import check_columns
from llm_summ.data.formats.registry import find_format, writer_for
from llm_summ.data.table import Table

__all__ = ["read_table", "say_encoding", "write_table"]


def read_table(path: Path, required: Sequence[str]) -> Table:
    """Read a file in the format that its name and content show.

    Args:
        path: the file.
        required: columns that the file needs (in JSONL: every row); ``a|b`` means either of two.

    Raises:
        DataError: the file cannot be read, is damaged, or lacks a column.
        MissingPackageError: the format needs an optional package that is not installed.
    """
    known = find_format(path)
    table = replace(known.read(path, required), format=known)
    if table.records:
        check_columns(str(path), table.columns, required)
    return table


def write_table(table: Table, path: Path) -> None:
    """Write a table in the format of the file's name; `path` appears whole or not at all.

    Reading the file again gives the same records if the format is the same. Another format keeps the texts, but
    CSV has neither numbers nor nulls, and parquet has every column in every row.

    Raises:
        DataError: no format with this suffix can be written, the format cannot hold a value, or the file cannot be
            written.
        MissingPackageError: the format needs an optional package that is not installed.
    """
    known = writer_for(path, table.format)
    assert known.write is not None, known
    content = known.write(table, path)
    try:
        with whole_file(path) as building:
            building.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def say_encoding(table: Table) -> None:
    """Print a notice if the files written from this table have another encoding than the file that was read."""
    if table.encoding == "cp949":
        say(f"{table.path}: is CP949; files written from it are UTF-8")
