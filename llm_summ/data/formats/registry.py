"""The formats of data files: chosen by suffix, then by content, and how a file is read and written.

A new format is a module with a `Format`, and a line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from llm_summ.core.errors import DataError, file_problem
from llm_summ.core.files import whole_file
from llm_summ.core.formatting import did_you_mean
from llm_summ.core.progress import say
from llm_summ.data.formats.aihub import AIHUB_DIALOGUE, AIHUB_MEETING, AIHUB_MINUTES
from llm_summ.data.formats.aihub_calls import AIHUB_CALLS, AIHUB_FINANCE
from llm_summ.data.formats.archive import ARCHIVE
from llm_summ.data.formats.captions import SRT, VTT
from llm_summ.data.formats.checks import check_columns, shown_text
from llm_summ.data.formats.clova import CLOVA_NOTE, CLOVA_SPEECH
from llm_summ.data.formats.conversation import UnknownContentError
from llm_summ.data.formats.csv_file import CSV
from llm_summ.data.formats.format import Format
from llm_summ.data.formats.json_node import json_outline
from llm_summ.data.formats.jsonl_file import JSONL
from llm_summ.data.formats.kakaotalk import KAKAOTALK, KAKAOTALK_MAC
from llm_summ.data.formats.malpyeong import MALPYEONG
from llm_summ.data.formats.nikl import NIKL
from llm_summ.data.formats.parquet_file import PARQUET
from llm_summ.data.formats.plain_text import PLAIN_TEXT
from llm_summ.data.formats.slack import SLACK
from llm_summ.data.formats.whisper import WHISPER
from llm_summ.data.mistaken_formats import binary_format, wide_encoding
from llm_summ.data.table import Table

__all__ = [
    "FORMATS",
    "find_format",
    "format_names",
    "format_of_source",
    "has_reader",
    "is_data_file",
    "named_format",
    "place",
    "read_table",
    "recognise",
    "register",
    "say_encoding",
    "write_table",
    "writer_for",
]

FORMATS: list[Format] = [
    *(CSV, JSONL, PARQUET),
    KAKAOTALK,
    KAKAOTALK_MAC,
    CLOVA_NOTE,
    CLOVA_SPEECH,
    VTT,
    SRT,
    WHISPER,
    SLACK,
    NIKL,
    MALPYEONG,
    AIHUB_DIALOGUE,
    AIHUB_MINUTES,
    AIHUB_MEETING,
    AIHUB_CALLS,
    AIHUB_FINANCE,
    PLAIN_TEXT,
    ARCHIVE,
]
"""All formats. Of those that share a suffix, the first that recognises a file reads it."""

_HEAD = 2**16  # bytes that `Format.sniff` is given
_SEARCHED = 2**24  # bytes after them, where the first are not enough


def register(new: Format) -> None:
    """Add a format of your own, for this process.

    Raises:
        ValueError: it has the name of another format; a suffix of it has no dot or a capital letter; or another
            format accepts every file with that suffix, and so does this one.
    """
    if any(new.name == known.name for known in FORMATS):
        raise ValueError(f"format {new.name}: found another format of this name; expected a new name")
    for suffix in new.suffixes:
        if not suffix.startswith(".") or suffix != suffix.lower():
            raise ValueError(
                f"format {new.name}: suffix {suffix!r}: expected a dot and small letters, like '.csv'"
            )
        if new.sniff is None and any(known.sniff is None for known in _with_suffix(suffix)):
            raise ValueError(
                f"format {new.name}: {suffix} files are read already; give the format a sniff function"
            )
    FORMATS.append(new)


def find_format(path: Path) -> Format:
    """Return the format of a file that exists, or of a folder with an export.

    Raises:
        DataError: no format has the suffix of the file, none of those that have it recognises the content, or the
            file cannot be read.
    """
    if path.is_dir():
        return ARCHIVE
    candidates = _with_suffix(path.suffix.lower())
    if len(candidates) == 1 and candidates[0].sniff is None:
        return candidates[0]
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            return recognise(path, head, lambda: head + file.read(_SEARCHED))
    except OSError as error:
        raise DataError(file_problem(path, "read", error)) from error


def format_of_source(path: Path, known: Format | None) -> Format:
    """Return the format as which a file or a folder is read.

    Args:
        path: the file, or the folder.
        known: the format that the user named, which is that of the files in a zip or a folder; None: it is found.

    Raises:
        DataError: as for `find_format`.
    """
    if path.is_dir() or (path.suffix.lower() == ".zip" and (known is None or ".zip" not in known.suffixes)):
        return ARCHIVE
    return known or find_format(path)


def recognise(path: Path, content: bytes, more: Callable[[], bytes] | None = None) -> Format:
    """Return the format of a content.

    Args:
        path: its name, which may be that of a file in an archive.
        content: the content, or its beginning.
        more: returns more of it, where the beginning does not show the format.

    Raises:
        DataError: no format has the suffix, or none of those that have it recognises the content.
    """
    candidates = _with_suffix(path.suffix.lower())
    if not candidates:
        raise _unknown_suffix(path)
    sniffers = [known for known in candidates if known.sniff is not None]
    head = content[:_HEAD]
    for known in sniffers:
        if known.sniff is not None and known.sniff(path, head):
            return known
    if general := next((known for known in candidates if known.sniff is None), None):
        return general
    whole = content if more is None else more()
    if len(whole) > len(head):  # a JSON file may begin with a long text
        for known in sniffers:
            if known.sniff is not None and known.sniff(path, whole):
                return known
    raise _unknown_content(path, whole, [known.name for known in candidates])


def has_reader(path: Path) -> bool:
    """Return whether conversations can be read from a file of this name."""
    return any(known.parse is not None for known in _with_suffix(path.suffix.lower()))


def named_format(name: str) -> Format:
    """Return the format of a name that `--format` accepts.

    Raises:
        DataError: there is none.
    """
    known = {one.name: one for one in FORMATS if one.parse is not None}
    if name not in known:
        hint = did_you_mean(name, known)
        raise DataError(
            f"--format {name}: unknown; {hint + ' Expected' if hint else 'expected'} {', '.join(known)}"
        )
    return known[name]


def writer_for(path: Path, preferred: Format | None = None) -> Format:
    """Return the format in which a file of this name is written.

    Args:
        path: the file; it need not exist.
        preferred: the format that the table was read as, which is kept if it has the suffix.

    Raises:
        DataError: no format with this suffix can be written.
    """
    candidates = [known for known in _with_suffix(path.suffix.lower()) if known.write is not None]
    if not candidates:
        raise _unknown_suffix(path, [known for known in FORMATS if known.write is not None])
    if preferred in candidates and preferred is not None:
        return preferred
    return next((known for known in candidates if known.sniff is None), candidates[0])


def is_data_file(path: Path) -> bool:
    """Return whether a format has the suffix of this name; the file need not exist."""
    return bool(_with_suffix(path.suffix.lower()))


def format_names() -> str:
    """Return the formats as a message shows them: ``CSV, JSONL, parquet, or a chat or transcript``."""
    tables = [known.name for known in FORMATS if known.parse is None and known is not ARCHIVE]
    return f"{', '.join(tables)}, chat or transcript"


def place(path: Path, line: int) -> str:
    """Return a line of a file as an error names it; parquet has rows, not lines."""
    known = next(iter(_with_suffix(path.suffix.lower())), CSV)
    return known.place(path, line)


def read_table(path: Path, required: Sequence[str]) -> Table:
    """Read a file in the format that its name and content show.

    Args:
        path: the file.
        required: columns that the file needs (in JSONL: every row); ``a|b`` means either of two.

    Raises:
        DataError: the file cannot be read, is damaged, or lacks a column.
        MissingPackageError: the format needs an optional package that is not installed.
    """
    known = find_format(path)
    table = replace(known.read(path, required), format=known)
    if table.records:
        check_columns(str(path), table.columns, required)
    return table


def write_table(table: Table, path: Path) -> None:
    """Write a table in the format of the file's name; `path` appears whole or not at all.

    Reading the file again gives the same records if the format is the same. Another format keeps the texts, but
    CSV has neither numbers nor nulls, and parquet has every column in every row.

    Raises:
        DataError: no format with this suffix can be written, the format cannot hold a value, or the file cannot be
            written.
        MissingPackageError: the format needs an optional package that is not installed.
    """
    known = writer_for(path, table.format)
    assert known.write is not None, known
    content = known.write(table, path)
    try:
        with whole_file(path) as building:
            building.write_bytes(content)
    except OSError as error:
        raise DataError(file_problem(path, "written", error)) from error


def say_encoding(table: Table) -> None:
    """Print a notice if the files written from this table have another encoding than the file that was read."""
    if table.encoding == "cp949":
        say(f"{table.path}: is CP949; files written from it are UTF-8")


def _with_suffix(suffix: str) -> list[Format]:
    return [known for known in FORMATS if suffix in known.suffixes]


def _unknown_suffix(path: Path, expected: list[Format] | None = None) -> DataError:
    suffix = path.suffix.lower()
    found = f"that ends in {suffix!r}" if suffix else "without an ending"
    endings = dict.fromkeys(ending for known in expected or FORMATS for ending in known.suffixes)
    return DataError(f"{path}: found a name {found}; expected {', '.join(endings)}")


def _unknown_content(path: Path, content: bytes, names: list[str]) -> DataError:
    """Return the error for a content that no format with its suffix recognises."""
    expected = f"expected {_either(names)} in a {path.suffix.lower()} file"
    if not content.strip():
        return DataError(f"{path}: empty file; {expected}")
    if other := binary_format(path, content) or wide_encoding(path, content):
        return other
    if path.suffix.lower() == ".json":
        try:
            outline = json_outline(path, content)
        except DataError as error:
            return error
        return UnknownContentError(f"{path}: found no format that is known, but {outline}; {expected}")
    lines = content[:4000].decode("utf-8-sig", "replace").splitlines()
    shown = " / ".join([shown_text(line) for line in lines if line.strip()][:3])
    return UnknownContentError(f"{path}: found no format that is known, but «{shown}»; {expected}")


def _either(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
