"""Metrics of other packages, next to ROUGE: `eval --metric NAME`. No metric is imported here.

A metric is a function from summaries and their references to a figure for each dialogue. It is registered by an
entry point of the group ``llm_summ.metrics`` whose value is a `MetricSpec`, or by `METRICS.register`. ROUGE is not
among them: it is always computed, and runs are ranked by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, isfinite
from typing import Any

from llm_summ import __version__
from llm_summ.core.errors import InputError
from llm_summ.core.formatting import counted
from llm_summ.core.records import JsonRecord
from llm_summ.core.registry import Registry, load_late
from llm_summ.score.significance import Interval, interval

__all__ = ["METRICS", "MetricScore", "MetricSpec", "score_by"]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A metric that can be named on the command line.

    Attributes:
        name: used on the command line, in JSON and in the score's signature.
        function: ``module:name`` of a function. It takes the summaries, shape ``[rows]``, and the references,
            shape ``[rows][at least 1]``. It returns a figure for each row, usually from 0 to 100; more is better.
        version: of the metric: it changes whenever the figures may; part of the signature.
    """

    name: str
    function: str
    version: str

    def load(self) -> Any:
        """Import and return the function.

        Raises:
            InputError: it does not exist.
        """
        return load_late(self.function, f"--metric {self.name}", "function")


METRICS: Registry[MetricSpec] = Registry("metric", "llm_summ.metrics", MetricSpec, [])
"""All metrics besides ROUGE."""


@dataclass(frozen=True, slots=True)
class MetricScore(JsonRecord):
    """The score of all dialogues by a metric.

    Attributes:
        name: of the metric.
        mean: over the dialogues.
        interval: its 95 % bootstrap interval; None for a single row.
        signature: two scores are comparable only if it is equal: metric, its version, references per dialogue, and
            the version of this package.
        per_row: the figure of each dialogue, in the order given.
    """

    name: str
    mean: float
    interval: Interval | None
    signature: str
    per_row: tuple[float, ...]


def score_by(name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> MetricScore:
    """Score one summary per dialogue by a metric of another package.

    Args:
        name: of the metric.
        hypotheses: the summaries, shape ``[at least 1]``.
        references: the human summaries of each dialogue, shape ``[rows][at least 1]``.

    Raises:
        InputError: the metric cannot be loaded, or does not return a finite number for each dialogue.
        ValueError: no metric has this name.
    """
    spec = METRICS.get(name)
    figures = [float(figure) for figure in spec.load()(list(hypotheses), [list(texts) for texts in references])]
    where = f"--metric {name}: {spec.function}"
    if len(figures) != len(hypotheses):
        raise InputError(
            f"{where}: found {counted(len(figures), 'figure')}, expected one for each of "
            f"{counted(len(hypotheses), 'dialogue')}; repair the metric"
        )
    if (row := next((row for row, figure in enumerate(figures) if not isfinite(figure)), None)) is not None:
        raise InputError(
            f"{where}: found {figures[row]} for row {row + 1}, expected a finite number; repair the metric"
        )
    fewest, most = min(map(len, references)), max(map(len, references))
    return MetricScore(
        name,
        fsum(figures) / len(figures),
        interval(figures) if len(figures) > 1 else None,
        f"metric:{name}|version:{spec.version}|nrefs:{fewest if fewest == most else f'{fewest}-{most}'}"
        f"|v:{__version__}",
        tuple(figures),
    )
