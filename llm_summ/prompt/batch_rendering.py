"""Rendering of many rows, with the reasons why some of them cannot be rendered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llm_summ.core.errors import PromptError, listed
from llm_summ.data import Dialogue
from llm_summ.prompt.render import Renderer
from llm_summ.prompt.tokenized_example import TokenizedExample

__all__ = ["Refused", "render_rows"]

_SHOWN_IDS = 20


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that cannot be rendered for the same reason.

    Attributes:
        reason: of the first row, without its id; the other rows' reasons can differ in numbers.
        ids: a dialogue's id for every row, in the order of the input; a dialogue with several references can occur
            several times.
    """

    reason: str
    ids: tuple[str, ...]

    def line(self) -> str:
        """Return the number of rows, the reason, and the ids of the first rows."""
        count = f"{len(self.ids)} rows, the first" if len(self.ids) > 1 else "a row"
        return f"{count}: {self.reason} ({listed(list(dict.fromkeys(self.ids)), _SHOWN_IDS)})"


def render_rows(
    renderer: Renderer, pairs: Iterable[tuple[Dialogue, str | None]]
) -> tuple[list[TokenizedExample], list[Refused]]:
    """Return the rows that can be rendered, in order, and the reasons why others cannot, in order of occurrence.

    Args:
        renderer: the renderer.
        pairs: dialogues, each with the summary to train on, or None to render only the prompt.
    """
    rows: list[TokenizedExample] = []
    refused: dict[str, tuple[str, list[str]]] = {}
    for dialogue, summary in pairs:
        try:
            rows.append(renderer.prompt(dialogue) if summary is None else renderer.example(dialogue, summary))
        except PromptError as error:
            reason = str(error).removeprefix(f"{dialogue.id}: ")
            # Reasons that differ only in numbers are the same.
            kind = "".join(letter for letter in reason if not letter.isdigit())
            refused.setdefault(kind, (reason, []))[1].append(dialogue.id)
    return rows, [Refused(reason, tuple(ids)) for reason, ids in refused.values()]
