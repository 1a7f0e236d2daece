"""A data file as a table: records by column, each with the line on which it begins."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.core.errors import DataError

if TYPE_CHECKING:
    from llm_summ.data.formats.format import Format

__all__ = ["Record", "Table"]

_INDEX = re.compile(r"\s*|index|Unnamed: ?\d+", re.IGNORECASE)  # the last as pandas calls it


@dataclass(frozen=True, slots=True)
class Record:
    """One row.

    Attributes:
        line: the line on which it begins; in parquet the number of the row. Both count from 1.
        values: by column; texts in CSV, any JSON value in other formats.
    """

    line: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A data file.

    Attributes:
        path: the file.
        columns: the header; of JSONL, every key in the order in which it first appears.
        records: the rows.
        encoding: ``utf-8``, ``utf-8-sig`` or ``cp949``; not used by parquet.
        line_end: the end of each line of CSV.
        schema: the types of parquet.
        format: the format that the file was read as; None for a table made in memory.
    """

    path: Path
    columns: tuple[str, ...]
    records: list[Record]
    encoding: str = "utf-8"
    line_end: str = "\n"
    schema: Any = field(default=None, repr=False, compare=False)
    format: Format | None = field(default=None, repr=False, compare=False)

    @property
    def unit(self) -> str:
        """What `Record.line` counts: lines or rows."""
        return "line" if self.format is None else self.format.unit

    def is_empty(self, record: Record) -> bool:
        """Return whether a row is empty except for an index, like the rows of spreadsheets below a table."""
        return all(
            value is None or (isinstance(value, str) and not value.strip()) or _INDEX.fullmatch(name)
            for name, value in record.values.items()
        )

    def refuse_empty_rows(self) -> None:
        """Raise an error if there are empty rows.

        Raises:
            DataError: there are any; it names the first.
        """
        if empty := [record for record in self.records if self.is_empty(record)]:
            more = f" (the first of {len(empty):,})" if len(empty) > 1 else ""
            raise DataError(
                f"{self.place(empty[0])}: found an empty row{more}, as spreadsheets leave them; "
                f"delete {'these rows' if more else 'this row'}"
            )

    def place(self, record: Record) -> str:
        """Return the file and line of a record, as an error names them."""
        if self.format is not None:
            return self.format.place(self.path, record.line)
        return f"{self.path}:{record.line}"
