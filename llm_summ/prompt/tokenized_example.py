"""A dialogue as token ids, as the renderer makes it and training and every engine use it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TokenizedExample"]


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """A dialogue as token ids.

    Attributes:
        id: the dialogue's id.
        prompt_ids: shape (p,).
        completion_ids: shape (c,), without the stop id; empty for generation.
        stop_id: ends the completion.
        dropped_turns: number of turns that were dropped because the prompt was too long.
        examples: number of examples in the prompt.
        start_id: the first input of an encoder-decoder's decoder; None: a decoder, which continues the prompt.
    """

    id: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    stop_id: int
    dropped_turns: int = 0
    examples: int = 0
    start_id: int | None = None

    def __len__(self) -> int:
        """Return the number of tokens of the prompt, the completion and the stop id."""
        return len(self.prompt_ids) + len(self.completion_ids) + 1

    @property
    def target_tokens(self) -> int:
        """Number of target tokens: those of the completion, and the stop token."""
        return len(self.completion_ids) + 1
