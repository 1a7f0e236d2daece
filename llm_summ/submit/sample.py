"""The sample submission: which rows a submission has, and in which format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_summ.core.errors import DataError
from llm_summ.core.progress import say
from llm_summ.data.formats import find_format, read_table

__all__ = ["LINE_ENDS", "SAMPLE_NAME", "SampleSubmission", "find_sample", "read_sample"]

SAMPLE_NAME = "sample_submission.csv"
"""The file's name where no file is named."""

LINE_ENDS = {"\r\n": "CRLF", "\n": "LF", "\r": "CR"}
"""The names of line ends."""


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
