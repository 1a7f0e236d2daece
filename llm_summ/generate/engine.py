"""What an engine is: token ids in, token ids out. It knows nothing of dialogues, text or files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from llm_summ.generate.store import FinishReason

__all__ = ["Engine", "Output"]


@dataclass(frozen=True, slots=True)
class Output:
    """What an engine generated for one prompt.

    Attributes:
        index: of the prompt, in the order in which the prompts were given.
        token_ids: generated ids, the stop id included; shape (g,).
        finish_reason: "stop" or "length".
    """

    index: int
    token_ids: tuple[int, ...]
    finish_reason: FinishReason


class Engine(Protocol):
    """Generates greedily."""

    @property
    def name(self) -> str:
        """Its name in a recipe, and in the names of prediction files."""

    def generate(self, prompts: Sequence[Sequence[int]], *, stop_id: int, max_new_tokens: int) -> Iterator[Output]:
        """Yield an output for every prompt, as soon as it is finished, in any order.

        Args:
            prompts: token ids, shape (n, p).
            stop_id: ends a generation.
            max_new_tokens: cuts a generation off.
        """

    def close(self) -> None:
        """Give back memory and processes."""
