"""Many rows at once, and why some of them cannot be rendered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llm_summ.core.errors import PromptError, listed
from llm_summ.data import Dialogue
from llm_summ.prompt.render import Renderer, TokenizedExample

__all__ = ["Refused", "render_rows"]

_SHOWN_IDS = 20


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that cannot be rendered, all for one reason.

    Attributes:
        reason: the first row's, without its id; those of the others may differ in numbers.
        ids: a dialogue's id for every row, in the order in which they were asked for; a dialogue with several
            references can stand here several times.
    """

    reason: str
    ids: tuple[str, ...]

    def line(self) -> str:
        """How many rows, why, and the ids of the first."""
        count = f"{len(self.ids)} rows, the first" if len(self.ids) > 1 else "a row"
        return f"{count}: {self.reason} ({listed(self.ids, _SHOWN_IDS)})"


def render_rows(
    renderer: Renderer, asked: Iterable[tuple[Dialogue, str | None]]
) -> tuple[list[TokenizedExample], list[Refused]]:
    """The rows that can be rendered, in order, and the reasons why others cannot, the first one first.

    Args:
        renderer: the renderer.
        asked: dialogues, each with the summary to train or, for a prompt alone, None.
    """
    rows: list[TokenizedExample] = []
    refused: dict[str, tuple[str, list[str]]] = {}
    for dialogue, summary in asked:
        try:
            rows.append(renderer.prompt(dialogue) if summary is None else renderer.example(dialogue, summary))
        except PromptError as error:
            reason = str(error).removeprefix(f"{dialogue.id}: ")
            # What differs from row to row is numbers.
            kind = "".join(letter for letter in reason if not letter.isdigit())
            refused.setdefault(kind, (reason, []))[1].append(dialogue.id)
    return rows, [Refused(reason, tuple(ids)) for reason, ids in refused.values()]
