"""Score summaries by metrics of other packages, and show these scores next to ROUGE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_summ.core.formatting import labelled, p_text
from llm_summ.core.records import JsonRecord, field_values
from llm_summ.core.tables import TextTable
from llm_summ.data import Dialogue
from llm_summ.predictions.summaries import Summaries
from llm_summ.score.other_metrics import MetricScore, score_by
from llm_summ.score.significance import Paired, paired

__all__ = ["MetricPaired", "comparison_tables", "lowest_lines", "metrics_table", "pair_metrics", "score_metrics"]

_LOWEST = 5  # rows


@dataclass(frozen=True, slots=True)
class MetricPaired(JsonRecord):
    """A system compared with the first one, by a metric.

    Attributes:
        name: of the metric.
        paired: the system's figures minus the first's, row by row.
    """

    name: str
    paired: Paired

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {"name": self.name, **field_values(self.paired)}


def score_metrics(
    names: Sequence[str], summaries: Summaries, dialogues: Sequence[Dialogue]
) -> tuple[MetricScore, ...]:
    """Return the scores by metrics of other packages; their signatures have the steps of post-processing.

    Args:
        names: of the metrics; each is used once.
        summaries: one for each dialogue.
        dialogues: each with a reference.

    Raises:
        InputError: a metric cannot be loaded, or does not return a number for each dialogue.
        ValueError: a name is unknown.
    """
    references = [dialogue.references for dialogue in dialogues]
    scores = [score_by(name, summaries.texts, references) for name in dict.fromkeys(names)]
    return tuple(replace(score, signature=summaries.sign(score)) for score in scores)


def pair_metrics(first: Sequence[MetricScore], second: Sequence[MetricScore]) -> tuple[MetricPaired, ...]:
    """Return how a second system differs from a first one, by the same metrics."""
    return tuple(
        MetricPaired(one.name, paired(one.per_row, other.per_row))
        for one, other in zip(first, second, strict=True)
    )


def metrics_table(scores: Sequence[MetricScore]) -> TextTable:
    """Return, for people, a line a metric."""
    rows = [[score.name, f"{score.mean:.2f}", _interval(score)] for score in scores]
    return TextTable(["other metrics", "mean", "95 % interval"], rows)


def lowest_lines(scores: Sequence[MetricScore], ids: Sequence[str]) -> list[str]:
    """Return, for people, the rows with the lowest figures by each metric, and its signature.

    Args:
        scores: by metrics.
        ids: of the rows.
    """
    lines = []
    for score in scores:
        lowest = sorted(zip(score.per_row, ids, strict=True), key=lambda pair: pair[0])[:_LOWEST]
        shown = ", ".join(f"{name} {figure:.2f}" for figure, name in lowest)
        lines += [labelled("lowest", f"{score.name}: {shown}"), labelled("signature", score.signature)]
    return lines


def comparison_tables(
    systems: Sequence[tuple[str, Sequence[MetricScore]]], versus: Sequence[Sequence[MetricPaired]]
) -> list[TextTable]:
    """Return, for people, a table for each metric, with a line a system.

    Args:
        systems: name and scores of each.
        versus: each system except the first, compared with the first.
    """
    tables = []
    for at, metric in enumerate(systems[0][1]):
        rows = []
        for place, (name, scores) in enumerate(systems):
            row = [name, f"{scores[at].mean:.2f}", _interval(scores[at]), "", "", "", ""]
            if place:
                found = versus[place - 1][at].paired
                row[3], row[6] = f"{found.difference:+.2f}", found.tally
                if metric.interval is not None:
                    row[4:6] = f"{found.low:+.2f} to {found.high:+.2f}", p_text(found.p_randomisation)
            rows.append(row)
        headers = [metric.name, "mean", "95 % interval", "more", "95 % interval", "p rand", "wins/ties/losses"]
        tables.append(TextTable(headers, rows))
    return tables


def _interval(score: MetricScore) -> str:
    return "" if score.interval is None else f"{score.interval.low:.2f}–{score.interval.high:.2f}"
