"""JSON objects that the package stores, as typed models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from llm_summ.core.errors import first_line

__all__ = ["StoredModel", "first_invalid_field"]


class StoredModel(BaseModel):
    """A JSON object of a stored file.

    Unknown fields are kept, and missing fields have defaults: a file of another version can be read and written
    again without losing anything.
    """

    model_config = ConfigDict(extra="allow")

    def to_json(self) -> dict[str, Any]:
        """Return the fields that were given or read, and no defaults."""
        return self.model_dump(exclude_unset=True)


def first_invalid_field(error: ValidationError) -> str:
    """Return the first invalid field of a model and the reason; entries of a list are counted from 1."""
    details = error.errors(include_url=False)[0]
    where = ".".join(f"entry {key + 1}" if isinstance(key, int) else key for key in details["loc"])
    return ": ".join(filter(None, (where, first_line(ValueError(details["msg"])))))
