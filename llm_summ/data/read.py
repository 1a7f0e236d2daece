"""Reads data files, prediction files and the bundled sample."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_summ.data.dialogue import Dialogue
from llm_summ.errors import DataError, InputError, PredictionError
from llm_summ.files import read_jsonl

__all__ = ["copy_sample", "read_dialogues", "read_hypotheses", "resolve_source", "source_name"]

_SAMPLE = Path(__file__).parent / "sample"
_SAMPLE_PARTS = ("train", "dev", "test")
_REFERENCE = re.compile(r"summary\d*")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # JSON can write half a character, UTF-8 cannot
_FIELD_LIMIT = 2**24  # characters; Python's own limit of 131,072 refuses long meetings

Row = tuple[int, dict[str, str]]


def resolve_source(source: str) -> Path:
    """The file that a source means: a path, or ``sample:train``, ``sample:dev``, ``sample:test``.

    Raises:
        DataError: there is no such file.
    """
    if source.startswith("sample:"):
        part = source.removeprefix("sample:")
        if part not in _SAMPLE_PARTS:
            raise DataError(
                f"{source}: no such part of the sample; expected sample:train, sample:dev or sample:test"
            )
        return _SAMPLE / f"{part}.csv"
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        raise DataError(f"{source}: is a folder; expected a CSV or JSONL file")
    names = [other.name for other in path.parent.glob("*") if other.suffix in {".csv", ".jsonl"}]
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"did you mean {path.parent / near[0]}?" if near else "`llm-summ data sample DIR` writes an example"
    raise DataError(f"{source}: no such file; {hint}")


def source_name(source: str) -> str:
    """A short name of a source for file names: ``dev.csv`` is ``dev``, ``sample:dev`` is ``sample-dev``."""
    return source.replace(":", "-") if source.startswith("sample:") else Path(source).stem


def read_dialogues(source: str, *, references: bool = False) -> list[Dialogue]:
    """Read a data file.

    Columns: `fname` and `dialogue`; `summary` or `summary1`, `summary2` … (references, each optional) and
    `topic`. Other columns, such as an index without a name, are left alone.

    Args:
        source: a path that ends in .csv or .jsonl, or ``sample:train|dev|test``.
        references: whether every row must have at least one reference.

    Raises:
        DataError: the file is missing, unreadable or empty, lacks a column, or a row is not usable.
    """
    path = resolve_source(source)
    dialogues: list[Dialogue] = []
    seen: dict[str, int] = {}
    for line, row in _rows(path, required=("fname", "dialogue")):
        identity, text = row["fname"].strip(), row["dialogue"]
        if not identity:
            raise DataError(f"{path}:{line}: empty fname; every row needs an id")
        if len(identity.splitlines()) > 1:
            raise DataError(
                f"{path}:{line}: fname: found a line break in {identity!r}; expected an id on one line"
            )
        if identity in seen:
            raise DataError(
                f"{path}:{line}: id {identity} stands already in line {seen[identity]}; ids must differ"
            )
        if not text.strip():
            raise DataError(f"{path}:{line}: {identity}: empty dialogue; fill it in or remove the row")
        seen[identity] = line
        found = tuple(value for key, value in row.items() if _REFERENCE.fullmatch(key) and value.strip())
        if references and not found:
            columns = sorted(key for key in row if _REFERENCE.fullmatch(key))
            if not columns:
                raise DataError(
                    f"{path}: no column summary (or summary1, summary2 …); found {_shown(list(row))}; "
                    "this command needs references"
                )
            raise DataError(f"{path}:{line}: {identity}: empty {', '.join(columns)}; every row needs a reference")
        dialogues.append(Dialogue(identity, text, found, row.get("topic") or None))
    if not dialogues:
        raise DataError(f"{path}: no rows; expected at least one dialogue")
    return dialogues


def read_hypotheses(path: Path) -> dict[str, str]:
    """Read a prediction file (CSV or JSONL) with the columns `fname` and `summary`.

    Returns:
        the summary of each id, as it stands; it may be empty.

    Raises:
        PredictionError: the file cannot be used.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise PredictionError(f"{path}: {what}; expected predictions as CSV or JSONL with fname and summary")
    hypotheses: dict[str, str] = {}
    try:
        for line, row in _rows(path, required=("fname", "summary")):
            identity = row["fname"].strip()
            if identity in hypotheses:
                raise PredictionError(
                    f"{path}:{line}: id {identity} stands there twice; expected one row for each id"
                )
            hypotheses[identity] = row["summary"]
    except DataError as error:
        raise PredictionError(str(error)) from error
    return hypotheses


def copy_sample(folder: Path) -> list[Path]:
    """Write the bundled sample and its data card into `folder`.

    Raises:
        DataError: a file of that name is there already; nothing is written then.
    """
    sources = sorted(path for path in _SAMPLE.iterdir() if path.suffix in {".csv", ".md"})
    targets = [folder / path.name for path in sources]
    for target in targets:
        if target.exists():
            raise DataError(f"{target}: is there already; choose an empty folder")
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; expected a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    for source, target in zip(sources, targets, strict=True):
        target.write_bytes(source.read_bytes())
    return targets


def _rows(path: Path, required: Sequence[str]) -> Iterator[Row]:
    kind = path.suffix.lower()
    if kind == ".csv":
        return _csv_rows(path, required)
    if kind == ".jsonl":
        return _jsonl_rows(path, required)
    raise DataError(f"{path}: found a name that ends in {kind or 'nothing'!r}; expected .csv or .jsonl")


def _csv_rows(path: Path, required: Sequence[str]) -> Iterator[Row]:
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    end = 0  # the line on which the last record ended
    try:
        header = next(filter(None, reader), None)  # an empty line is an empty record
        if header is None:
            raise DataError(f"{path}: empty file; expected a header with {', '.join(required)}")
        header = [name.strip() for name in header]
        _check_columns(path, header, required)
        end = reader.line_num
        for record in reader:
            line, end = end + 1, reader.line_num
            if not record:
                continue  # an empty line
            if len(record) != len(header):
                raise DataError(
                    f"{path}:{line}: found {len(record)} fields, expected {len(header)} "
                    f"({_shown(header)}); quote a field that holds commas"
                )
            yield line, dict(zip(header, record, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}:{end + 1}: not valid CSV from here ({error}); check the quotes") from error


def _jsonl_rows(path: Path, required: Sequence[str]) -> Iterator[Row]:
    try:
        for line, record in read_jsonl(path):
            _check_columns(path, list(record), required, line)
            yield line, {key: _json_text(path, line, key, value) for key, value in record.items()}
    except DataError:
        raise
    except InputError as error:
        raise DataError(str(error)) from error


def _json_text(path: Path, line: int, key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        if half := _SURROGATE.search(value):
            raise DataError(f"{path}:{line}: {key}: found {half[0]!r}, half a character; expected a text")
        return value
    if key in {"fname", "dialogue", "topic"} or _REFERENCE.fullmatch(key):
        raise DataError(f"{path}:{line}: {key}: found {type(value).__name__}; expected a text")
    return json.dumps(value, ensure_ascii=False)


def _check_columns(path: Path, found: Sequence[str], required: Sequence[str], line: int | None = None) -> None:
    where = f"{path}:{line}" if line else str(path)
    missing = [name for name in required if name not in found]
    if missing:
        raise DataError(
            f"{where}: no column {', '.join(missing)}; found {_shown(found)}; expected {', '.join(required)}"
        )
    twice = sorted({name for name in found if name and list(found).count(name) > 1})
    if twice:
        raise DataError(f"{where}: column {_shown(twice)} stands there twice; every column needs its own name")


def _shown(columns: Sequence[str]) -> str:
    """Column names as an error shows them, on one line."""
    names = [" ".join(name.split()) or "(no name)" for name in columns[:12]]
    return ", ".join(names + ["…"] * (len(columns) > 12)) or "none"


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8 (spreadsheets often write CP949 or UTF-16)"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise DataError(f"{path}:{line}: found a NUL byte; the file is damaged or UTF-16; save it as UTF-8")
    return text
