"""Fit length limits for a run on data with references, and store them if they gain anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.files import write_text
from llm_summ.core.formatting import labelled
from llm_summ.core.records import JsonRecord
from llm_summ.core.tables import TextTable
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.post.limits import FittedLimits, learn_limits
from llm_summ.predictions.summaries import raw_run_summaries
from llm_summ.recipe import PostStep
from llm_summ.runs.run import Run
from llm_summ.score.metric import COMPETITION
from llm_summ.score.significance import Paired, paired

__all__ = ["RunLimits", "final_scores", "learn_run_limits"]


@dataclass(frozen=True, slots=True)
class RunLimits(JsonRecord):
    """The limits that were fitted for a run, and their gain.

    Attributes:
        run: the run.
        predictions: the file that they were fitted with.
        data: the data, as the user named it.
        fitted: the limits.
        versus: summaries with limits, each fitted on other dialogues, compared with those without.
        recommended: the steps for the run's recipe.
    """

    run: Run
    predictions: Path
    data: str
    fitted: FittedLimits
    versus: Paired
    recommended: tuple[PostStep, ...]

    @property
    def kept(self) -> bool:
        """Whether they gain anything, and were written."""
        return self.versus.difference > 0

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        fitted, versus = self.fitted, self.versus
        return {
            "predictions": self.predictions,
            "data": self.data,
            "edges": fitted.limits.edges,
            "limits": fitted.limits.limits,
            "rows": fitted.rows,
            "cut": fitted.cut,
            "before": float(fitted.before.mean()),
            "out_of_fold": float(fitted.after.mean()),
            "in_sample": fitted.in_sample,
            "difference": {"mean": versus.difference, "low": versus.low, "high": versus.high},
            "p": versus.p_randomisation,
            "recommended": self.recommended,
            "kept": self.run.limits_path if self.kept else None,
        }

    def table(self) -> TextTable:
        """Return, for people, a row for each decile."""
        fitted, edges = self.fitted, self.fitted.limits.edges
        spans = zip((None, *edges), (*edges, None), strict=True)
        names = [
            f"below {high}" if low is None else f"from {low} on" if high is None else f"{low} to {high - 1}"
            for low, high in spans
            if low is not None or high is not None
        ] or ["any"]
        columns = zip(names, fitted.rows, fitted.limits.limits, fitted.cut, strict=True)
        return TextTable(
            ["characters of a dialogue", "dialogues", "limit of a summary", "summaries cut"],
            [
                [name, f"{rows:,}", "none" if limit is None else f"{limit:,}", f"{cut:,}"]
                for name, rows, limit, cut in columns
            ],
        )

    def lines(self) -> list[str]:
        """Return, for people, the results that the table does not have."""
        fitted, versus, path = self.fitted, self.versus, self.run.limits_path
        lines = [
            labelled("without", f"{fitted.before.mean():.2f}: {self.predictions} on {self.data}"),
            labelled(
                "with",
                f"{fitted.after.mean():.2f} on dialogues that the limits were not fitted on "
                f"({fitted.in_sample:.2f} on those they were fitted on)",
            ),
            labelled("difference", str(versus)),
        ]
        if not self.kept:
            unchanged = f"; {path} is not changed" if path.is_file() else ""
            return [*lines, labelled("kept", f"nothing: limits gain nothing here{unchanged}")]
        lines.append(labelled("kept", f"{path}{versus.doubt}"))
        if list(self.recommended) != self.run.recipe().post:
            lines.append(labelled("to use it", f"{self.run.recipe_path}: post: [{', '.join(self.recommended)}]"))
        return lines


def learn_run_limits(run: Run, data: str, steps: Sequence[PostStep] | None = None) -> RunLimits:
    """Fit limits with a run's newest predictions, and write them into the run if they gain anything.

    Args:
        run: the run.
        data: data with references, as the user named it.
        steps: of post-processing, before the limits; None: the recipe's.

    Raises:
        DataError: the data cannot be used, or have no references.
        PredictionError: the run has no predictions for them.
        RunError: there are too few dialogues, or another process has locked the run's files.
    """
    dialogues = read_dialogues(data, references=True)
    raw = raw_run_summaries(run, data, dialogues)
    before: list[PostStep] = [
        step for step in (run.recipe().post if steps is None else steps) if step != "cut_to_limit"
    ]
    texts = raw.finish(before).texts
    spoken = [dialogue.text for dialogue in dialogues]
    fitted = learn_limits([dialogue.id for dialogue in dialogues], spoken, texts, final_scores(dialogues))
    versus = paired(fitted.before.tolist(), fitted.after.tolist())
    limits = RunLimits(run, raw.path, data, fitted, versus, (*before, "cut_to_limit"))
    if limits.kept:
        with run.lock_files():
            write_text(run.limits_path, fitted.limits.to_json() + "\n")
    return limits


def final_scores(dialogues: Sequence[Dialogue]) -> Callable[[Sequence[int], Sequence[str]], list[float]]:
    """Return a function that returns the final scores, from 0 to 100, of texts for rows of the dialogues."""

    def score(rows: Sequence[int], texts: Sequence[str]) -> list[float]:
        references = [dialogues[row].references for row in rows]
        return [row.final for row in COMPETITION.score(texts, references).per_row]

    return score
