"""Which settings a sweep tries: every combination of the values that its fields are given."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from llm_summ.core.errors import RecipeError

__all__ = ["Setting", "grid"]

Setting = tuple[tuple[str, str], ...]
"""Fields of a recipe with their values, as they are written after ``--set``."""


def grid(asked: Sequence[str]) -> list[Setting]:
    """Every combination, the first values first; the last field changes quickest.

    Args:
        asked: such as ``generate.max_new_tokens=80,120`` or ``post=[strip],[strip,cut_unfinished]``.

    Raises:
        RecipeError: one has no field, no value, the same value twice, or comes twice.
    """
    fields: dict[str, list[str]] = {}
    for text in asked:
        field, equals, values = text.partition("=")
        field = field.strip()
        found = split(values)
        if not equals or not field or not all(found):
            raise RecipeError(
                f"--over {text}: expected FIELD=VALUE,VALUE, such as generate.max_new_tokens=80,120,160"
            )
        if field in fields:
            raise RecipeError(f"--over {text}: {field} stands there twice; give all its values at once")
        if len(set(found)) < len(found):
            raise RecipeError(f"--over {text}: a value stands there twice")
        fields[field] = found
    return list(itertools.product(*([(field, value) for value in values] for field, values in fields.items())))


def split(values: str) -> list[str]:
    """Split at commas that stand in no brackets.

    >>> split("[strip, cut],[]")
    ['[strip, cut]', '[]']
    """
    parts, depth = [""], 0
    for letter in values:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
