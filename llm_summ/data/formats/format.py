"""What a format is: a reader and, where it makes sense, a writer for one kind of file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llm_summ.data.table import Table

if TYPE_CHECKING:
    from llm_summ.data.formats.conversation import Reading, ReadOptions, Source

__all__ = ["Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of data file.

    A reader gives a table with a row for each dialogue. Its columns are those of our own files: `fname` (the id),
    `dialogue` (a text) or `turns` (a list of ``{"speaker": …, "text": …, "start": …, "end": …}``, see
    `turn_list.py`), and optionally `summary`, `summary2` …, `topic` and others. Everything else (checks, repairs,
    statistics, splits, training) works on that table.

    Attributes:
        name: as messages show it, such as ``JSONL``.
        suffixes: the endings of its files, in small letters, with their dot.
        read: takes the path and the columns that the caller needs (``a|b`` means either of two), for its messages;
            `read_table` checks them afterwards. It raises a DataError for a file that it cannot read.
        write: takes the table and the path of the file to write, for its messages, and returns the content of the
            file. None if the format is only read.
        sniff: takes the path and the first 64 KiB of the file, and returns whether the file has this format. It is
            needed where several formats share a suffix. None accepts every file with the suffix that no other
            format recognises.
        unit: what `Record.line` counts.
        multiline_fields: whether a field is stored with its line breaks, so that a place in it has its own line.
        parse: reads conversations out of a text, which may be part of an archive; of chats, transcripts and
            corpora only (see `conversation.py`).
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Sequence[str]], Table]
    write: Callable[[Table, Path], bytes] | None = None
    sniff: Callable[[Path, bytes], bool] | None = None
    unit: Literal["line", "row"] = "line"
    multiline_fields: bool = False
    parse: Callable[[Source, ReadOptions], Reading] | None = None

    def place(self, path: Path, line: int) -> str:
        """Return a line or a row of a file as an error names it."""
        return f"{path}:{line}" if self.unit == "line" else f"{path}: {self.unit} {line}"
