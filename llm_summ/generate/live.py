"""Engines that answer while others ask: each request is a stream of its own, and can be stopped alone.

`Engine` gets all requests of a generation at once. A `LiveEngine` gets them one by one, from many callers, and
generates those of all callers together. It runs in a process of its own: `llm_summ.generate.live_process`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llm_summ.generate.engine import GREEDY, Decoding, Output, Request

__all__ = ["LiveEngine", "Piece", "Watched"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer. The first piece of a request may be empty: it shows that the work has begun.

    Attributes:
        sample: number of the candidate, from 0.
        token_ids: its next tokens.
        text: the next part of its text, if the engine gives no ids.
        output: the whole candidate, when it is finished; its `index` is 0.
    """

    sample: int = 0
    token_ids: tuple[int, ...] = ()
    text: str = ""
    output: Output | None = None


class LiveEngine(Protocol):
    """Generates the candidates of many callers together.

    It never blocks its event loop for long: a process that sends nothing for a minute is taken for one that hangs.
    """

    @property
    def name(self) -> str:
        """The engine's name in a recipe."""

    def stream(self, request: Request, *, stop_id: int, decoding: Decoding = GREEDY) -> AsyncIterator[Piece]:
        """Yield the pieces of all candidates of a request, as they come.

        Closing the iterator or cancelling its task stops this request, and frees its place.

        Args:
            request: the prompt.
            stop_id: ends a generation.
            decoding: how the next token is chosen.

        Raises:
            EngineDownError: the engine cannot work any more; its process is started again.
            LlmSummError: this request failed; others continue.
        """

    async def close(self) -> None:
        """Free memory and end processes."""


@runtime_checkable
class Watched(Protocol):
    """A live engine that can break while no one asks, such as one with processes of its own."""

    def problem(self) -> str:
        """Return why the engine cannot work any more; empty while it can."""
