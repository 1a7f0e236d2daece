"""The report of a check: the faults of a submission, where they are, and what to do about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.findings import Finding, count_kinds, gather, has_problems, listed_findings
from llm_summ.core.formatting import counted
from llm_summ.core.records import JsonRecord
from llm_summ.submit.rules import FAULT_RULES
from llm_summ.submit.tolerant_csv import Fault

__all__ = ["SubmissionReport"]


@dataclass(frozen=True, slots=True)
class SubmissionReport(JsonRecord):
    """The faults of a submission.

    Attributes:
        path: the file.
        sample: the sample that it was compared with.
        rows: the number of rows without the header.
        findings: problems, then notes, in the order of `FAULT_RULES`.
    """

    path: Path
    sample: Path
    rows: int
    findings: tuple[Finding[Fault], ...]

    @classmethod
    def of(
        cls, path: Path, sample: Path, rows: int, faults: list[Fault], notes: Collection[str] = ()
    ) -> SubmissionReport:
        """Group faults by kind, in the order of lines; kinds in `notes` are notes, not problems."""
        places: defaultdict[str, list[Fault]] = defaultdict(list)
        for fault in sorted(faults, key=lambda fault: fault.line or 0):
            places[fault.kind].append(fault)
        return cls(path, sample, rows, gather(FAULT_RULES, places, notes))

    @property
    def problems(self) -> bool:
        """Whether the file would be refused or lose score."""
        return has_problems(self.findings)

    def lines(self) -> list[str]:
        """Return the report for people, with the first five places of each finding."""
        head = f"{self.path}: {counted(self.rows, 'row')}, compared with {self.sample}"
        if not self.findings:
            return [f"{head}: no findings"]
        return [
            head,
            *listed_findings(self.findings, lambda finding: counted(len(finding.places), "place"), self._place),
            "",
            count_kinds(self.findings) + ("" if self.problems else "; no problem"),
        ]

    def _place(self, fault: Fault) -> str:
        where = f"{self.path}:{fault.line}" if fault.line else ""
        return " ".join(filter(None, (where, fault.id, fault.found)))

    def json_fields(self) -> dict[str, Any]:
        """Return the report for programs, with every place of each finding."""
        return {
            "path": self.path,
            "sample": self.sample,
            "rows": self.rows,
            "problems": self.problems,
            "findings": [
                {
                    **finding.json_fields(mend=finding.rule.remedy),
                    "places": [
                        {"line": line, "id": name, "found": found} for _, line, name, found in finding.places
                    ],
                }
                for finding in self.findings
            ],
        }
