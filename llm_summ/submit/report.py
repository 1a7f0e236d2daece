"""The report of a check: what is wrong with a submission, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_summ.submit.rules import FAULT_RULES, FaultRule
from llm_summ.submit.tolerant_csv import Fault

__all__ = ["SubmissionFinding", "SubmissionReport"]

_SHOWN = 5  # places of a finding


@dataclass(frozen=True, slots=True)
class SubmissionFinding:
    """A kind of fault, and every place of it.

    Attributes:
        kind: what it is.
        places: where.
        severity: the kind's own, or lower.
    """

    kind: FaultRule
    places: tuple[Fault, ...]
    severity: Literal["problem", "note"]


@dataclass(frozen=True, slots=True)
class SubmissionReport:
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
    findings: tuple[SubmissionFinding, ...]

    @classmethod
    def of(
        cls, path: Path, sample: Path, rows: int, faults: list[Fault], notes: Collection[str] = ()
    ) -> SubmissionReport:
        """Put faults together by kind, in the order of lines; those of the kinds in `notes` are no problems."""
        by_kind: dict[str, list[Fault]] = {name: [] for name in FAULT_RULES}
        for fault in faults:
            by_kind[fault.kind].append(fault)
        findings = [
            SubmissionFinding(
                FAULT_RULES[name],
                tuple(sorted(places, key=lambda place: place.line or 0)),
                "note" if name in notes else FAULT_RULES[name].severity,
            )
            for name, places in by_kind.items()
            if places
        ]
        findings.sort(key=lambda finding: finding.severity == "note")
        return cls(path, sample, rows, tuple(findings))

    @property
    def problems(self) -> bool:
        """Whether it would be refused, or costs score."""
        return any(finding.severity == "problem" for finding in self.findings)

    def lines(self) -> list[str]:
        """The report for people, the first five places of each finding."""
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        if not self.findings:
            return [f"{self.path}: {rows}, as {self.sample} wants {'it' if self.rows == 1 else 'them'}"]
        lines = [f"{self.path}: {rows}, compared with {self.sample}"]
        for finding in self.findings:
            kind, places = finding.kind, finding.places
            count = f"{len(places):,} place{'s' * (len(places) != 1)}"
            lines += ["", f"{finding.severity} {kind.name}: {count}: {kind.why}; {kind.mend}"]
            lines += [f"  {self._place(fault)}" for fault in places[:_SHOWN]]
            if len(places) > _SHOWN:
                lines.append(f"  … and {len(places) - _SHOWN:,} more")
        problems = sum(finding.severity == "problem" for finding in self.findings)
        notes = len(self.findings) - problems
        counts = [
            f"{n} kind{'s' * (n != 1)} of {what}" for n, what in ((problems, "problem"), (notes, "note")) if n
        ]
        return [*lines, "", ", ".join(counts) + ("" if problems else "; no problem")]

    def _place(self, fault: Fault) -> str:
        where = f"{self.path}:{fault.line}" if fault.line else ""
        return " ".join(filter(None, (where, fault.id, fault.found)))

    def to_json(self) -> dict[str, Any]:
        """The report for programs, every place of each finding."""
        return {
            "path": str(self.path),
            "sample": str(self.sample),
            "rows": self.rows,
            "problems": self.problems,
            "findings": [
                {
                    "kind": finding.kind.name,
                    "severity": finding.severity,
                    "why": finding.kind.why,
                    "mend": finding.kind.mend,
                    "places": [
                        {"line": fault.line, "id": fault.id, "found": fault.found} for fault in finding.places
                    ],
                }
                for finding in self.findings
            ],
        }
