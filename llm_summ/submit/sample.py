"""The sample submission: which rows a submission has and in which format, and how to recognise its ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.core.progress import say
from llm_summ.data.formats import find_format, read_table
from llm_summ.data.row_rules import stripped_id

__all__ = ["LINE_ENDS", "SAMPLE_NAME", "Ids", "SampleSubmission", "find_sample", "read_sample"]

SAMPLE_NAME = "sample_submission.csv"
"""The file's name where no file is named."""

LINE_ENDS = {"\r\n": "CRLF", "\n": "LF", "\r": "CR"}
"""The names of line ends."""

_NEAR = 3  # rows: a bare number up to this far ahead may be the next id


@dataclass(frozen=True)
class SampleSubmission:
    """A sample submission.

    Attributes:
        path: the file.
        columns: the header; an index column has no name.
        ids: the ids of its rows, in order.
        rows: the fields of each row, in the order of `columns`.
        byte_order_mark: whether it begins with one.
        line_end: the end of a line: a line feed or CRLF.
        final_line_end: whether the last line has one, too.
        placeholder: the text in place of every summary; empty if there is none, or several.
    """

    path: Path
    columns: tuple[str, ...]
    ids: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    byte_order_mark: bool
    line_end: str
    final_line_end: bool
    placeholder: str


def find_sample(name: str | None, folders: Sequence[Path]) -> Path:
    """Return the named sample, or else the first `SAMPLE_NAME` in the folders, which is logged.

    Raises:
        DataError: no sample was found.
    """
    if name is not None:
        path = Path(name)
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "no such file"
            raise DataError(f"--sample {name}: {what}; expected the competition's sample submission")
        return path
    places = list(dict.fromkeys([*folders, Path()]))
    for folder in places:
        if (path := folder / SAMPLE_NAME).is_file():
            say(f"Sample: {path}")
            return path
    searched = " or ".join("the current folder" if folder == Path() else str(folder) for folder in places)
    raise DataError(f"{SAMPLE_NAME}: not in {searched}; expected a sample submission; name it: --sample FILE")


def read_sample(path: Path) -> SampleSubmission:
    """Read a sample submission.

    Raises:
        DataError: it is not a CSV with `fname` and `summary`, has no rows, has different line ends, or an id is
            empty or repeated.
    """
    if find_format(path).name != "CSV":
        raise DataError(f"{path}: found a name that ends in {path.suffix}; expected a sample submission as CSV")
    table = read_table(path, ("fname", "summary"))
    if not table.records:
        raise DataError(f"{path}: no rows; expected the ids that a submission must have")
    columns = tuple(name.strip() for name in table.columns)
    if columns.count("") > 1:
        raise DataError(
            f"{path}: found {columns.count('')} columns without a name; expected at most one, the index"
        )
    seen: dict[str, int] = {}
    for record in table.records:
        identity = record.values["fname"].strip()
        if not identity:
            raise DataError(f"{table.place(record)}: empty fname; expected an id in every row of a sample")
        if identity in seen:
            raise DataError(f"{table.place(record)}: id {identity} is already in line {seen[identity]}")
        seen[identity] = record.line
    content = path.read_bytes()
    ends = {end.decode() for end in re.findall(b"\r\n|\r|\n", content)}
    if "\r" in ends or len(ends) > 1:
        found = " and ".join(sorted(LINE_ENDS[end] for end in ends))
        raise DataError(
            f"{path}: found lines that end with {found}; expected LF or CRLF throughout; save it with one of them"
        )
    if table.encoding == "cp949":
        say(f"{path}: the submission is written in UTF-8 nevertheless")
    summaries = {record.values["summary"].strip() for record in table.records}
    return SampleSubmission(
        path,
        columns,
        tuple(seen),
        tuple(tuple(record.values[name] for name in table.columns) for record in table.records),
        table.encoding == "utf-8-sig",
        ends.pop(),
        content.endswith(b"\n"),
        summaries.pop() if len(summaries) == 1 else "",
    )


class Ids:
    """The ids of a sample; recognises texts that look like an id, and the id that a misspelt one means.

    Two ids look alike if they differ only in their digits.

    Attributes:
        column: the index of their column in the sample.
    """

    def __init__(self, sample: SampleSubmission) -> None:
        ids = sample.ids
        self.column = sample.columns.index("fname")
        self._place = {identity: at for at, identity in enumerate(ids)}
        self._shapes = {re.sub(r"\d+", "0", identity) for identity in ids}
        self._bare = all(identity.isdigit() for identity in ids)
        figures = {(re.findall(r"\d+", _spelling(identity)) or [""])[-1]: identity for identity in ids}
        self._by_spelling = {_spelling(identity): identity for identity in ids}
        if len(figures) == len(ids):
            self._by_spelling = figures | self._by_spelling

    def meant(self, text: str) -> str:
        """Return the id that a text means; empty if there is none.

        White space around it, capitals, leading zeros of its number, a trailing ``.0`` and a missing prefix are
        ignored.
        """
        identity = stripped_id(text)
        return identity if identity in self._place else self._by_spelling.get(_spelling(identity) or "-", "")

    def has(self, text: str) -> bool:
        """Return whether a text is an id of the sample."""
        return text in self._place

    def alike(self, text: str) -> bool:
        """Return whether a text is an id or looks like one; any number looks like an id that is a bare number."""
        return text in self._place or re.sub(r"\d+", "0", text) in self._shapes

    def place(self, fields: Sequence[str], column: int) -> int | None:
        """Return the index of the id: the expected column, or else the first field that looks like an id."""
        order = sorted(range(len(fields)), key=lambda index: index != column)
        return next((index for index in order if self.alike(fields[index].strip())), None)

    def first(self, line: str, separator: str, column: int) -> str:
        """Return the id at the beginning of a line, or after an index; empty if there is none.

        Ids that are bare numbers are looked for only in `column`, and only if the sample has them.
        """
        parts = [part.strip(' "') for part in line[:1000].split(separator, 2)[:-1]]
        if self._bare:
            return next((part for part in parts[column : column + 1] if part in self._place), "")
        return next((part for part in parts if not part.isdigit() and self.alike(part)), "")

    def follows(self, identity: str, before: str) -> bool:
        """Return whether a line that begins with an id is a new row, given the last id before it."""
        if not self._bare or not identity:
            return bool(identity)
        return 0 < self._place[identity] - self._place.get(before, -1) <= _NEAR


def _spelling(identity: str) -> str:
    text = re.sub(r"[\W_]", "", identity.casefold().removesuffix(".0"))
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)
