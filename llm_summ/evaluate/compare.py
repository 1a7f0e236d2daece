"""Compare systems on the same dialogues: which is better, by how much, where, and whether it could be chance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_summ.core.errors import PredictionError
from llm_summ.core.formatting import counted, letters
from llm_summ.data import Dialogue, read_dialogues
from llm_summ.data.formats import is_data_file
from llm_summ.data.source import short_names
from llm_summ.evaluate.baselines import find_baselines
from llm_summ.evaluate.comparison import ComparedSystem, Comparison, LengthGroup, Versus
from llm_summ.evaluate.groups import by_length
from llm_summ.evaluate.other_metrics import pair_metrics, score_metrics
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.predictions.summaries import Summaries, file_summaries, run_summaries
from llm_summ.runs.run import RUNS, Run, open_run
from llm_summ.score.leaderboard import simulate_lead, worth
from llm_summ.score.metric import COMPETITION, Metric
from llm_summ.score.significance import interval, paired
from llm_summ.score.system_similarity import find_similarities

__all__ = ["compare_systems"]


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
    scores = [summaries.score(dialogues, metric) for summaries in found]
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
