"""A JSON value that knows where it is, so that an error about a wrong type names the place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.data.formats.checks import shown_text
from llm_summ.data.formats.conversation import Source
from llm_summ.data.turn_list import seconds

__all__ = ["Node", "has_keys", "json_outline", "read_json"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a JSON file.

    Attributes:
        value: the value; None also for what is missing.
        path: the file.
        place: where in the file, such as ``data[3].body``; empty for the whole.
    """

    value: Any
    path: Path
    place: str = ""

    def __getitem__(self, key: str) -> Node:
        """Return the value under a key of an object; a Node of None if it is missing.

        Raises:
            DataError: this is not an object.
        """
        place = f"{self.place}.{key}" if self.place else key
        if self.value is None:
            return Node(None, self.path, place)
        if not isinstance(self.value, dict):
            raise self.error("an object")
        return Node(self.value.get(key), self.path, place)

    def __iter__(self) -> Iterator[Node]:
        """Yield the items of a list; none if it is missing.

        Raises:
            DataError: this is not a list.
        """
        if self.value is None:
            return
        if not isinstance(self.value, list):
            raise self.error("a list")
        for number, item in enumerate(self.value):
            yield Node(item, self.path, f"{self.place}[{number}]")

    @property
    def is_object(self) -> bool:
        """Whether this is an object."""
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        """Whether this is a list."""
        return isinstance(self.value, list)

    def text(self) -> str:
        """Return a text, or a whole number as a text; empty if it is missing.

        Raises:
            DataError: this is something else.
        """
        if self.value is None:
            return ""
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, int) and not isinstance(self.value, bool) and abs(self.value) < 10**18:
            return str(self.value)
        raise self.error("a text")

    def texts(self) -> list[str]:
        """Return the texts of a list, or a single text as a list.

        Raises:
            DataError: this is something else.
        """
        items = list(self) if self.is_list else [self]
        return [text for item in items if (text := item.text())]

    def seconds(self, unit: float = 1.0) -> float | None:
        """Return a time in seconds: of a number, a number as a text, or a clock; None for anything else.

        Args:
            unit: the length of one unit of the file in seconds.
        """
        value = self.value
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return seconds(value)
        try:
            number = seconds(value)
        except OverflowError:  # a whole number of hundreds of digits
            return None
        return None if number is None or not math.isfinite(number * unit) else number * unit

    def error(self, expected: str) -> DataError:
        """Return the error for a value of another kind."""
        found = "nothing" if self.value is None else f"{type(self.value).__name__} {_shown(self.value)}".strip()
        return DataError(f"{self.path}: {self.place or 'the whole'}: found {found}; expected {expected}")


def read_json(source: Source) -> Node:
    """Parse a file as one JSON value.

    Raises:
        DataError: it is not JSON, as when it was cut off.
    """
    text = source.text()
    try:
        return Node(json.loads(text), source.path)
    except json.JSONDecodeError as error:
        cut = "; was the file cut off?" if error.pos >= len(text.rstrip()) - 1 or "Untermin" in error.msg else ""
        raise DataError(
            f"{source.path}:{error.lineno}: not JSON from here ({error.msg}); expected one whole JSON value{cut}"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; too deep
        raise DataError(f"{source.path}: not JSON that can be read ({error})") from error


def has_keys(head: bytes, *keys: str) -> bool:
    """Return whether all the keys are in the beginning of a JSON file."""
    return all(f'"{key}"'.encode() in head for key in keys)


def json_outline(path: Path, content: bytes) -> str:
    """Return what a JSON file holds, for a message: its first keys.

    Raises:
        DataError: it is not JSON, as when it was cut off.
    """
    value = read_json(Source(path, content)).value
    what = "an object"
    if isinstance(value, list):
        what, value = f"a list of {len(value)}", next(iter(value), None)
    if not isinstance(value, dict):
        return f"{what} without keys"
    keys = [shown_text(key) for key in list(value)[:8]]
    return f"{what} with {', '.join(keys) or 'no keys'}{'…' * (len(value) > len(keys))}"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"of {len(value)}"
    return repr(value)[:40]
