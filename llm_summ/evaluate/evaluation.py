"""Evaluate a file of summaries: its score, the score's confidence interval, and the details of the score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import RunError, file_problem, listed
from llm_summ.core.files import file_sha256, write_json
from llm_summ.core.formatting import utc_now
from llm_summ.core.progress import say
from llm_summ.core.records import JsonRecord
from llm_summ.data import Dialogue, read_dialogues, source_name
from llm_summ.data.empty_texts import is_empty
from llm_summ.data.source import resolve_source
from llm_summ.evaluate.baselines import Baselines, find_baselines
from llm_summ.evaluate.explain import Explanation, explain
from llm_summ.evaluate.fidelity import Fidelity, check_fidelity
from llm_summ.evaluate.groups import Grouping, group_rows
from llm_summ.evaluate.lengths import LengthComparison, compare_lengths
from llm_summ.evaluate.other_metrics import score_metrics
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.evaluate.worst import WorstRow, worst_rows
from llm_summ.predictions.summaries import Summaries, file_summaries, run_summaries
from llm_summ.runs.run import Run
from llm_summ.score import CorpusScore
from llm_summ.score.corpus import FIGURES
from llm_summ.score.leaderboard import Leaderboard, simulate
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.other_metrics import MetricScore
from llm_summ.score.significance import Interval, interval
from llm_summ.score.verify import ScoreVerification, verify

__all__ = ["Evaluation", "evaluate_file", "evaluate_run", "evaluate_summaries"]

_MANY_EQUAL = 50


@dataclass(frozen=True)
class Evaluation(JsonRecord):
    """A score, with the summaries that it was computed from and its details.

    Attributes:
        data: the data source.
        data_sha256: of its file.
        summaries: the scored summaries, after post-processing.
        metric: how they were scored.
        score: by that metric.
        other: the score by the other ROUGE package, on the same tokens.
        intervals: the 95 % bootstrap interval of each of `FIGURES`; empty for a single row.
        leaderboard: how far apart public and private halves of such a test set are; None for a single row.
        rows: the rows, in the order of the data.
        baselines: the scores of trivial baselines, and rows that are matched to the wrong dialogue.
        lengths: of summaries and references.
        fidelity: tags and masks that were invented, lost or broken.
        groups: the rows by dialogue length, turns, topic and speakers.
        worst: the rows with the lowest scores.
        explanation: the same summaries by other metrics, if requested.
        verifications: our figures compared with the packages' own, if requested.
        metrics: the scores by metrics of other packages, if requested.
    """

    data: str
    data_sha256: str
    summaries: Summaries
    metric: Metric
    score: CorpusScore
    other: CorpusScore
    intervals: dict[str, Interval]
    leaderboard: Leaderboard | None
    rows: tuple[ScoredRow, ...]
    baselines: Baselines
    lengths: LengthComparison
    fidelity: Fidelity
    groups: tuple[Grouping, ...]
    worst: tuple[WorstRow, ...]
    explanation: Explanation | None = None
    verifications: tuple[ScoreVerification, ...] = ()
    metrics: tuple[MetricScore, ...] = ()

    @property
    def predictions(self) -> Path:
        """The prediction file."""
        return self.summaries.path

    @property
    def empty(self) -> list[str]:
        """Ids of the summaries without anything to score; they count as 0."""
        return [self.rows[index].dialogue.id for index in self.score.empty]

    @property
    def by_length(self) -> list[str] | None:
        """Ids of outputs that ended by length; None where the file does not have that."""
        if self.summaries.raw.cut_off is None:
            return None
        return [row.dialogue.id for row in self.rows if row.cut_off]

    @property
    def signature(self) -> str:
        """The score's signature: two scores are comparable only if it is equal."""
        return self.summaries.sign(self.score)

    @property
    def warnings(self) -> list[str]:
        """Reasons why the score is not what it seems, a line each."""
        found = []
        without = [row.dialogue.id for row in self.rows if is_empty(row.summary) and not row.score.final]
        if without:
            count = f"{len(without):,} of {self.score.rows:,} summaries"
            found.append(f"{count} are empty ({listed(without)}): they score 0, and a submission may be refused")
        equal = sum(row.summary.strip() in map(str.strip, row.dialogue.references) for row in self.rows)
        if equal >= _MANY_EQUAL and equal > self.score.rows / 2:
            found.append(
                f"{equal:,} of {self.score.rows:,} summaries are equal to a reference: are they predictions?"
            )
        references = [row.dialogue.references for row in self.rows]
        return [*found, *self.baselines.warnings(), *self.metric.warnings(self.summaries.texts, references)]

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "data": self.data,
            "data_sha256": self.data_sha256,
            "predictions": self.predictions,
            "engine": self.summaries.engine,
            "untuned": self.summaries.untuned,
            "rows": self.score.rows,
            "references": self.score.references_per_row,
            **{name: getattr(self.score, name) for name in FIGURES},
            "interval": self.intervals.get("final"),
            "intervals": self.intervals,
            "signature": self.signature,
            self.metric.other_variant().variant: {
                **{name: getattr(self.other, name) for name in FIGURES},
                "signature": self.summaries.sign(self.other),
            },
            "warnings": self.warnings,
            "post": self.summaries.post,
            "empty": self.empty,
            "by_length": self.by_length,
            "floors": self.baselines,
            "lengths": self.lengths,
            "fidelity": self.fidelity,
            "groups": self.groups,
            "leaderboard": self.leaderboard,
            "worst": self.worst,
            "explain": self.explanation,
            "verify": self.verifications,
            "metrics": self.metrics,
            "per_row": [{"fname": row.dialogue.id, **row.score._asdict()} for row in self.rows],
        }


def evaluate_run(
    run: Run,
    source: str,
    metric: Metric = COMPETITION,
    *,
    explained: bool = False,
    verified: bool = False,
    metrics: Sequence[str] = (),
) -> Evaluation:
    """Score a run's predictions for a data file; a score by the competition's metric is stored in the run.

    Arguments are those of `evaluate_summaries`.

    Raises:
        DataError: the data cannot be used, or have no references.
        PredictionError: the run has no predictions for them; the message names the command that makes them.
    """
    dialogues = read_dialogues(source, references=True)
    summaries = run_summaries(run, source, dialogues)
    evaluation = evaluate_summaries(
        source, dialogues, summaries, metric, explained=explained, verified=verified, metrics=metrics
    )
    if metric == COMPETITION:
        try:
            with run.lock_files():
                write_json(_score_path(run, evaluation), {**evaluation.to_json(), "scored": utc_now()})
        except (OSError, RunError) as error:
            reason = file_problem(run.scores, "written", error) if isinstance(error, OSError) else error
            say(f"the score is not stored: {reason}")
    return evaluation


def _score_path(run: Run, evaluation: Evaluation) -> Path:
    """Return the path at which a score is stored; scores of other data with the same name are not overwritten."""
    name, engine, sha256 = source_name(evaluation.data), evaluation.summaries.engine, evaluation.data_sha256
    path = run.scores / f"{name}.{engine}.json"
    try:
        other = json.loads(path.read_text(encoding="utf-8"))["data_sha256"] != sha256
    except (OSError, ValueError, TypeError, KeyError):
        other = False
    return run.scores / f"{name}-{sha256[:8]}.{engine}.json" if other else path


def evaluate_file(
    path: Path,
    source: str,
    metric: Metric = COMPETITION,
    *,
    explained: bool = False,
    verified: bool = False,
    metrics: Sequence[str] = (),
) -> Evaluation:
    """Score a prediction file: a CSV or JSONL with fname and summary, without post-processing.

    Only the raw predictions of a run are post-processed, by the steps of its recipe. Arguments are those of
    `evaluate_summaries`.

    Raises:
        DataError: the data cannot be used, or have no references.
        PredictionError: the predictions cannot be used, or their ids differ.
    """
    dialogues = read_dialogues(source, references=True)
    summaries = file_summaries(path, source, dialogues)
    return evaluate_summaries(
        source, dialogues, summaries, metric, explained=explained, verified=verified, metrics=metrics
    )


def evaluate_summaries(
    source: str,
    dialogues: Sequence[Dialogue],
    summaries: Summaries,
    metric: Metric,
    *,
    explained: bool = False,
    verified: bool = False,
    metrics: Sequence[str] = (),
) -> Evaluation:
    """Score summaries.

    Args:
        source: the data file, as the user named it.
        dialogues: its rows, each with a reference.
        summaries: one for each of them, in their order.
        metric: how to score.
        explained: whether to score by all other metrics too.
        verified: whether to score with the ROUGE packages themselves too, and compare.
        metrics: names of metrics of other packages to score by as well.
    """
    references = [dialogue.references for dialogue in dialogues]
    score = summaries.score(dialogues, metric)
    cut_off = summaries.raw.cut_off or (None,) * len(dialogues)
    rows = tuple(map(ScoredRow, dialogues, summaries.texts, score.per_row, cut_off))
    several = len(rows) > 1
    tokenizer = metric.tokenizer
    return Evaluation(
        data=source,
        data_sha256=file_sha256(resolve_source(source)),
        summaries=summaries,
        metric=metric,
        score=score,
        other=summaries.score(dialogues, metric.other_variant()),
        intervals={name: interval([getattr(row, name) for row in score.per_row]) for name in FIGURES if several},
        leaderboard=simulate([row.final for row in score.per_row]) if several else None,
        rows=rows,
        baselines=find_baselines(rows, variant=metric.variant, aggregate=metric.aggregate, tokenizer=tokenizer),
        lengths=compare_lengths(rows),
        fidelity=check_fidelity(rows),
        groups=group_rows(rows),
        worst=worst_rows(rows, tokenizer=tokenizer, variant=metric.variant),
        explanation=explain(summaries.texts, references) if explained else None,
        verifications=tuple(
            verify(
                summaries.texts,
                references,
                tokenizer=tokenizer,
                variant=variant,
                aggregate=metric.aggregate,
            )
            for variant in (metric.variant, metric.other_variant().variant)
            if verified
        ),
        metrics=score_metrics(metrics, summaries, dialogues),
    )
