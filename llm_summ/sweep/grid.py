"""The settings that a sweep tries: every combination of the given values of its fields."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from llm_summ.core.errors import RecipeError

__all__ = ["Setting", "grid"]

Setting = tuple[tuple[str, str], ...]
"""Fields of a recipe with their values, as written after ``--set``."""


def grid(options: Sequence[str]) -> list[Setting]:
    """Return every combination, the first values first; the last field changes fastest.

    Args:
        options: such as ``generate.max_new_tokens=80,120`` or ``post=[strip],[strip,cut_unfinished]``.

    Raises:
        RecipeError: an option has no field, no value or a duplicate value, or a field has two options.
    """
    fields: dict[str, list[str]] = {}
    for text in options:
        field, equals, joined = text.partition("=")
        field = field.strip()
        values = split(joined)
        if not equals or not field or not all(values):
            raise RecipeError(
                f"--over {text}: expected FIELD=VALUE,VALUE, such as generate.max_new_tokens=80,120,160"
            )
        if field in fields:
            raise RecipeError(f"--over {text}: {field} has two --over options; give all its values in one")
        if len(set(values)) < len(values):
            raise RecipeError(f"--over {text}: duplicate value; remove it")
        fields[field] = values
    return list(itertools.product(*([(field, value) for value in values] for field, values in fields.items())))


def split(values: str) -> list[str]:
    """Split at commas outside brackets.

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
