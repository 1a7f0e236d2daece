"""JSONL: an object a line, without what JSON does not have and Python would read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.data.mistaken_formats import json_error, other_text_format

__all__ = ["json_lines", "not_json_lines"]


def not_json_lines(path: Path, text: str, required: Sequence[str], encoding: str) -> DataError | None:
    """Return the error for a text that is no JSONL from its first line on, if the cause is known."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    try:
        if isinstance(json.loads(first), dict):
            return None
    except (ValueError, RecursionError):
        pass
    return json_error(path, text, encoding) or other_text_format(path, text, required)


def json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every object with the number of its line.

    Raises:
        DataError: a line is not an object in JSON, or it has a key twice.
    """
    for line, source in enumerate(text.split("\n"), 1):
        if not source.strip():
            continue
        try:
            value = json.loads(
                source, object_pairs_hook=_without_repeats, parse_constant=_finite, parse_float=_finite
            )
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line}: not JSON ({error}); expected one JSON object a line") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}:{line}: found {type(value).__name__}; expected a JSON object a line")
        yield line, value


def _finite(number: str) -> float:
    """A number; Python would also read NaN, Infinity and 1e400, which JSON does not have or nothing can hold."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"found {number}, not a number that can be kept")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; JSON itself would let the last of two equal keys win."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} is there twice")
    return found
