"""Compare summaries' tags with their dialogues': find invented, lost or misspelt speakers and masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llm_summ.core.errors import listed
from llm_summ.core.records import JsonRecord
from llm_summ.core.tables import TextTable
from llm_summ.data.labels import is_tagged
from llm_summ.data.tags import SPEAKER_TAG, TAG, odd_tags
from llm_summ.evaluate.rows import ScoredRow

__all__ = ["FINDINGS", "Fidelity", "TagFinding", "check_fidelity"]

FINDINGS = {
    "invented speakers": "a #PersonN# that is not in the dialogue",
    "lost speakers": "a #PersonN# that the dialogue and every reference have, and the summary lacks",
    "broken tags": "misspelt, or not a known tag",
    "invented masks": "a mask such as #Email# that is not in the dialogue",
    "lost masks": "a mask that every reference has, and the summary lacks",
}
"""The findings, in the order of the table."""


@dataclass(frozen=True, slots=True)
class TagFinding:
    """A finding, and the rows that have it.

    Attributes:
        name: one of `FINDINGS`.
        found: the tags concerned, by the id of the row.
    """

    name: str
    found: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Fidelity(JsonRecord):
    """Tags of all summaries.

    Attributes:
        rows: how many were looked at.
        findings: one for each of `FINDINGS`, in that order.
    """

    rows: int
    findings: tuple[TagFinding, ...]

    def share(self, finding: TagFinding) -> float:
        """Return the share of the rows that have it, from 0 to 1."""
        return len(finding.found) / self.rows if self.rows else 0.0

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "rows": self.rows,
            "findings": [
                {
                    "name": finding.name,
                    "why": FINDINGS[finding.name],
                    "rows": len(finding.found),
                    "share": self.share(finding),
                    "found": finding.found,
                }
                for finding in self.findings
            ],
        }

    def table(self) -> TextTable:
        """Return, for people, the number of rows of each finding that occurs, and the first of them."""
        return TextTable(
            ["tags", "rows", "share", "which"],
            [
                [
                    finding.name,
                    f"{len(finding.found):,}",
                    f"{self.share(finding):.1%}",
                    listed([f"{identity} {' '.join(tags)}" for identity, tags in finding.found.items()], 3),
                ]
                for finding in self.findings
                if finding.found
            ],
            figures=False,
        )


def check_fidelity(rows: Sequence[ScoredRow]) -> Fidelity:
    """Find tags that a summary should not have, and tags that it lacks."""
    found: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in FINDINGS}
    for row in rows:
        for name, tags in _row(row):
            if tags:
                found[name][row.dialogue.id] = tuple(tags)
    return Fidelity(len(rows), tuple(TagFinding(name, by_id) for name, by_id in found.items()))


def _row(row: ScoredRow) -> Iterator[tuple[str, Sequence[str]]]:
    dialogue, summary = row.dialogue, row.summary
    there, written = _tags(dialogue.text), _tags(summary)
    wanted = [tag for tag in _tags(dialogue.references[0]) if all(tag in text for text in dialogue.references)]
    invented = [tag for tag in written if tag not in there]
    lost = [tag for tag in wanted if tag not in written]
    yield "invented speakers", [tag for tag in invented if _is_speaker(tag)]
    yield "lost speakers", [tag for tag in lost if _is_speaker(tag) and tag in there]
    odd = odd_tags(summary, is_tagged(dialogue.text))
    yield "broken tags", [summary[start:end].strip() for _, start, end in odd]
    yield "invented masks", [tag for tag in invented if not _is_speaker(tag)]
    yield "lost masks", [tag for tag in lost if not _is_speaker(tag)]


def _tags(text: str) -> list[str]:
    """Return the correctly spelt tags and masks of a text, each once."""
    return list(dict.fromkeys(TAG.findall(text)))


def _is_speaker(tag: str) -> bool:
    return SPEAKER_TAG.fullmatch(tag) is not None
