"""Checks that several formats share: of columns, and of single values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.data.mistaken_formats import column_hint, missing_columns
from llm_summ.data.table import Record, Table

__all__ = [
    "MAX_FIELD_BYTES",
    "check_columns",
    "check_letters",
    "check_size",
    "check_values",
    "finite_json",
    "first_names",
    "shown_columns",
    "shown_text",
]

MAX_FIELD_BYTES = 1_000_000
"""A field of this size is refused: in practice a quote is missing, and the field is half of the file."""

Where = Callable[[], str]  # makes the place of an error, which is needed only if there is one


def check_columns(where: str, columns: Sequence[str], required: Sequence[str]) -> None:
    """Check that the required columns are there, and that no column is there twice.

    Args:
        where: the file or row, for the error.
        columns: the columns that it has.
        required: the columns that it needs; ``a|b`` means either of two.

    Raises:
        DataError: a column is missing or a duplicate.
    """
    if missing := missing_columns(columns, required):
        raise DataError(
            f"{where}: no column {first_names(missing)}; found {shown_columns(columns)}; "
            f"expected {first_names(required)}{column_hint(columns, missing)}"
        )
    if len(set(columns)) < len(columns):
        duplicates = sorted(name for name, count in Counter(columns).items() if count > 1)
        hint = ", such as summary1, summary2" if "summary" in duplicates else ""
        raise DataError(
            f"{where}: column {shown_columns(duplicates)} is there twice; every column needs its own name{hint}"
        )


def check_values(where: Where, values: dict[str, Any]) -> None:
    """Check the values of a row that JSON and parquet can hold and no text should.

    Args:
        where: makes the place of the row, for the error.
        values: by column.

    Raises:
        DataError: a text or a key has half a character (a lone surrogate) or a NUL, or is too long.
    """
    for name, value in values.items():
        _check_value(where, name, value)


def check_size(where: Where, column: str, value: str) -> None:
    """Check that a field has less than `MAX_FIELD_BYTES`.

    Raises:
        DataError: it is longer.
    """
    # A character has at most four bytes: short fields need not be encoded to be counted.
    if len(value) * 4 < MAX_FIELD_BYTES:
        return
    size = len(value.encode("utf-8", "replace"))
    if size >= MAX_FIELD_BYTES:
        raise DataError(
            f"{where()}: {shown_columns([column])}: found a field of {size:,} bytes, expected less than "
            f"{MAX_FIELD_BYTES:,}; is a quote missing before it?"
        )


def check_letters(where: Where, column: str, text: str) -> None:
    """Check that a text has no half character (a lone surrogate) and no NUL.

    Raises:
        DataError: it has one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:  # JSON can write half a character; UTF-8 cannot
        found = f"{text[error.start]!r}, half a character"
        raise DataError(f"{where()}: {shown_columns([column])}: found {found}; expected a text") from error
    if "\0" in text:
        raise DataError(f"{where()}: {shown_columns([column])}: found a NUL; expected a text")


def finite_json(table: Table, record: Record, value: Any) -> str:
    """Return a value of a record as JSON.

    Raises:
        DataError: a number in it is infinite or not a number.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError as error:  # parquet has such numbers
        raise DataError(
            f"{table.place(record)}: found a number that is not finite, which JSON does not have; "
            "choose a name that ends in .parquet"
        ) from error


def first_names(required: Sequence[str]) -> str:
    """Return required columns for a message; of two alternatives, the first."""
    return ", ".join(name.partition("|")[0] for name in required)


def shown_columns(columns: Sequence[str]) -> str:
    """Return the names of columns for a message, on one line of limited length."""
    names = [" ".join(name.split()) or "(no name)" for name in columns[:12]]
    shown = ", ".join(names + ["…"] * (len(columns) > 12)) or "none"
    return shown if len(shown) <= 160 else shown[:160] + "…"


def shown_text(text: str, most: int = 40) -> str:
    """Return the beginning of a text for a message, on one line and without signs that cannot be printed."""
    words = " ".join(text.split())
    shown = "".join(letter if letter.isprintable() else "�" for letter in words[:most])
    return shown + "…" * (len(words) > most)


def _check_value(where: Where, column: str, value: Any) -> None:
    if isinstance(value, str):
        check_size(where, column, value)
        check_letters(where, column, value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_letters(where, f"{column}: a key", key)
            _check_value(where, column, inner)
    elif isinstance(value, list):
        for inner in value:
            _check_value(where, column, inner)
