"""The dialogues of the files that a user wants summarised; a file that cannot be read does not stop the others."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llm_summ.core.errors import DataError, InputError
from llm_summ.core.progress import LOGGER, say
from llm_summ.data.dialogue import Dialogue
from llm_summ.data.formats.archive import ARCHIVE, read_archive
from llm_summ.data.formats.conversation import ReadOptions, as_table, read_conversations
from llm_summ.data.formats.format import Format
from llm_summ.data.formats.registry import format_of_source, named_format
from llm_summ.data.read import read_dialogues, table_dialogues
from llm_summ.data.source import resolve_source

__all__ = ["STDIN", "Input", "read_inputs"]

STDIN = "-"
"""The name of standard input on the command line."""

_STDIN_NAME = "standard input"


@dataclass(frozen=True, slots=True)
class Input:
    """A file and its dialogues.

    Attributes:
        name: as the user wrote it; ``-`` is standard input.
        dialogues: at least one, unless there is an error.
        error: why the file cannot be read; empty if it was.
    """

    name: str
    dialogues: tuple[Dialogue, ...]
    error: str = ""

    @property
    def stem(self) -> str:
        """The name for a file of its results."""
        return "stdin" if self.name == STDIN else Path(self.name.replace(":", "-")).stem


def read_inputs(
    names: Sequence[str], format_name: str | None = None, options: ReadOptions | None = None
) -> list[Input]:
    """Read files in any format of `formats/`.

    Args:
        names: paths, parts of the sample such as ``sample:dev``, or ``-``, whose format is known by its content.
        format_name: the format of all files; None recognises each.
        options: how chats are cut, and what is kept.

    Returns:
        an entry for each name, in order; one that cannot be read has an error.

    Raises:
        DataError: there is no such format.
    """
    known = None if format_name is None else named_format(format_name)
    read = partial(_read, known=known, options=options or ReadOptions())
    inputs = []
    for name in names:
        try:
            inputs.append(Input(name, tuple(_stdin(read) if name == STDIN else read(name))))
        except InputError as error:
            inputs.append(Input(name, (), str(error)))
    return inputs


def _read(name: str, known: Format | None, options: ReadOptions) -> list[Dialogue]:
    """Read a file, a zip or a folder."""
    path = Path(name) if name and Path(name).is_dir() else resolve_source(name)
    found = format_of_source(path, known)
    if found is ARCHIVE:
        return table_dialogues(read_archive(path, options, known))
    if found.parse is None:
        return read_dialogues(name)
    reading = read_conversations(path, found, options)
    say(f"{path}: {reading.described(found.name)}")
    return table_dialogues(as_table(path, found, reading.conversations))


def _stdin(read: Callable[[str], list[Dialogue]]) -> list[Dialogue]:
    """Read standard input by way of a file, as which every format is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdin.txt"
        path.write_bytes(sys.stdin.buffer.read())
        try:
            with _shown_as(_STDIN_NAME, path):
                return read(str(path))
        except InputError as error:
            raise DataError(str(error).replace(str(path), _STDIN_NAME)) from error


@contextmanager
def _shown_as(name: str, path: Path) -> Iterator[None]:
    """Show a name instead of a path in the messages of this block."""

    def rename(record: logging.LogRecord) -> bool:
        record.msg = str(record.msg).replace(str(path), name)
        return True

    LOGGER.addFilter(rename)
    try:
        yield
    finally:
        LOGGER.removeFilter(rename)
