"""Find the rows with the lowest scores, and show each with its best reference."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from llm_summ.core.records import JsonRecord
from llm_summ.core.word_tokenizers import Tokenizer
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.score.rouge import Variant, rouge

__all__ = ["WorstRow", "printable", "show_worst", "worst_rows"]

_TURNS, _TURN_LETTERS = 3, 60  # of the dialogue
_INDENT = 12
_NARROWEST = 30


@dataclass(frozen=True, slots=True)
class WorstRow(JsonRecord):
    """A row, and the reasons for its low score.

    Attributes:
        id: the row's.
        final: its score, from 0 to 100.
        cut_off: whether its generation ended by length; None where that is not known.
        summary: the scored text.
        reference: the reference that it fits best.
        missing: tokens of that reference that are not in the summary, each once.
        extra: tokens of the summary that are not in that reference, each once.
        opening: the first turns of the dialogue, shortened.
    """

    id: str
    final: float
    cut_off: bool | None
    summary: str
    reference: str
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    opening: tuple[str, ...]


def worst_rows(
    rows: Sequence[ScoredRow], *, tokenizer: Tokenizer, variant: Variant, most: int = 10
) -> tuple[WorstRow, ...]:
    """Return the rows with the lowest scores, the lowest first; equal ones in the order of the file.

    Args:
        rows: of a file.
        tokenizer: splits the texts.
        variant: the ROUGE package to agree with, for the reference that fits best.
        most: how many rows to return.
    """
    return tuple(_worst(row, tokenizer, variant) for row in sorted(rows, key=lambda row: row.score.final)[:most])


def _worst(row: ScoredRow, tokenizer: Tokenizer, variant: Variant) -> WorstRow:
    summary = tokenizer(row.summary)
    split = [tokenizer(reference) for reference in row.dialogue.references]
    finals = [rouge(summary, tokens, variant).final for tokens in split]
    best = finals.index(max(finals))
    turns = [turn for turn in row.dialogue.turn_texts if turn.strip()]
    opening = [turn if len(turn) <= _TURN_LETTERS else f"{turn[:_TURN_LETTERS]}…" for turn in turns[:_TURNS]]
    if len(turns) > _TURNS:
        opening.append(f"… {len(turns) - _TURNS} more")
    return WorstRow(
        id=row.dialogue.id,
        final=row.score.final,
        cut_off=row.cut_off,
        summary=row.summary,
        reference=row.dialogue.references[best],
        missing=_without(split[best], summary),
        extra=_without(summary, split[best]),
        opening=tuple(opening),
    )


def _without(tokens: Sequence[str], others: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token for token in tokens if token not in others))


def show_worst(rows: Sequence[WorstRow], width: int) -> list[str]:
    """Return rows for people, wrapped; a Korean letter is as wide as two others.

    Args:
        rows: the rows to show.
        width: the largest number of columns of a line; values below 30 count as 30.
    """
    lines: list[str] = []
    for row in rows:
        lines += [
            *([""] if lines else []),
            f"{printable(row.id)}  {row.final:.2f}{'  cut off' if row.cut_off else ''}",
            *_labelled("summary", [row.summary.strip() or "(empty)"], width),
            *_labelled("reference", [row.reference], width),
            *(_labelled("missing", [" ".join(row.missing)], width) if row.missing else []),
            *(_labelled("extra", [" ".join(row.extra)], width) if row.extra else []),
            *_labelled("dialogue", row.opening, width),
        ]
    return lines


def _labelled(label: str, texts: Sequence[str], width: int) -> list[str]:
    """Return texts, wrapped, after a label."""
    from rich.console import Console
    from rich.text import Text

    room = max(width, _NARROWEST) - _INDENT
    console = Console(width=room, file=None)
    lines = [line.plain.rstrip() for text in texts for line in Text(printable(text)).wrap(console, room)]
    return [f"{f'  {label}' if place == 0 else '':<{_INDENT}}{line}" for place, line in enumerate(lines)]


def printable(text: str) -> str:
    """Return the text on one line, without characters that move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
