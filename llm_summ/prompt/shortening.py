"""What a prompt that is too long keeps: as many examples or turns as fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llm_summ.data import Turn

__all__ = ["kept_turns", "most_that_fit"]


def most_that_fit(
    most: int, make: Callable[[int], tuple[int, ...]], max_tokens: int
) -> tuple[int, tuple[int, ...]] | None:
    """Return the largest number from 1 to `most` that fits, and its prompt; None if 1 is too many.

    A larger number never makes a shorter prompt, so this is a binary search.

    Args:
        most: the largest number.
        make: returns the ids of the prompt with so many examples or turns.
        max_tokens: of a prompt.
    """
    fits, too_many, best = 0, most + 1, None
    while too_many - fits > 1:
        count = (fits + too_many) // 2
        ids = make(count)
        if len(ids) <= max_tokens:
            fits, best = count, (count, ids)
        else:
            too_many = count
    return best


def kept_turns(turns: Sequence[Turn], count: int, truncation: str) -> list[Turn]:
    """Return `count` of the turns, always with the last one.

    Args:
        turns: of a dialogue.
        count: at least 1.
        truncation: which turns are dropped: those at the head, in the middle or at the tail.
    """
    if truncation == "head":
        return list(turns[len(turns) - count :])
    front = count - 1 if truncation == "tail" else count // 2
    return [*turns[:front], *turns[len(turns) - (count - front) :]]
