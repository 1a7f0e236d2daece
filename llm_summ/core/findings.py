"""Rules of a check and its findings: how they are counted and shown, and the exit status.

A check lists its rules once, in the order of its report. A report defines the type of a place and how to show it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from llm_summ.core.formatting import counted
from llm_summ.core.records import as_json

__all__ = [
    "Finding",
    "Rule",
    "Severity",
    "count_kinds",
    "exit_status",
    "gather",
    "has_problems",
    "listed_findings",
]

Severity = Literal["problem", "note"]
"""A problem is refused, or costs score or training; a note is worth a look."""

P = TypeVar("P")

_SHOWN = 5  # places of a finding


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that a check looks for.

    Attributes:
        code: short and stable; programs may rely on it.
        severity: how much it matters.
        why: its effect.
        remedy: what to do about it; empty without general advice.
    """

    code: str
    severity: Severity
    why: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Finding(Generic[P]):
    """A rule, and every place that breaks it.

    Attributes:
        rule: the rule that is broken.
        places: where it is broken; at least one.
        severity: the rule's, or lower.
    """

    rule: Rule
    places: tuple[P, ...]
    severity: Severity

    def heading(self, count: str) -> str:
        """Return the finding in a line, without its places."""
        remedy = f"; {self.rule.remedy}" if self.rule.remedy else ""
        return f"{self.severity} {self.rule.code}: {count}: {self.rule.why}{remedy}"

    def json_fields(self, **more: Any) -> dict[str, Any]:
        """Return the finding for programs: its kind, severity and reason, what a report adds, and every place."""
        fields = {"kind": self.rule.code, "severity": self.severity, "why": self.rule.why, **more}
        return {**fields, "places": as_json(self.places)}


def gather(
    rules: Mapping[str, Rule], places: Mapping[str, Sequence[P]], notes: Collection[str] = ()
) -> tuple[Finding[P], ...]:
    """Return findings: problems, then notes, in the order of the rules.

    Args:
        rules: by their codes.
        places: by the code of the rule that they break; a rule without places is left out.
        notes: codes of rules whose findings are only notes here.
    """
    findings = [
        Finding(rule, tuple(places[code]), "note" if code in notes else rule.severity)
        for code, rule in rules.items()
        if places.get(code)
    ]
    return tuple(sorted(findings, key=lambda finding: finding.severity == "note"))


def has_problems(findings: Sequence[Finding[P]]) -> bool:
    """Return whether a finding is a problem."""
    return any(finding.severity == "problem" for finding in findings)


def exit_status(findings: Sequence[Finding[P]], fails: Severity | None = "problem") -> int:
    """Return 1 if a finding fails the check, or else 0.

    Args:
        findings: what was found.
        fails: "problem": problems fail it; "note": notes too; None: nothing does.
    """
    return int(fails is not None and (has_problems(findings) or (fails == "note" and bool(findings))))


def listed_findings(
    findings: Sequence[Finding[P]], count: Callable[[Finding[P]], str], show: Callable[[P], object] = str
) -> list[str]:
    """Return the findings for people: an empty line, a heading and the first five places of each.

    Args:
        findings: what was found.
        count: how many places a finding has, in words.
        show: how to write a place.
    """
    lines: list[str] = []
    for finding in findings:
        lines += ["", finding.heading(count(finding)), *(f"  {show(place)}" for place in finding.places[:_SHOWN])]
        if len(finding.places) > _SHOWN:
            lines.append(f"  … and {len(finding.places) - _SHOWN:,} more")
    return lines


def count_kinds(findings: Sequence[Finding[P]]) -> str:
    """Return how many kinds of problems and of notes there are; empty if there are none."""
    problems = sum(finding.severity == "problem" for finding in findings)
    counts = ((problems, "problem"), (len(findings) - problems, "note"))
    return ", ".join(f"{counted(n, 'kind')} of {what}" for n, what in counts if n)
