"""A dialogue, its turns, and the hash that identifies its text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from llm_summ.data.labels import Label, line_labels, skip_gap, speakers_of

__all__ = ["Dialogue", "Turn", "dialogue_hash", "find_speakers", "text_turns"]


class Turn(NamedTuple):
    """What one speaker says before another one speaks.

    ``str(turn)`` is the turn as it is written in `Dialogue.text`.

    Attributes:
        speaker: a tag (``#Person1#``) or a name; None if the file does not name the speaker.
        text: the words, without the label; they may contain line breaks.
        start: when the turn begins, in seconds from the beginning of the conversation; None if unknown.
        end: when the turn ends, in seconds likewise.
        label: the speaker as written before the words, such as ``"[상담사] "``; None means ``"speaker: "``.
    """

    speaker: str | None
    text: str
    start: float | None = None
    end: float | None = None
    label: str | None = None

    @property
    def prefix(self) -> str:
        """What is written before the words: the label, or nothing for a turn without a speaker."""
        if self.label is not None:
            return self.label
        return f"{self.speaker}: " if self.speaker else ""

    def __str__(self) -> str:
        return self.prefix + self.text


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One dialogue of a data file.

    Make it from a text (``Dialogue("a", "#Person1#: 네")``) or from turns (`of_turns`). Two dialogues are equal if
    their id, text, references and topic are equal: times do not count.

    Attributes:
        id: the row's id (`fname`); unique within the file, opaque, and not contiguous.
        text: the whole dialogue: every turn as it is written, joined with line feeds.
        references: human summaries; empty if the file has none.
        topic: the subject of the dialogue, if the file has it.
        given_turns: the turns, if the file has a list of them; empty if it has a text, whose lines are the turns.

    Raises:
        ValueError: `given_turns` does not make up `text`.
    """

    id: str
    text: str
    references: tuple[str, ...] = ()
    topic: str | None = None
    given_turns: tuple[Turn, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.given_turns and _joined(self.given_turns) != self.text:
            raise ValueError(
                f"{self.id}: the turns differ from the text; make the dialogue with Dialogue.of_turns"
            )

    @classmethod
    def of_turns(
        cls, id: str, turns: Sequence[Turn], references: tuple[str, ...] = (), topic: str | None = None
    ) -> Dialogue:
        """Return the dialogue that consists of the given turns; its text is derived from them."""
        return cls(id, _joined(turns), references, topic, tuple(turns))

    def with_turns(self, turns: Sequence[Turn]) -> Dialogue:
        """Return the same dialogue with other turns, such as those that fit into a prompt."""
        return Dialogue.of_turns(self.id, turns, self.references, self.topic)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns: those that the file has, or one for each line of the text."""
        return self.given_turns or text_turns(self.text)

    @property
    def turn_texts(self) -> tuple[str, ...]:
        """The turns as they are written, label included; joined with a line feed they are `text` again.

        It is cheaper than `turns`, since no speaker has to be found.
        """
        return tuple(map(str, self.given_turns)) if self.given_turns else tuple(self.text.split("\n"))

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers in the order in which they first speak: tags (``#Person1#``) or names, see `labels.py`."""
        if self.given_turns:
            return tuple(dict.fromkeys(turn.speaker for turn in self.given_turns if turn.speaker))
        return speakers_of(self.text)


def dialogue_hash(text: str) -> str:
    """Return the first 16 hexadecimal digits of a dialogue's SHA-256: enough to tell any two dialogues apart.

    Line ends do not count, since spreadsheet programs change them when they save a file.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def text_turns(text: str) -> tuple[Turn, ...]:
    """Return a turn for each line of a text; only line feeds separate lines."""
    return tuple(map(_written_turn, text.split("\n"), line_labels(text)))


def find_speakers(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Return the turns with the speakers that the labels in their texts name.

    A turn that has a speaker already stays as it is. One without is divided before each of its lines that begins
    with a label; a line without a label continues the turn before it.
    """
    labels = iter(line_labels(_joined(turns)))
    named: list[Turn] = []
    for turn in turns:
        lines = str(turn).split("\n")
        of_lines = [next(labels) for _ in lines]
        if turn.speaker:
            named.append(turn)
            continue
        begins = [index for index, label in enumerate(of_lines) if label is not None or index == 0]
        parts = [
            _written_turn("\n".join(lines[first:last]), of_lines[first])
            for first, last in zip(begins, [*begins[1:], len(lines)], strict=True)
        ]
        parts[0] = parts[0]._replace(start=turn.start)
        parts[-1] = parts[-1]._replace(end=turn.end)
        named += parts
    return tuple(named)


def _written_turn(written: str, label: Label | None) -> Turn:
    """Return the turn of a text that begins with a label; None if it begins with none."""
    if label is None:
        return Turn(None, written)
    end = skip_gap(written, label.end)
    usual = written.startswith(f"{label.name}: ") and end == len(label.name) + 2
    return Turn(label.name, written[end:], label=None if usual else written[:end])


def _joined(turns: Iterable[Turn]) -> str:
    return "\n".join(map(str, turns))
