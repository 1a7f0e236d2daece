"""Reading a submission that may be broken in any way: what can be read is read, and what is wrong is said.

`llm_summ.data.table` refuses a broken file at its first fault; here one goes on behind it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from llm_summ.data.encoding import read_text
from llm_summ.data.oddities import visible
from llm_summ.data.table import MAX_FIELD_BYTES
from llm_summ.errors import DataError
from llm_summ.submit.sample import Sample

__all__ = ["Fault", "Ids", "Row", "file_rows", "file_text"]

_SEPARATORS = ",\t;|"
_MOST_LINES = 100  # of a row; where a quote is not closed, a row would take in the rest of the file
_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel file (.xlsx)"),
    (b"\xd0\xcf\x11\xe0", "an Excel file (.xls)"),
    (b"PAR1", "parquet"),
    (b"\x1f\x8b", "gzip"),
)
_WIDE = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_BYTE = re.compile("[\udc80-\udcff]+")  # bytes that are no UTF-8


class Fault(NamedTuple):
    """One place of a fault.

    Attributes:
        kind: a name of `kinds.KINDS`.
        line: of the file, from 1; None where it concerns the whole file, or a row that is not there.
        id: the row's id, with what is not seen made visible; empty if it has none.
        found: what stands there.
    """

    kind: str
    line: int | None
    id: str
    found: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        line: the line on which it begins.
        fields: as well as they can be told apart; none for an empty line.
        broken: whether its quotes are.
    """

    line: int
    fields: list[str]
    broken: bool


class Ids:
    """The ids of a sample, and what looks like one: ids that differ in their figures only."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = frozenset(ids)
        self._shapes = {re.sub(r"\d+", "0", identity) for identity in ids}

    def has(self, text: str) -> bool:
        """Whether it is an id of the sample."""
        return text in self._ids

    def alike(self, text: str) -> bool:
        """Whether it is an id or looks like one; ids that are bare figures look like other figures."""
        return text in self._ids or re.sub(r"\d+", "0", text) in self._shapes

    def begin(self, line: str, separator: str) -> bool:
        """Whether a row begins with this line: an id stands first, or behind an index."""
        parts = line[:1000].split(separator, 2)[:-1]
        return any(not part.strip(' "').isdigit() and self.alike(part.strip(' "')) for part in parts)


def file_text(path: Path, content: bytes, sample: Sample) -> tuple[str, list[Fault]]:
    """A file's text, without a byte order mark and NULs, and what is wrong with the file as a whole.

    The text is empty where there is none. Bytes that are not UTF-8 stay as surrogates.
    """
    faults: list[Fault] = []
    if not content.strip(b"\xef\xbb\xbf \t\r\n"):
        return "", [Fault("empty-file", None, "", f"{len(content)} bytes")]
    for signature, what in _SIGNATURES:
        if content.startswith(signature):
            return "", [Fault("not-csv", None, "", what)]
    wide = _wide_encoding(content)
    if wide:
        text = content.decode(wide, "replace").lstrip("\ufeff")
        faults.append(Fault("encoding", None, "", wide[:6].upper()))
    else:
        text = content.decode("utf-8-sig", "surrogateescape")
        if content.startswith(b"\xef\xbb\xbf") and sample.encoding != "utf-8-sig":
            faults.append(Fault("byte-order-mark", 1, "", "EF BB BF"))
        if _BYTE.search(text):
            text, bad = _not_utf_8(path, text, sample)
            faults += bad
    if text.lstrip()[:1] in ("{", "[") and _is_json(text):
        return "", [*faults, Fault("not-csv", None, "", "JSON; give it the ending .jsonl and use --predictions")]
    faults += [
        Fault("nul", number, "", visible(line, line.index("\0"), line.index("\0") + 1))
        for number, line in enumerate(_lines(text), 1)
        if "\0" in line
    ]
    text = text.replace("\0", "")
    return text, faults + list(_line_ends(text, sample))


def _wide_encoding(content: bytes) -> str:
    """UTF-16 or UTF-32, with or without a byte order mark; empty for other encodings."""
    for mark, encoding in _WIDE:
        if content.startswith(mark):
            return encoding
    head = content[:40]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(head) >= 8 and zeros.count(0) * 3 > len(head):
            return encoding
    return ""


def _not_utf_8(path: Path, text: str, sample: Sample) -> tuple[str, list[Fault]]:
    try:
        korean, encoding = read_text(path)
    except DataError:
        return text, [
            Fault("encoding", number, "", visible(line, *bad.span()))
            for number, line in enumerate(_lines(text), 1)
            if (bad := _BYTE.search(line))
        ]
    return korean, [] if sample.encoding == encoding else [Fault("encoding", None, "", "CP949")]


def _is_json(text: str) -> bool:
    first = text.lstrip().split("\n", 1)[0]
    for part in (first, text):
        try:
            if isinstance(json.loads(part), dict | list):
                return True
        except (ValueError, RecursionError):
            continue
    return False


def _line_ends(text: str, sample: Sample) -> Iterator[Fault]:
    ends = re.findall("\r\n|\n|\r", text)
    names = {"\r\n": "CRLF", "\n": "LF", "\r": "CR"}
    counts = {name: ends.count(end) for end, name in names.items() if end in ends and end != sample.line_end}
    if counts:
        told = ", ".join(f"{count} end with {name}" for name, count in counts.items())
        first = next(number for number, end in enumerate(ends, 1) if end != sample.line_end)
        yield Fault("line-end", first, "", f"{told}; the sample's with {names[sample.line_end]}")
    if sample.final_line_end and not text.endswith(("\n", "\r")):
        yield Fault("final-line-end", len(ends) + 1, "", visible(text[-30:]))


def _lines(text: str) -> list[str]:
    """Lines with their ends, as the csv module counts them: a lone carriage return ends a line, too."""
    return list(io.StringIO(text, newline=""))


def file_rows(text: str, ids: Ids) -> tuple[list[Row], list[Fault]]:
    """The rows of a text, the first of which may be the header, and what is wrong with its CSV."""
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    lines = _lines(text)
    head = lines[:50]
    separator = max(
        _SEPARATORS,
        key=lambda sign: sum(ids.begin(line, sign) for line in head) + ("fname" in _names(head[0], sign)),
    )
    faults = [] if separator == "," else [Fault("separator", 1, "", repr(separator))]
    begins = [ids.begin(line, separator) for line in lines]
    rows: list[Row] = []
    at = 0
    while at < len(lines):
        most = min(at + _MOST_LINES, len(lines))
        # What begins with an id is another row, whatever the quotes before it say.
        stop = next((other for other in range(at + 1, most) if begins[other]), most)
        fields, used, wrong = _record(lines[at:stop], separator)
        source = "".join(lines[at : at + used])
        identity = next((visible(field.strip()) for field in fields[:2] if ids.alike(field.strip())), "")
        if not fields or source.isspace():
            faults.append(Fault("blank-line", at + 1, "", visible(source)))
        elif wrong:
            faults.append(Fault("broken-quotes", at + 1, identity, f"{wrong}: «{_around_quote(source)}»"))
        elif source.count('"') < sum(2 * field.count('"') + 2 for field in fields if '"' in field):
            faults.append(Fault("loose-quote", at + 1, identity, f"«{_around_quote(source)}»"))
        if fields and not source.isspace():
            rows.append(Row(at + 1, fields, bool(wrong)))
        at += used
    return rows, faults


def _names(line: str, separator: str) -> list[str]:
    return [name.strip(' "\r\n').casefold() for name in line.split(separator)]


def _record(lines: Sequence[str], separator: str) -> tuple[list[str], int, str]:
    """The first row of these lines, how many of them it takes, and what is wrong with its quotes."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        is_open = "end of data" in str(error)
        used = 1 if is_open else reader.line_num
        fields = next(csv.reader(lines[:used], delimiter=separator))
        fields[-1] = fields[-1].rstrip("\r\n")
        return fields, used, "a quote is not closed" if is_open else "text after a closing quote"
    if any(len(field) >= MAX_FIELD_BYTES for field in fields):
        return fields, reader.line_num, "a field of a million characters"
    return fields, reader.line_num, ""


def _around_quote(source: str) -> str:
    at = source.find('"')
    return visible(source.rstrip("\r\n"), at, at + 30)
