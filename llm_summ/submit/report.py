"""The report of a check: what is wrong with a submission, where, and what to do about it."""

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
    """What is wrong with a submission.

    Attributes:
        path: the file.
        sample: what it was compared with.
        rows: how many it has, the header apart.
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
        """Put faults together by kind, in the order of lines; those of the kinds in `notes` are no problems."""
        places: defaultdict[str, list[Fault]] = defaultdict(list)
        for fault in sorted(faults, key=lambda fault: fault.line or 0):
            places[fault.kind].append(fault)
        return cls(path, sample, rows, gather(FAULT_RULES, places, notes))

    @property
    def problems(self) -> bool:
        """Whether it would be refused, or costs score."""
        return has_problems(self.findings)

    def lines(self) -> list[str]:
        """Return the report for people, the first five places of each finding."""
        rows = counted(self.rows, "row")
        if not self.findings:
            return [f"{self.path}: {rows}, as {self.sample} wants {'it' if self.rows == 1 else 'them'}"]
        return [
            f"{self.path}: {rows}, compared with {self.sample}",
            *listed_findings(self.findings, _count, self._place),
            "",
            count_kinds(self.findings) + ("" if self.problems else "; no problem"),
        ]

    def _place(self, fault: Fault) -> str:
        where = f"{self.path}:{fault.line}" if fault.line else ""
        return " ".join(filter(None, (where, fault.id, fault.found)))

    def json_fields(self) -> dict[str, Any]:
        """Return the report for programs, every place of each finding."""
        return {
            "path": self.path,
            "sample": self.sample,
            "rows": self.rows,
            "problems": self.problems,
            "findings": [
                {
                    **finding.json_fields(mend=finding.rule.remedy),
                    "places": [
                        {"line": fault.line, "id": fault.id, "found": fault.found} for fault in finding.places
                    ],
                }
                for finding in self.findings
            ],
        }


def _count(finding: Finding[Fault]) -> str:
    return counted(len(finding.places), "place")
