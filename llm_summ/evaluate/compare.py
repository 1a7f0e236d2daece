"""Compare systems on the same dialogues: which is better, by how much, where, and whether it could be chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import PredictionError
from llm_summ.core.formatting import counted, labelled, letters, p_text
from llm_summ.core.records import JsonRecord, field_values
from llm_summ.core.tables import TextTable
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.formats import is_data_file
from llm_summ.data.source import short_names
from llm_summ.evaluate.baselines import find_baselines
from llm_summ.evaluate.groups import by_length
from llm_summ.evaluate.other_metrics import MetricPaired, comparison_tables, pair_metrics, score_metrics
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.predictions.summaries import Summaries, file_summaries, run_summaries
from llm_summ.runs.run import RUNS, Run, open_run
from llm_summ.score import CorpusScore
from llm_summ.score.corpus import FIGURES
from llm_summ.score.leaderboard import Lead, Worth, simulate_lead, worth
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.other_metrics import MetricScore
from llm_summ.score.significance import FEW_ROWS, Interval, Paired, interval, paired
from llm_summ.score.system_similarity import SystemSimilarity, find_similarities, similarity_lines

__all__ = ["ComparedSystem", "Comparison", "LengthGroup", "Versus", "compare_systems"]

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


def compare_systems(
    names: Sequence[str], source: str, metric: Metric = COMPETITION, *, metrics: Sequence[str] = ()
) -> Comparison:
    """Score several systems on one data file, and compare them.

    Args:
        names: runs (by name or folder) or prediction files; the others are compared with the first.
        source: the data.
        metric: how to score.
        metrics: names of metrics of other packages to compare by as well.

    Raises:
        DataError: the data cannot be used, or have no references.
        PredictionError: there are fewer than two systems, a name is neither a prediction file nor a run, or the
            predictions of one cannot be used.
    """
    if len(names) < 2:
        raise PredictionError(
            f"--compare: found {counted(len(names), 'system')} after the data {source}; expected at "
            "least two runs or prediction files, such as: llm-summ eval dev.csv --compare first.csv second.csv"
        )
    dialogues = read_dialogues(source, references=True)
    found = [_summaries(name, source, dialogues) for name in names]
    references = [dialogue.references for dialogue in dialogues]
    scores = [metric.score(summaries.texts, references) for summaries in found]
    rows = [
        tuple(map(ScoredRow, dialogues, summaries.texts, score.per_row))
        for summaries, score in zip(found, scores, strict=True)
    ]
    finals = [[row.final for row in score.per_row] for score in scores]
    several = len(dialogues) > 1
    distinct = list(dict.fromkeys(names))
    shown = dict(zip(distinct, short_names(distinct), strict=True))
    systems = tuple(
        ComparedSystem(
            label,
            shown[name],
            summaries,
            score,
            interval(own_finals) if several else None,
            _warnings(own_rows, metric),
            score_metrics(metrics, summaries, dialogues),
        )
        for label, name, summaries, score, own_rows, own_finals in zip(
            letters(len(names)), names, found, scores, rows, finals, strict=True
        )
    )
    return Comparison(
        data=source,
        systems=systems,
        versus=tuple(
            Versus(
                str(system),
                paired(finals[0], own_finals),
                simulate_lead(finals[0], own_finals) if several else None,
                worth(finals[0], own_finals) if several else (),
                pair_metrics(systems[0].metrics, system.metrics),
            )
            for system, own_finals in zip(systems[1:], finals[1:], strict=True)
        ),
        by_length=_by_length(rows),
        similarities=find_similarities(list(map(str, systems)), [summaries.texts for summaries in found], metric),
    )


def _summaries(name: str, source: str, dialogues: Sequence[Dialogue]) -> Summaries:
    path = Path(name)
    if path.is_file() and is_data_file(path):
        return file_summaries(path, source, dialogues)
    if name and any(Run(folder).recipe_path.is_file() for folder in (RUNS / name, path)):
        return run_summaries(open_run(RUNS, name), source, dialogues)
    if is_data_file(path):
        return file_summaries(path, source, dialogues)
    raise PredictionError(
        f"--compare {name or repr(name)}: neither a run nor a prediction file; expected a run's name, or a CSV or "
        "JSONL with fname and summary"
    )


def _warnings(rows: Sequence[ScoredRow], metric: Metric) -> tuple[str, ...]:
    baselines = find_baselines(
        rows, variant=metric.variant, aggregate=metric.aggregate, tokenizer=metric.tokenizer
    )
    texts, references = [row.summary for row in rows], [row.dialogue.references for row in rows]
    return (*baselines.warnings(), *metric.warnings(texts, references))


def _by_length(rows: Sequence[Sequence[ScoredRow]]) -> tuple[LengthGroup, ...]:
    """Group the dialogues in fifths, by the rows of each system: the groups are the same for all systems."""
    return tuple(
        LengthGroup(same[0].name, same[0].rows, tuple(group.final for group in same))
        for same in zip(*map(by_length, rows), strict=True)
    )
