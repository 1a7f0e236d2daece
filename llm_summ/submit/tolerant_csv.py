"""Read a submission that may be broken in any way, and report its faults.

`llm_summ.data.table` refuses a broken file at its first fault; this reader continues after it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from llm_summ.data.formats.checks import MAX_FIELD_BYTES
from llm_summ.data.mistaken_formats import wide_encoding_name
from llm_summ.data.row_rules import visible
from llm_summ.submit.sample import LINE_ENDS, Ids, SampleSubmission

__all__ = ["CsvRow", "Fault", "file_rows", "file_text"]

_SEPARATORS = ",\t;|"
_SEP_LINE = re.compile(r'"?sep=.?"?[,;\t|]*\s*', re.IGNORECASE)  # Excel's hint for the separator
_MOST_LINES = 100  # of a row; an unclosed quote would include the rest of the file
_WRITES = "`llm-summ submit --predictions FILE` writes it as CSV"
_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel file (.xlsx)"),
    (b"\xd0\xcf\x11\xe0", "an Excel file (.xls)"),
    (b"PAR1", f"parquet; give it the ending .parquet, then {_WRITES}"),
    (b"\x1f\x8b", "gzip"),
)
_BYTE = re.compile("[\udc80-\udcff]+")  # bytes that are not UTF-8


class Fault(NamedTuple):
    """One place of a fault.

    Attributes:
        kind: a code of `rules.FAULT_RULES`.
        line: of the file, from 1; None if it concerns the whole file, or a missing row.
        id: the row's id, with invisible characters escaped; empty if it has none.
        found: the text there.
    """

    kind: str
    line: int | None
    id: str
    found: str


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row.

    Attributes:
        line: the line on which it begins.
        fields: its fields, as far as they can be separated; at least one.
        source: its lines, unchanged.
        broken: whether its quotes are broken.
    """

    line: int
    fields: list[str]
    source: str
    broken: bool

    @property
    def shown(self) -> str:
        """The beginning of the row as a report shows it."""
        return f"«{visible(self.source.rstrip())}»"


def file_text(content: bytes, sample: SampleSubmission) -> tuple[str, list[Fault]]:
    """Return a file's text without byte order mark and NULs, and the faults of the file as a whole.

    The text is empty if the file has none. Bytes that are not UTF-8 stay as surrogates.
    """
    faults: list[Fault] = []
    if not content.strip(b"\xef\xbb\xbf \t\r\n"):
        return "", [Fault("empty-file", None, "", f"{len(content)} bytes")]
    for signature, what in _SIGNATURES:
        if content.startswith(signature):
            return "", [Fault("not-csv", None, "", what)]
    if wide := wide_encoding_name(content):
        text = content.decode(wide, "replace").lstrip("\ufeff")
        faults.append(Fault("encoding", None, "", wide[:6].upper()))
    else:
        text = content.decode("utf-8-sig", "surrogateescape")
        if content.startswith(b"\xef\xbb\xbf") and not sample.byte_order_mark:
            faults.append(Fault("byte-order-mark", 1, "", "EF BB BF"))
        if _BYTE.search(text):
            text, bad = _not_utf_8(content, text)
            faults += bad
    if text.lstrip()[:1] in ("{", "[") and _is_json(text):
        return "", [*faults, Fault("not-csv", None, "", f"JSON; {_WRITES}")]
    faults += [
        Fault("nul", number, "", visible(line, line.index("\0"), line.index("\0") + 1))
        for number, line in enumerate(_lines(text), 1)
        if "\0" in line
    ]
    text = text.replace("\0", "")
    return text, faults + list(_line_ends(text, sample))


def _not_utf_8(content: bytes, text: str) -> tuple[str, list[Fault]]:
    """Return the text as CP949 if most letters are not UTF-8; or else the lines with bytes that are not UTF-8."""
    letters = [letter for letter in text if not letter.isascii()]
    try:
        if 2 * sum(bool(_BYTE.match(letter)) for letter in letters) > len(letters):
            return content.decode("cp949"), [Fault("encoding", None, "", "CP949")]
    except UnicodeDecodeError:
        pass
    return text, [
        Fault("encoding", number, "", visible(line, *bad.span()))
        for number, line in enumerate(_lines(text), 1)
        if (bad := _BYTE.search(line))
    ]


def _is_json(text: str) -> bool:
    first = text.lstrip().split("\n", 1)[0]
    for part in (first, text):
        try:
            if isinstance(json.loads(part), dict | list):
                return True
        except (ValueError, RecursionError):
            continue
    return False


def _line_ends(text: str, sample: SampleSubmission) -> Iterator[Fault]:
    ends = re.findall("\r\n|\n|\r", text)
    counts = {name: ends.count(end) for end, name in LINE_ENDS.items() if end in ends and end != sample.line_end}
    if counts:
        shown = ", ".join(f"{count} end with {name}" for name, count in counts.items())
        first = next(number for number, end in enumerate(ends, 1) if end != sample.line_end)
        yield Fault("line-end", first, "", f"{shown}; the sample's with {LINE_ENDS[sample.line_end]}")
    if sample.final_line_end and not text.endswith(("\n", "\r")):
        yield Fault("final-line-end", len(ends) + 1, "", visible(text[-30:]))


def _lines(text: str) -> list[str]:
    """Return lines with their ends, as the csv module counts them: a lone carriage return ends a line, too."""
    return list(io.StringIO(text, newline=""))


def file_rows(text: str, ids: Ids) -> tuple[list[CsvRow], list[Fault]]:
    """Return the rows of a text, the first of which may be the header, and the faults of its CSV."""
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    lines = _lines(text)
    faults: list[Fault] = []
    at = 0
    if _SEP_LINE.fullmatch(lines[0]):
        faults.append(Fault("sep-line", 1, "", visible(lines[0].rstrip())))
        at = 1
    head = lines[at : at + 50] or [""]
    separator = max(
        _SEPARATORS,
        key=lambda sign: (
            sum(bool(ids.first(line, sign, _id_column(head[0], sign, ids))) for line in head)
            + ("fname" in _names(head[0], sign))
        ),
    )
    if separator != ",":
        faults.append(Fault("separator", at + 1, "", repr(separator)))
    id_column = _id_column(head[0], separator, ids)
    begins = [ids.first(line, separator, id_column) for line in lines]
    before = ""
    rows: list[CsvRow] = []
    while at < len(lines):
        before = begins[at] or before
        most = min(at + _MOST_LINES, len(lines))
        # A line that begins with an id is another row, even inside an open quote.
        stop = next((other for other in range(at + 1, most) if ids.follows(begins[other], before)), most)
        fields, used, wrong = _record(lines[at:stop], separator)
        source = "".join(lines[at : at + used])
        id_index = ids.place(fields, id_column)
        identity = "" if id_index is None else visible(fields[id_index].strip())
        if not fields or source.isspace():
            faults.append(Fault("blank-line", at + 1, "", visible(source)))
        elif wrong:
            faults.append(Fault("broken-quotes", at + 1, identity, f"{wrong}: «{_around_quote(source)}»"))
        elif source.count('"') < sum(2 * field.count('"') + 2 for field in fields if '"' in field):
            faults.append(Fault("loose-quote", at + 1, identity, f"«{_around_quote(source)}»"))
        if fields and not source.isspace():
            rows.append(CsvRow(at + 1, fields, source, bool(wrong)))
        at += used
    whole = {row.line: row for row in rows if len(row.fields) == 1 and separator in row.fields[0]}
    if 2 * len(whole) > len(rows):
        line, row = next(iter(whole.items()))
        faults.append(Fault("quoted-line", line, "", f"{len(whole)} lines, such as {row.shown}"))
        rows = [_opened(row, separator) if row.line in whole else row for row in rows]
    return rows, faults


def _opened(row: CsvRow, separator: str) -> CsvRow:
    """Return a row without the quotes around the whole row."""
    fields, _, _ = _record(_lines(row.fields[0].lstrip("\r\n")), separator)
    return replace(row, fields=fields)


def _names(line: str, separator: str) -> list[str]:
    return [name.strip(' "\r\n').casefold() for name in line.split(separator)]


def _id_column(header: str, separator: str, ids: Ids) -> int:
    """Return the column of the ids by the header, or else that of the sample."""
    names = _names(header, separator)
    return names.index("fname") if "fname" in names else ids.column


def _record(lines: Sequence[str], separator: str) -> tuple[list[str], int, str]:
    """Return the first row of these lines, the number of its lines, and the fault of its quotes, if any."""
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
