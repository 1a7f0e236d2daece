"""The dialogues of the files that a user wants summarised: data files, or plain text with a turn on each line."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.data.dialogue import Dialogue
from llm_summ.data.encoding import read_text
from llm_summ.data.formats import is_data_file
from llm_summ.data.read import read_dialogues
from llm_summ.data.source import resolve_source

__all__ = ["STDIN", "Input", "read_inputs"]

STDIN = "-"
"""The name of standard input on the command line."""


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
    """Read files in any format of `formats/`, and others as plain text.

    A plain text is one dialogue. Its turns are its lines, such as ``민지: 네``.

    Args:
        names: paths, parts of the sample such as ``sample:dev``, or ``-``.

    Returns:
        an entry for each name, in order; one that cannot be read has an error.
    """
    inputs = []
    for name in names:
        try:
            inputs.append(Input(name, tuple(_dialogues(name))))
        except DataError as error:
            inputs.append(Input(name, (), str(error)))
    return inputs


def _dialogues(name: str) -> list[Dialogue]:
    if name == STDIN:
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / "stdin"
            copied.write_bytes(sys.stdin.buffer.read())
            try:
                return [_plain(copied, "stdin")]
            except DataError as error:
                raise DataError(str(error).replace(str(copied), "standard input")) from error
    path = resolve_source(name)
    return read_dialogues(name) if is_data_file(path) else [_plain(path, path.stem)]


def _plain(path: Path, identity: str) -> Dialogue:
    text = read_text(path)[0].replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise DataError(f"{path}: no text; expected a dialogue with a turn on each line, such as 민지: 네")
    return Dialogue(" ".join(identity.split()), text)
