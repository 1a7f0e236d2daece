"""The report of `data check`: the oddities of rows, and duplicates between rows.

A finding is one kind of oddity, with every row that has it. The report has a form for people and one for programs;
no file is changed (see `fix.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import DataError
from llm_summ.core.findings import Finding, count_kinds, gather, has_problems, listed_findings
from llm_summ.core.formatting import counted
from llm_summ.core.records import JsonRecord, field_values
from llm_summ.data.formats import place
from llm_summ.data.near_duplicates import near_duplicates
from llm_summ.data.read import dialogue_column, dialogue_text, read_data_table
from llm_summ.data.row_rules import row_oddities, visible
from llm_summ.data.rules import REPAIRED, RULES
from llm_summ.data.source import resolve_source
from llm_summ.data.table import Record, Table

__all__ = ["DataReport", "Other", "Place", "check_files", "check_tables", "read_tables", "shown_id"]


@dataclass(frozen=True, slots=True)
class Other(JsonRecord):
    """The earlier row that a row duplicates.

    Attributes:
        path: its file.
        line: the line on which it begins; in parquet the number of the row.
        id: its id, with invisible characters escaped.
        similarity: of the two dialogues, from 0 to 1, where they were compared.
    """

    path: Path
    line: int
    id: str
    similarity: float | None = None

    def json_fields(self) -> dict[str, Any]:
        """Return the row for programs; without a similarity where there is none."""
        found = {"path": self.path, "line": self.line, "id": self.id}
        return found if self.similarity is None else {**found, "similarity": round(self.similarity, 4)}


@dataclass(frozen=True, slots=True)
class Place(JsonRecord):
    """The place of an oddity.

    Attributes:
        path: the file.
        line: its own line in a CSV file, that of the row in JSONL; in parquet the number of the row.
        id: the id of the row, with invisible characters escaped; empty if it has none.
        column: the field.
        excerpt: the text there.
        other: the earlier row that this one duplicates.
    """

    path: Path
    line: int
    id: str
    column: str
    excerpt: str
    other: Other | None = None

    def __str__(self) -> str:
        text = " ".join(filter(None, (place(self.path, self.line), self.id, self.column, f"«{self.excerpt}»")))
        if self.other is None:
            return text
        like = " ".join(filter(None, (place(self.other.path, self.other.line), self.other.id)))
        similarity = self.other.similarity
        return f"{text} as {like}" + (f" (similarity {similarity:.2f})" if similarity is not None else "")

    def json_fields(self) -> dict[str, Any]:
        """Return the place for JSON, without the other row if there is none."""
        found = field_values(self)
        if self.other is None:
            del found["other"]
        return found


@dataclass(frozen=True, slots=True)
class DataReport(JsonRecord):
    """The oddities of one or several files.

    Attributes:
        files: the number of rows of each.
        findings: problems, then notes, in the order of `RULES`. A place is a row, of two rows the later.
    """

    files: dict[Path, int]
    findings: tuple[Finding[Place], ...]

    @property
    def problems(self) -> bool:
        """Whether anything harms training or a score."""
        return has_problems(self.findings)

    @property
    def repairable(self) -> bool:
        """Whether anything can be repaired."""
        return any(finding.rule.remedy == REPAIRED for finding in self.findings)

    def lines(self) -> list[str]:
        """Return the report for people, with the first five places of each finding."""
        return [
            *(f"{path}: {rows:,} rows" for path, rows in self.files.items()),
            *listed_findings(self.findings, self._count),
            "",
            count_kinds(self.findings) or "nothing odd",
        ]

    def _count(self, finding: Finding[Place]) -> str:
        """Return how many rows a finding has, and of several files how many each."""
        count, files = counted(len(finding.places), "row"), Counter(found.path for found in finding.places)
        if len(self.files) == 1:
            return count
        return f"{count} ({', '.join(f'{number:,} in {path}' for path, number in files.items())})"

    def json_fields(self) -> dict[str, Any]:
        """Return the report for programs, every place of each finding."""
        return {
            "files": [{"path": path, "rows": rows} for path, rows in self.files.items()],
            "problems": self.problems,
            "findings": [
                finding.json_fields(repaired=finding.rule.remedy == REPAIRED, rows=len(finding.places))
                for finding in self.findings
            ],
        }


def check_files(sources: Sequence[str]) -> DataReport:
    """Check data files, each and against each other.

    Raises:
        DataError: a file cannot be read at all, has no rows, or is given twice.
    """
    return check_tables(read_tables(sources))


def read_tables(sources: Sequence[str]) -> list[Table]:
    """Read data files without any check of their rows.

    Raises:
        DataError: a file cannot be read, lacks a column, has no rows, or is given twice.
    """
    tables: list[Table] = []
    for source in sources:
        path = resolve_source(source)
        if any(path.samefile(table.path) for table in tables):
            raise DataError(f"{path}: is given twice; expected every file once")
        tables.append(read_data_table(path))
    return tables


def check_tables(tables: Sequence[Table]) -> DataReport:
    """Check tables, each and against each other."""
    found: dict[str, list[Place]] = defaultdict(list)
    for table in tables:
        for record in table.records:
            identity = shown_id(record)
            for odd in row_oddities(table, record):
                found[odd.kind].append(Place(table.path, odd.line, identity, odd.column, odd.excerpt))
    rows = [(table, record) for table in tables for record in table.records]
    found["duplicate-id"] += _duplicate_ids(rows)
    for kind, at in _duplicate_dialogues(rows):
        found[kind].append(at)
    return DataReport(
        {table.path: len(table.records) for table in tables},
        gather(RULES, found),
    )


def shown_id(record: Record) -> str:
    """Return the id of a row as a report shows it."""
    value = record.values.get("fname")
    return "" if value is None else visible(str(value).strip())


def _duplicate_ids(rows: Iterable[tuple[Table, Record]]) -> list[Place]:
    """Return the rows whose id an earlier row has."""
    first: dict[str, Other] = {}
    again: list[Place] = []
    for table, record in rows:
        value = record.values.get("fname")
        identity = value.strip() if isinstance(value, str) else ""
        if not identity:
            continue
        shown = shown_id(record)
        if identity in first:
            again.append(Place(table.path, record.line, shown, "fname", shown, first[identity]))
        else:
            first[identity] = Other(table.path, record.line, shown)
    return again


def _duplicate_dialogues(rows: Sequence[tuple[Table, Record]]) -> list[tuple[str, Place]]:
    """Return rows whose dialogue duplicates or nearly duplicates an earlier one; of each kind the most similar."""
    filled = [(table, record, text) for table, record in rows if (text := _text(table, record)).strip()]
    likest: dict[tuple[int, bool], tuple[float, int]] = {}  # by later row and whether the earlier is in its file
    for pair in near_duplicates([text for _, _, text in filled]):
        key = (pair.second, filled[pair.first][0] is filled[pair.second][0])
        if key not in likest or pair.similarity > likest[key][0]:
            likest[key] = (pair.similarity, pair.first)
    found: list[tuple[str, Place]] = []
    for (later, within), (similarity, earlier) in sorted(likest.items()):
        table, record, text = filled[later]
        other_table, other, _ = filled[earlier]
        kind = ("" if similarity == 1 else "near-") + ("duplicate-dialogue" if within else "shared-dialogue")
        like = Other(other_table.path, other.line, shown_id(other), similarity)
        found.append(
            (kind, Place(table.path, record.line, shown_id(record), dialogue_column(record), visible(text), like))
        )
    return found


def _text(table: Table, record: Record) -> str:
    try:
        return dialogue_text(table, record)
    except DataError:  # reported as not-text
        return ""
