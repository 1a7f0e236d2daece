"""JSONL: a JSON object on each line, without what JSON does not have and Python would read."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.data.encoding import read_text
from llm_summ.data.formats.checks import check_columns, check_letters, check_values, finite_json
from llm_summ.data.formats.format import Format
from llm_summ.data.mistaken_formats import json_error, other_text_format, parsed_json
from llm_summ.data.table import Record, Table

__all__ = ["JSONL"]


def _read(path: Path, required: Sequence[str]) -> Table:
    text, encoding = read_text(path)
    first = next((line for line in text.split("\n") if line.strip()), "")
    if not isinstance(parsed_json(first), dict) and (
        other := json_error(path, text, encoding) or other_text_format(path, text, required)
    ):
        raise other
    records: list[Record] = []
    columns: dict[str, None] = {}
    known: set[tuple[str, ...]] = set()  # the columns of rows that were checked
    for line, values in _objects(path, text):
        names = tuple(values)
        where = partial(JSONL.place, path, line)
        if names not in known:
            for name in names:
                check_letters(where, "a key", name)
            check_columns(where(), names, required)
            known.add(names)
            columns.update(dict.fromkeys(names))
        check_values(where, values)
        records.append(Record(line, values))
    return Table(path, tuple(columns), records, encoding)


def _objects(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every object with the number of its line.

    Raises:
        DataError: a line is not a JSON object, or has a key twice.
    """
    for line, source in enumerate(text.split("\n"), 1):
        if not source.strip():
            continue
        try:
            value = json.loads(
                source, object_pairs_hook=_without_duplicates, parse_constant=_finite, parse_float=_finite
            )
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line}: not JSON ({error}); expected one JSON object a line") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}:{line}: found {type(value).__name__}; expected a JSON object a line")
        yield line, value


def _finite(number: str) -> float:
    """Return a number; Python would also read NaN, Infinity and 1e400, which JSON or a float does not have."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"found {number}, not a number that can be kept")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of two equal keys, JSON itself would keep the last."""
    values = dict(pairs)
    if len(values) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        duplicate = next(name for name in counts if counts[name] > 1)
        raise ValueError(f"key {duplicate!r} is there twice")
    return values


def _write(table: Table, path: Path) -> bytes:
    """Return the file as UTF-8, with a byte order mark if a JSONL file with one was read."""
    text = "".join(finite_json(table, record, record.values) + "\n" for record in table.records)
    marked = table.encoding == "utf-8-sig" and table.path.suffix.lower() in JSONL.suffixes
    return text.encode("utf-8-sig" if marked else "utf-8")


JSONL = Format("JSONL", (".jsonl",), read=_read, write=_write)
