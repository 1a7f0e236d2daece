"""What a row of a data file is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from llm_summ.data.labels import speakers_of

__all__ = ["Dialogue", "dialogue_hash"]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One dialogue, as it stands in the file.

    Attributes:
        id: the row's id (`fname`); unique in its file, and no more than a name: ids have gaps.
        text: the dialogue, a turn a line.
        references: human summaries; empty where the file has none.
        topic: what it is about, where the file says so.
    """

    id: str
    text: str
    references: tuple[str, ...] = ()
    topic: str | None = None

    @property
    def turns(self) -> tuple[str, ...]:
        """The lines of the dialogue; joined with a line feed they are `text` again."""
        return tuple(self.text.split("\n"))

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks, in the order in which they first do: tags (``#Person1#``) or names, as in `labels.py`."""
        return speakers_of(self.text)


def dialogue_hash(text: str) -> str:
    """The first 16 hexadecimal digits of a dialogue's SHA-256: enough to tell any two dialogues apart.

    Line ends do not count, since spreadsheet programs change them when they save a file.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return hashlib.sha256(lines.encode()).hexdigest()[:16]
