"""Format an evaluation for people: the tables of a score's details, and the lines about the score itself."""

from __future__ import annotations

from collections.abc import Sequence

from llm_summ.core.errors import listed
from llm_summ.core.formatting import counted, labelled
from llm_summ.core.tables import TextTable
from llm_summ.evaluate.evaluation import Evaluation
from llm_summ.evaluate.other_metrics import lowest_lines
from llm_summ.evaluate.worst import printable
from llm_summ.score.corpus import FIGURES
from llm_summ.score.metric import COMPETITION, PACKAGES
from llm_summ.score.significance import FEW_ROWS
from llm_summ.score.verify import EXACT

__all__ = ["detail_tables", "score_heading", "score_lines", "score_table", "verification_errors"]

_SHORT = ("R-1", "R-2", "R-L", "final")
_TOKENS = {
    "mecab": "mecab-ko morphemes",
    "space": "words",
    "character": "characters",
    "rouge-score": "rouge-score's own tokens",
    "rouge-score-stem": "rouge-score's own stems",
}


def detail_tables(evaluation: Evaluation) -> list[TextTable]:
    """Return the details of the score: groups, lengths, floors, and tags if any finding occurs."""
    tables = [grouping.table() for grouping in evaluation.groups]
    tables += [evaluation.lengths.table(), evaluation.baselines.table(), evaluation.fidelity.table()]
    return [table for table in tables if table.rows]


def score_heading(evaluation: Evaluation) -> str:
    """Return a line about the data."""
    score = evaluation.score
    fewest, most = score.references_per_row
    several = f"{fewest} to {most} references"
    references = f"{most} reference{'s' if most > 1 else ''} each" if fewest == most else several
    return f"{evaluation.data}: {counted(score.rows, 'dialogue')}, {references}"


def score_table(evaluation: Evaluation) -> TextTable:
    """Return the score by the chosen ROUGE package and by the other one."""
    metric = evaluation.metric
    rows = []
    for one, score in ((metric, evaluation.score), (metric.other_variant(), evaluation.other)):
        whose = " (the competition's baseline)" if one == COMPETITION else ""
        rows.append([PACKAGES[one.variant] + whose, *(f"{getattr(score, name):.2f}" for name in FIGURES)])
    return TextTable([f"ROUGE over {_TOKENS[metric.tokens]}", *_SHORT], rows)


def score_lines(evaluation: Evaluation) -> list[str]:
    """Return the score's intervals, the facts about the summaries, and the signature."""
    lines = []
    rows = evaluation.score.rows
    if evaluation.intervals:
        ends = ", ".join(
            f"{name} {one.low:.2f}–{one.high:.2f}"
            for name, one in zip(_SHORT, evaluation.intervals.values(), strict=True)
        )
        few = f" (too narrow, of fewer than {FEW_ROWS} rows)" if rows < FEW_ROWS else ""
        lines.append(labelled("interval", f"95 %: {ends}{few}"))
    if (board := evaluation.leaderboard) is not None:
        halves = (
            f"public and private halves ({board.public_rows:,} and {board.private_rows:,} rows) differ "
            f"by {board.median_gap:.2f} points in the median, by at most {board.gap95:.2f} in 95 %"
        )
        lines.append(labelled("board", halves))
    lengths = evaluation.lengths
    characters = f"{lengths.summary:.0f} characters a summary, {lengths.reference:.0f} a reference"
    lines.append(labelled("length", characters))
    if evaluation.by_length is not None:
        lines.append(labelled("cut off", f"{_count(evaluation.by_length, rows)} ended by length"))
    if evaluation.empty:
        lines.append(labelled("empty", f"{_count(evaluation.empty, rows)} count as 0"))
    if evaluation.summaries.post:
        steps = ", ".join(f"{name} {changed}" for name, changed in evaluation.summaries.post.items())
        lines.append(labelled("post", f"rows changed: {steps}"))
    lines += [labelled("verified", str(checked)) for checked in evaluation.verifications]
    other = lowest_lines(evaluation.metrics, [printable(row.dialogue.id) for row in evaluation.rows])
    return [*lines, labelled("signature", evaluation.signature), *other]


def verification_errors(evaluation: Evaluation) -> list[str]:
    """Return where our figures differ from a package's, a line for each package."""
    return [
        f"the figures differ from those of {found.package} {found.version}: {found.where}"
        for found in evaluation.verifications
        if found.largest > EXACT
    ]


def _count(ids: Sequence[str], rows: int) -> str:
    return f"{len(ids)} of {rows}" + (f" ({printable(listed(ids))})" if ids else "")
