"""What a row of a data file is."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["SPEAKER_TAG", "Dialogue", "dialogue_hash"]

SPEAKER_TAG = re.compile(r"#Person\d+#")
"""What stands for a speaker, or for someone who is spoken of; `tags.py` knows the masks, and what is misspelt."""

_TAG = re.compile(rf"^{SPEAKER_TAG.pattern}(?=:)", re.MULTILINE)
# In other data than the competition's: "상담사: 네", "Speaker A: …"
_NAME = re.compile(r"^[^\s:#][^:\n]{0,19}(?=: )", re.MULTILINE)


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
        """Speaker tags (``#Person1#``) in the order in which they first speak.

        In a dialogue without a tag: the names of at most 20 characters before the first colon of a line.
        """
        return tuple(dict.fromkeys(_TAG.findall(self.text) or _NAME.findall(self.text)))


def dialogue_hash(text: str) -> str:
    """The first 16 hexadecimal digits of a dialogue's SHA-256: enough to tell any two dialogues apart.

    Line ends do not count, since spreadsheet programs change them when they save a file.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return hashlib.sha256(lines.encode()).hexdigest()[:16]
