"""Systems compared on the same dialogues: their scores and differences, as tables and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_summ.core.formatting import labelled, p_text
from llm_summ.core.records import JsonRecord, field_values
from llm_summ.core.tables import TextTable
from llm_summ.evaluate.other_metrics import MetricPaired, comparison_tables
from llm_summ.predictions.summaries import Summaries
from llm_summ.score import CorpusScore
from llm_summ.score.corpus import FIGURES
from llm_summ.score.leaderboard import Lead, Worth
from llm_summ.score.other_metrics import MetricScore
from llm_summ.score.significance import FEW_ROWS, Interval, Paired
from llm_summ.score.system_similarity import SystemSimilarity, similarity_lines

__all__ = ["ComparedSystem", "Comparison", "LengthGroup", "Versus"]

_MOST_ALIKE = 5  # pairs that are shown


@dataclass(frozen=True, slots=True)
class ComparedSystem(JsonRecord):
    """One of the systems.

    Attributes:
        label: a letter, or a number if there are more systems than letters.
        name: a run, or a prediction file.
        summaries: its summaries.
        score: their score.
        interval: the final score's 95 % bootstrap interval; None for a single row.
        warnings: reasons why the score is not what it seems.
        metrics: the scores by metrics of other packages.
    """

    label: str
    name: str
    summaries: Summaries
    score: CorpusScore
    interval: Interval | None
    warnings: tuple[str, ...]
    metrics: tuple[MetricScore, ...] = ()

    def __str__(self) -> str:
        return f"{self.label} {self.name}"

    @property
    def signature(self) -> str:
        """The score's signature: two scores are comparable only if it is equal."""
        return self.summaries.sign(self.score)

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "label": self.label,
            "name": self.name,
            "predictions": self.summaries.path,
            **{figure: getattr(self.score, figure) for figure in FIGURES},
            "interval": self.interval,
            "signature": self.signature,
            "warnings": self.warnings,
            "post": self.summaries.post,
            "empty": len(self.score.empty),
            "metrics": self.metrics,
            "per_row": [row.final for row in self.score.per_row],
        }


@dataclass(frozen=True, slots=True)
class Versus(JsonRecord):
    """A system compared with the first one.

    Attributes:
        name: of the system, with its label.
        paired: its scores minus the first's, row by row.
        lead: whether the public leader of a leaderboard that is split at random leads in private too.
        worth: how often a public lead between two such systems is reversed in private.
        metrics: its figures minus the first's by metrics of other packages.
    """

    name: str
    paired: Paired
    lead: Lead | None
    worth: tuple[Worth, ...]
    metrics: tuple[MetricPaired, ...] = ()

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        fields = field_values(self.paired)
        return {"name": self.name, **fields, "lead": self.lead, "worth": self.worth, "metrics": self.metrics}


@dataclass(frozen=True, slots=True)
class LengthGroup:
    """Dialogues of about the same length, and each system's score on them.

    Attributes:
        name: their range of characters.
        rows: how many they are.
        finals: mean final score of each system.
    """

    name: str
    rows: int
    finals: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Comparison(JsonRecord):
    """Several systems on the same dialogues.

    Attributes:
        data: the data source.
        systems: in the order given; the others are compared with the first.
        versus: each system except the first, compared with the first.
        by_length: the dialogues in fifths by their length.
        similarities: every pair of systems, the most similar first.
    """

    data: str
    systems: tuple[ComparedSystem, ...]
    versus: tuple[Versus, ...]
    by_length: tuple[LengthGroup, ...]
    similarities: tuple[SystemSimilarity, ...]

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "data": self.data,
            "rows": self.systems[0].score.rows,
            "systems": self.systems,
            "versus_first": self.versus,
            "by_length": [
                {"characters": group.name, "rows": group.rows, "finals": group.finals} for group in self.by_length
            ],
            "alike": self.similarities,
        }

    def tables(self) -> list[TextTable]:
        """Return the tables for people, the scores last."""
        other = comparison_tables(
            [(str(system), system.metrics) for system in self.systems], [one.metrics for one in self.versus]
        )
        tables = (self.length_table(), self.lead_table(), *other, self.versus_table(), self.table())
        return [table for table in tables if table.rows]

    def table(self) -> TextTable:
        """Return, for people, a line a system."""
        rows = []
        for system in self.systems:
            row = [str(system), *(f"{getattr(system.score, figure):.2f}" for figure in FIGURES)]
            if system.interval is not None:
                row.append(f"{system.interval.low:.2f}–{system.interval.high:.2f}")
            rows.append(row)
        return TextTable(["", "R-1", "R-2", "R-L", "final", "95 % interval"][: len(rows[0])], rows)

    def versus_table(self) -> TextTable:
        """Return, for people, the difference of each system from the first."""
        headers = [
            f"vs. {self.systems[0].name}",
            "more",
            "95 % interval",
            "p boot",
            "p rand",
            "wins/ties/losses",
        ]
        rows = []
        for system in self.versus:
            found = system.paired
            sure = ["", "", ""]
            if self.systems[0].interval is not None:
                sure = [
                    f"{found.low:+.2f} to {found.high:+.2f}",
                    p_text(found.p_bootstrap),
                    p_text(found.p_randomisation),
                ]
            rows.append([system.name, f"{found.difference:+.2f}", *sure, found.tally])
        return TextTable(headers, rows)

    def lead_table(self) -> TextTable:
        """Return, for people, how often a public lead between systems that differ as these is lost in private."""
        rows = [
            [found.name, f"{found.lead.turned:.0%}", *(f"{one.turns:.0%}" for one in found.worth)]
            for found in self.versus
            if found.lead is not None and found.lead.tied < 1 and self.systems[0].score.rows >= FEW_ROWS
        ]
        leads = [f"lead {one.lead:g}" for one in self.versus[0].worth]
        return TextTable(["public leader behind in private", "of these", *leads], rows)

    def length_table(self) -> TextTable:
        """Return, for people, the first system's scores by dialogue length, and the others' differences."""
        rows = []
        for place, system in enumerate(self.systems):
            first = [group.finals[0] for group in self.by_length]
            own = [group.finals[place] for group in self.by_length]
            more = [f"{one - other:+.2f}" for one, other in zip(own, first, strict=True)]
            rows.append(
                [
                    f"{system.label} more" if place else str(system),
                    *(more if place else [f"{one:.2f}" for one in own]),
                ]
            )
        return TextTable(
            ["dialogue characters (rows)", *(f"{group.name} ({group.rows:,})" for group in self.by_length)], rows
        )

    def lines(self) -> list[str]:
        """Return, for people, the results that the tables do not have."""
        same = [found for found in self.similarities if found.nearly_same]
        lines = similarity_lines(self.similarities, _MOST_ALIKE)
        if len(same) > _MOST_ALIKE:
            lines.append(f"and {len(same) - _MOST_ALIKE} more pairs are the same or nearly so (--json has all)")
        lines += [
            f"{system}: {len(system.score.empty):,} empty summaries count as 0"
            for system in self.systems
            if system.score.empty
        ]
        if len(self.versus) > 1:
            lines.append(
                f"p is not corrected for {len(self.versus)} comparisons (Bonferroni: multiply it by that number)"
            )
        if self.lead_table().rows:
            lines.append(
                'public leader behind in private: "of these" is its share of random halves of the rows, "lead x" '
                "is its share after a public lead of x points for any two systems that differ as much row by row"
            )
        if self.systems[0].score.rows < FEW_ROWS:
            lines.append(
                f"with fewer than {FEW_ROWS} rows intervals are too narrow and p boot is too small; use p rand"
            )
        signatures = [
            (system.signature, *(score.signature for score in system.metrics)) for system in self.systems
        ]
        if len(set(signatures)) == 1:
            return [*lines, *(labelled("signature", signature) for signature in signatures[0])]
        return [
            *lines,
            *(
                f"{system}: signature {signature}"
                for system, own in zip(self.systems, signatures, strict=True)
                for signature in own
            ),
        ]
