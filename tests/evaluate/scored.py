"""Rows to evaluate."""

from __future__ import annotations

from collections.abc import Sequence

from llm_summ.data.dialogue import Dialogue
from llm_summ.evaluate.rows import ScoredRow
from llm_summ.score import Aggregate, RowScore, Tokenizer, Variant, score_corpus


def row(
    identity: str,
    text: str,
    summary: str,
    references: Sequence[str] = ("가나다라마바사아자차",),
    *,
    final: float = 0.0,
    topic: str | None = None,
) -> ScoredRow:
    score = RowScore(final, final, final, final)
    return ScoredRow(Dialogue(identity, text, tuple(references), topic), summary, score)


def scored(
    summaries: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokenizer: Tokenizer,
    ids: Sequence[str] | None = None,
    variant: Variant = "rouge",
    aggregate: Aggregate = "mean",
) -> list[ScoredRow]:
    """Return rows with their scores."""
    score = score_corpus(summaries, references, variant=variant, aggregate=aggregate, tokenizer=tokenizer)
    names = ids or [f"dev_{place}" for place in range(len(summaries))]
    return [
        ScoredRow(Dialogue(name, "#Person1#: 네", tuple(wanted)), summary, figures)
        for name, summary, wanted, figures in zip(names, summaries, references, score.per_row, strict=True)
    ]
