"""Dataclasses as JSON: output for programs, and records that are stored in a file and read again.

A record is written under the names of its fields. A class that renames, omits or adds keys overrides
`JsonRecord.json_fields`, which may return records, paths and tuples.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llm_summ.core.errors import InputError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["JsonRecord", "as_json", "field_values", "one_line", "read_model"]

T = TypeVar("T")


class JsonRecord:
    """A dataclass that programs read as JSON."""

    __slots__ = ()

    def json_fields(self) -> Mapping[str, Any]:
        """Return the keys and values of the JSON: by default every field under its name."""
        return field_values(self)

    def to_json(self) -> dict[str, Any]:
        """Return the record for programs: mappings, lists, texts, numbers and None."""
        return {key: as_json(value) for key, value in self.json_fields().items()}


def field_values(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass by their names, as they are."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def as_json(value: Any) -> Any:
    """Return a value that JSON can hold: a record as a mapping, a path as text, a tuple as a list."""
    if isinstance(value, JsonRecord):
        return value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_json(field_values(value))
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):  # a named tuple
        return as_json(value._asdict())
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def one_line(record: Any) -> str:
    """Return a dataclass as JSON on one line; `read_model` gives an equal object, to the last bit."""
    return json.dumps(dataclasses.asdict(record))


def read_model(text: str, model: type[T], where: str, advice: str, error: type[InputError]) -> T:
    """Read what `one_line` wrote.

    Args:
        text: JSON.
        model: a dataclass. Its fields' types are checked strictly; the metadata of each field holds the
            text for its errors, ``expected``. Its ``__post_init__`` may raise a ValueError with the name of a
            field.
        where: the origin of the text, for an error.
        advice: what to do about an invalid text.
        error: the class of the error to raise.

    Raises:
        InputError: of the class `error`: the text is not valid.
    """
    from pydantic import ValidationError

    any_model: Any = model  # mypy does not treat a class as hashable
    adapter: TypeAdapter[T] = _adapter(any_model)
    try:
        return adapter.validate_json(text)
    except ValidationError as caught:
        raise error(f"{where}: {_reason(model, caught.errors()[0])}; {advice}") from caught


def _reason(model: type[Any], detail: Any) -> str:
    """Return what was expected, from the first error that pydantic reports."""
    kind = detail["type"]
    if kind == "json_invalid":
        return f"not valid JSON ({detail['ctx']['error']})"
    fields = {field.name: field.metadata.get("expected", "") for field in dataclasses.fields(model)}
    name = str(detail["ctx"]["error"] if kind == "value_error" else next(iter(detail["loc"]), ""))
    if name not in fields or (kind == "missing" and len(detail["loc"]) == 1):
        return f"expected an object with {', '.join(fields)}"
    return f"{name}: expected {fields[name]}"


@cache
def _adapter(model: type[Any]) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    # pydantic reads the configuration of a standard dataclass from this attribute only.
    model.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    return TypeAdapter(model)
