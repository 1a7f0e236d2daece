"""Read a training's log: its evaluations, the best checkpoint, and whether to stop early."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import InputError
from llm_summ.core.files import read_jsonl, write_text
from llm_summ.recipe import EvaluationFields

__all__ = ["Evaluated", "cut_log", "evaluations", "pick", "stops_early", "table"]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation during a training.

    Attributes:
        step: optimizer steps made.
        epoch: passes through the training rows.
        dev_loss: mean cross entropy of the reference summaries' tokens.
        dev_score: the competition's score of generated summaries, 0 to 100, and its three parts.
        dev_rouge1: mean F1.
        dev_rouge2: mean F1.
        dev_rougeL: mean F1.
        dev_by_length: the number of generated summaries that ended by length.
        dev_rows: the number of dialogues.
    """

    step: int
    epoch: float
    dev_loss: float
    dev_score: float
    dev_rouge1: float
    dev_rouge2: float
    dev_rougeL: float  # noqa: N815  the metric's name
    dev_by_length: int
    dev_rows: int

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Evaluated | None:
        """Return the evaluation in a line of the log; None if it is a line of an optimizer step."""
        if "dev_score" not in entry:
            return None
        values: dict[str, Any] = {name: entry.get(name) for name in cls.__slots__}
        for name, value in values.items():
            values[name] = math.nan if value is None else value
        return cls(**values)


def evaluations(log: Path) -> list[Evaluated]:
    """Return the evaluations of a log, in order.

    Raises:
        InputError: a line is not JSON.
    """
    if not log.is_file():
        return []
    entries = (Evaluated.of(entry) for _, entry in read_jsonl(log, may_be_torn=True))
    return [evaluated for evaluated in entries if evaluated is not None]


def cut_log(log: Path, step: int) -> dict[str, Any]:
    """Remove from a log what came after a step: the resumed training logs it again.

    Returns:
        the last value of every field; empty if there is none.
    """
    if not log.is_file():
        return {}
    kept: list[str] = []
    last: dict[str, Any] = {}
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    # After a power failure the last lines may be damaged; they are dropped.
    with contextlib.suppress(InputError):
        for number, entry in read_jsonl(log, may_be_torn=True):
            if not isinstance(entry.get("step"), int):
                break
            if entry["step"] <= step:
                kept.append(lines[number - 1])
                last |= entry
    write_text(log, "".join(kept))
    return last


def pick(logged: Sequence[Evaluated], fields: EvaluationFields) -> int | None:
    """Return the step of the best checkpoint, of equal ones the first; None if nothing was evaluated."""
    if not logged:
        return None
    if fields.pick == "last":
        return logged[-1].step
    return max(logged, key=lambda evaluated: (_merit(evaluated, fields), -evaluated.step)).step


def stops_early(logged: Sequence[Evaluated], fields: EvaluationFields) -> bool:
    """Return whether none of the last `patience` evaluations improved on the best before by `min_gain`."""
    if fields.patience is None or fields.pick == "last":
        return False
    best, without_gain = float("-inf"), 0
    for evaluated in logged:
        merit = _merit(evaluated, fields)
        # An equal value is not an improvement, even if min_gain is 0.
        if merit > best and merit >= best + fields.min_gain:
            best, without_gain = merit, 0
        else:
            without_gain += 1
    return without_gain >= fields.patience


def table(logged: Sequence[Evaluated], fields: EvaluationFields) -> list[str]:
    """Return the evaluations as a table for people, with the choice of each value of `evaluation.pick`."""
    by_score = pick(logged, fields.model_copy(update={"pick": "score"}))
    by_loss = pick(logged, fields.model_copy(update={"pick": "loss"}))
    head = ("step", "epoch", "dev loss", "R-1", "R-2", "R-L", "dev score", "cut off")
    lines = [" ".join(f"{name:>{width}}" for name, width in zip(head, (7, 6, 9, 6, 6, 6, 9, 8), strict=True))]
    for row in logged:
        names = [
            name
            for name, step in (("score", by_score), ("loss", by_loss), ("last", logged[-1].step))
            if step == row.step
        ]
        best = f"  best by {', '.join(names)}" if names else ""
        kept = "  <- kept" if row.step == pick(logged, fields) else ""
        lines.append(
            f"{row.step:>7} {row.epoch:>6.2f} {row.dev_loss:>9.4f} {row.dev_rouge1:>6.2f} {row.dev_rouge2:>6.2f} "
            f"{row.dev_rougeL:>6.2f} {row.dev_score:>9.2f} {row.dev_by_length:>5}/{row.dev_rows}{best}{kept}"
        )
    return lines


def _merit(evaluated: Evaluated, fields: EvaluationFields) -> float:
    merit = -evaluated.dev_loss if fields.pick == "loss" else evaluated.dev_score
    return -math.inf if math.isnan(merit) else merit
