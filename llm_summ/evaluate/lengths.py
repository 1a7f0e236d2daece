"""Compare the lengths of summaries and references: length affects ROUGE's F1 more than anything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from llm_summ.core.records import JsonRecord
from llm_summ.core.tables import TextTable
from llm_summ.data.stats import Distribution
from llm_summ.evaluate.groups import length_ratio
from llm_summ.evaluate.rows import ScoredRow

__all__ = ["LONG", "SHORT", "LengthComparison", "compare_lengths"]

SHORT, LONG = 0.5, 2.0
"""Ratios to the mean reference below and above which a summary is counted as short or long."""


@dataclass(frozen=True, slots=True)
class LengthComparison(JsonRecord):
    """Lengths of summaries and references, in characters.

    Attributes:
        summary: mean length of a summary.
        reference: mean length of a reference.
        ratios: of every row, its summary's length divided by the mean length of its references.
        short: ids of the rows whose ratio is below `SHORT`.
        long: ids of the rows whose ratio is above `LONG`.
    """

    summary: float
    reference: float
    ratios: Distribution
    short: tuple[str, ...]
    long: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """The mean length of a summary divided by that of a reference."""
        return self.summary / self.reference

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "summary_characters": self.summary,
            "reference_characters": self.reference,
            "ratio": self.ratio,
            "ratios": self.ratios,
            "short": {"below": SHORT, "share": self._share(self.short), "ids": self.short},
            "long": {"above": LONG, "share": self._share(self.long), "ids": self.long},
        }

    def table(self) -> TextTable:
        """Return, for people, each measure and its figure."""
        ratios = self.ratios
        return TextTable(
            ["characters", ""],
            [
                ["a summary, mean", f"{self.summary:.1f}"],
                ["a reference, mean", f"{self.reference:.1f}"],
                ["summary / reference", f"{self.ratio:.2f}"],
                ["… of a row: median", f"{ratios.median:.2f}"],
                ["… 25–75 %", f"{ratios.p25:.2f}–{ratios.p75:.2f}"],
                ["… 5–95 %", f"{ratios.p5:.2f}–{ratios.p95:.2f}"],
                [f"shorter than {SHORT:g}x", self._counted(self.short)],
                [f"longer than {LONG:g}x", self._counted(self.long)],
            ],
        )

    def _share(self, ids: Sequence[str]) -> float:
        return len(ids) / self.ratios.count

    def _counted(self, ids: Sequence[str]) -> str:
        return f"{len(ids):,} ({self._share(ids):.1%})"


def compare_lengths(rows: Sequence[ScoredRow]) -> LengthComparison:
    """Compare the lengths of summaries and references.

    Args:
        rows: of a file, shape ``[at least 1]``.

    Raises:
        ValueError: `rows` is empty.
    """
    if not rows:
        raise ValueError("no rows: expected at least one")
    ratios = [length_ratio(row) for row in rows]
    return LengthComparison(
        summary=fmean(len(row.summary) for row in rows),
        reference=fmean(len(reference) for row in rows for reference in row.dialogue.references),
        ratios=Distribution.of(ratios),
        short=tuple(row.dialogue.id for row, ratio in zip(rows, ratios, strict=True) if ratio < SHORT),
        long=tuple(row.dialogue.id for row, ratio in zip(rows, ratios, strict=True) if ratio > LONG),
    )
