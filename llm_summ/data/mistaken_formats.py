"""Files that have another format than their name says, or are not quite CSV: the cause, and what to do.

Every remedy named here works: the file that it makes can be read.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.core.formatting import counted

__all__ = [
    "binary_format",
    "column_hint",
    "header_error",
    "json_error",
    "missing_columns",
    "other_text_format",
    "parquet_error",
    "parsed_json",
    "row_error",
    "wide_encoding",
    "wide_encoding_name",
]

_SAVE_AS_CSV = "open it and save it as CSV UTF-8 (comma delimited)"
_BINARY = (
    (b"\xd0\xcf\x11\xe0", "an Excel file (.xls)", _SAVE_AS_CSV),
    (b"PAR1", "parquet", "rename it to {stem}.parquet"),
    (b"ARROW1", "an Arrow file (Feather)", "save it as parquet"),
    (b"\x1f\x8b", "a gzip archive", "unpack it: gzip -dc {path} > {copy}"),
    (b"BZh", "a bzip2 archive", "unpack it: bzip2 -dc {path} > {copy}"),
    (b"\xfd7zXZ\0", "an xz archive", "unpack it: xz -dc {path} > {copy}"),
    (b"7z\xbc\xaf'\x1c", "a 7z archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it: zstd -dc {path} > {copy}"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"%PDF-", "a PDF", "take the file that it was made from"),
    (b"\x89PNG", "a picture (PNG)", "name the data file"),
    (b"\xff\xd8\xff", "a picture (JPEG)", "name the data file"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull"),
)
_EXPECTED = {
    ".jsonl": "a JSON object a line",
    ".parquet": "parquet",
    ".json": "JSON",
    **dict.fromkeys((".txt", ".vtt", ".srt"), "a text"),
}
_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body|table)\b", re.IGNORECASE)
_WIDE = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SEP_LINE = re.compile(r'"?sep=.?"?', re.IGNORECASE)
_TO_COMMAS = (
    "python -c \"import csv,sys; csv.writer(sys.stdout,lineterminator='\\n').writerows("
    "csv.reader(open(sys.argv[1],encoding='{encoding}',newline=''),delimiter='{sign}'))\" "
    "{path} > {stem}-commas.csv"
)
_TO_LINES = (
    'python -c "import json,sys; [print(json.dumps(row)) for row in '
    "json.load(open(sys.argv[1],encoding='{encoding}'))]\" {path} > {stem}-lines.jsonl"
)


def binary_format(path: Path, content: bytes) -> DataError | None:
    """Return the error for a file that is not text: a spreadsheet, an archive, a web page for a download."""
    found = next(((what, remedy) for start, what, remedy in _BINARY if content.startswith(start)), None)
    if content.startswith(b"PK\x03\x04"):
        found = _zip_format(content)
    elif _WEB_PAGE.match(content):
        found = "a web page (HTML)", "download the file itself, or save the table as CSV UTF-8"
    if found is None:
        return None
    what, remedy = found
    return DataError(f"{path}: found {what}; expected {_expected(path)}; {_filled(remedy, path)}")


def wide_encoding(path: Path, content: bytes) -> DataError | None:
    """Return the error for UTF-16 and UTF-32, with or without a byte order mark."""
    encoding = wide_encoding_name(content)
    if not encoding:
        return None
    first = content[:4000].decode(encoding, "ignore").split("\n")[0]
    name = encoding[:6].upper()
    if "\t" in first:
        return DataError(
            f"{path}: found {name} separated by tabs (Excel's Unicode text); expected UTF-8 and commas; "
            f"{_SAVE_AS_CSV}"
        )
    command = _filled(f"iconv -f {name}{encoding[7:].upper()} -t UTF-8 {{path}} > {{copy}}", path)
    return DataError(f"{path}: found {name}; expected UTF-8; save it as UTF-8, or convert it: {command}")


def wide_encoding_name(content: bytes) -> str:
    """Return UTF-16 or UTF-32, with or without a byte order mark; empty for other encodings."""
    for mark, encoding in _WIDE:
        if content.startswith(mark):
            return encoding
    head = content[:40]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(head) >= 8 and zeros.count(0) * 3 > len(head):
            return encoding.replace("16", "32") if head.count(0) * 8 > len(head) * 5 else encoding
    return ""


def other_text_format(path: Path, text: str, required: Sequence[str]) -> DataError | None:
    """Return the error for JSON that is named .csv, and for CSV or JSON that is named .parquet."""
    first = _first_line(text)
    if first.lstrip().startswith(("{", "[")):
        if isinstance(parsed_json(first), dict):
            return DataError(
                f"{path}: found JSON, an object a line; expected {_expected(path)}; "
                f"{_filled('rename it to {stem}.jsonl', path)}"
            )
        return json_error(path, text)
    if path.suffix.lower() != ".csv" and required and not missing_columns(_fields(first, ","), required):
        return DataError(
            f"{path}: found CSV; expected {_expected(path)}; {_filled('rename it to {stem}.csv', path)}"
        )
    return None


def parquet_error(path: Path, required: Sequence[str]) -> DataError | None:
    """Return the error for another format that is named .parquet, if it is recognised."""
    try:
        with path.open("rb") as file:
            head = file.read(100_000)
    except OSError:
        return None  # the reader reports the reason
    if head.startswith(b"PAR1"):
        return None
    if other := binary_format(path, head):
        return other
    text = head.decode("utf-8-sig", "ignore")
    return other_text_format(path, text, required) if text.isprintable() or "\n" in text else None


def json_error(path: Path, text: str, encoding: str = "utf-8") -> DataError | None:
    """Return the error for a text that is JSON as a whole: an array, or a single object over several lines."""
    value = parsed_json(text)
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        command = _filled(_TO_LINES, path, encoding=_python(encoding))
        return DataError(f"{path}: found a JSON array; expected {_expected(path)}; convert it: {command}")
    if isinstance(value, dict) and "\n" in text.strip():
        return DataError(
            f"{path}: found a single JSON object over several lines; expected {_expected(path)}; "
            "write every row as an object on its own line"
        )
    return None


def header_error(path: Path, text: str, required: Sequence[str], encoding: str) -> DataError | None:
    """Return the error for a header that is missing, or has the required columns in another form."""
    first = _first_line(text)
    if _SEP_LINE.fullmatch(first.strip()):
        return DataError(f"{path}:1: found {first.strip()}, which only Excel reads; remove this line")
    with_commas = _fields(first, ",")
    for sign, name in _SEPARATORS.items():
        fields = _fields(first, sign)
        some = len(with_commas) == 1 or len(missing_columns(fields, required)) < len(required)
        if len(fields) > len(with_commas) and some:
            shown = sign.replace("\t", "\\t")
            command = _filled(_TO_COMMAS, path, encoding=_python(encoding), sign=shown)
            return DataError(
                f"{path}: found {name} ({shown}) between the fields; expected commas; convert it: {command}"
            )
    return None


def missing_columns(columns: Sequence[str], required: Sequence[str]) -> list[str]:
    """Return the required columns that are missing; ``a|b`` means either of two."""
    return [name for name in required if not set(name.split("|")) & set(columns)]


def column_hint(columns: Sequence[str], missing: Sequence[str]) -> str:
    """Return what to do about missing columns, with a semicolon before it; empty if the cause is unknown."""
    alike = {name.strip(" \"'").casefold(): name for name in columns}
    for wanted in missing:
        for name in wanted.split("|"):
            if name in alike:
                return f"; rename {' '.join(alike[name].split())} to {name}"
    if len(columns) == 1 and "," in columns[0]:
        return "; the whole line is quoted as one field: remove the quotes around it"
    if any(re.search(r"#Person\d+#", name) for name in columns):
        return "; is the header line missing?"
    return ""


def row_error(place: str, fields: Sequence[str], header: str, width: int, lines: Sequence[str]) -> DataError:
    """Return the error for a row with too many or too few fields.

    Args:
        place: the row, for the message.
        fields: the fields of the row.
        header: the columns, for the message.
        width: the number of columns.
        lines: the last line of the previous row and of this one, with their line ends; empty if all lines have the
            same end.
    """
    count = f"found {counted(len(fields), 'field')}, expected {width} ({header})"
    if not any(field.strip() for field in fields):
        return DataError(
            f"{place}: found an empty row of {len(fields)} fields, expected {width} fields; delete it"
        )
    if any(line.endswith("\r") for line in lines):
        return DataError(
            f"{place}: {count}; a carriage return without quotes ends a row here: quote the field that holds it, "
            "or replace it with a space"
        )
    if len(fields) > width and not any(field.strip() for field in fields[width:]):
        return DataError(f"{place}: {count}; remove the commas at the end of the line")
    return DataError(
        f"{place}: {count}; quote a field that holds {'commas' if len(fields) > width else 'a line break'}"
    )


def _zip_format(content: bytes) -> tuple[str, str]:
    if b"mimetypeapplication/vnd.oasis.opendocument" in content[:200]:
        return "an OpenDocument file (.ods)", _SAVE_AS_CSV
    if b"[Content_Types].xml" in content or b"xl/" in content:
        return "an Excel file (.xlsx)", _SAVE_AS_CSV
    return "a ZIP archive", "unpack it: unzip {path}"


def _expected(path: Path) -> str:
    """Return the format that a file of this name should have."""
    return _EXPECTED.get(path.suffix.lower(), "CSV")


def _filled(remedy: str, path: Path, **values: str) -> str:
    """Return a remedy with the names of files filled in, quoted for a shell."""
    stem, suffix = path.stem, path.suffix.lower()
    names = {"path": shlex.quote(str(path)), "stem": shlex.quote(stem), "copy": shlex.quote(f"{stem}-new{suffix}")}
    return remedy.format(**names, **values)


def _python(encoding: str) -> str:
    return "cp949" if encoding == "cp949" else "utf-8-sig"


def _first_line(text: str) -> str:
    return next((line for line in io.StringIO(text, newline="") if line.strip()), "").strip("\ufeff\r\n")


def _fields(line: str, separator: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


def parsed_json(text: str) -> Any:
    """Return the value of a JSON text; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
