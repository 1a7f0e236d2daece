"""The dialogues of the files that a user wants summarised; a file that cannot be read does not stop the others."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.errors import DataError, InputError
from llm_summ.core.progress import LOGGER
from llm_summ.data.dialogue import Dialogue
from llm_summ.data.read import read_dialogues

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


def read_inputs(names: Sequence[str]) -> list[Input]:
    """Read files in any format of `formats/`.

    Args:
        names: paths, parts of the sample such as ``sample:dev``, or ``-``, whose format is known by its content.

    Returns:
        an entry for each name, in order; one that cannot be read has an error.
    """
    inputs = []
    for name in names:
        try:
            inputs.append(Input(name, tuple(_stdin() if name == STDIN else read_dialogues(name))))
        except InputError as error:
            inputs.append(Input(name, (), str(error)))
    return inputs


def _stdin() -> list[Dialogue]:
    """Read standard input by way of a file, as which every format is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdin.txt"
        path.write_bytes(sys.stdin.buffer.read())
        try:
            with _shown_as(_STDIN_NAME, path):
                return read_dialogues(str(path))
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
