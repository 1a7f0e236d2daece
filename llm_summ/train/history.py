"""What a training's log says: its losses, its evaluations, which checkpoint is best, whether to stop."""

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
        dev_by_length: how many of the generated summaries ended by length.
        dev_rows: how many dialogues.
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
        """What a line of the log says; None if it is a line of an optimizer step."""
        if "dev_score" not in entry:
            return None
        found: dict[str, Any] = {name: entry.get(name) for name in cls.__slots__}
        for name, value in found.items():
            found[name] = math.nan if value is None else value
        return cls(**found)


def evaluations(log: Path) -> list[Evaluated]:
    """The evaluations that a log holds, in order.

    Raises:
        InputError: a line is not JSON.
    """
    if not log.is_file():
        return []
    found = (Evaluated.of(entry) for _, entry in read_jsonl(log, may_be_torn=True))
    return [evaluated for evaluated in found if evaluated is not None]


def cut_log(log: Path, step: int) -> dict[str, Any]:
    """Take off a log what came after a step: it will come again.

    Returns:
        the last value of every field; empty if there is none.
    """
    if not log.is_file():
        return {}
    kept: list[str] = []
    last: dict[str, Any] = {}
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    # What a power failure left at the end is no line of ours.
    with contextlib.suppress(InputError):
        for number, entry in read_jsonl(log, may_be_torn=True):
            if not isinstance(entry.get("step"), int):
                break
            if entry["step"] <= step:
                kept.append(lines[number - 1])
                last |= entry
    write_text(log, "".join(kept))
    return last


def pick(found: Sequence[Evaluated], fields: EvaluationFields) -> int | None:
    """The step whose checkpoint is the best; of equal ones the first. None: nothing was evaluated."""
    if not found:
        return None
    if fields.pick == "last":
        return found[-1].step
    return max(found, key=lambda one: (_merit(one, fields), -one.step)).step


def stops_early(found: Sequence[Evaluated], fields: EvaluationFields) -> bool:
    """Whether the last `patience` evaluations all failed to better the best before them by `min_gain`."""
    if fields.patience is None or fields.pick == "last":
        return False
    best, in_vain = float("-inf"), 0
    for one in found:
        merit = _merit(one, fields)
        # By nothing at all is not better, even where min_gain is 0.
        if merit > best and merit >= best + fields.min_gain:
            best, in_vain = merit, 0
        else:
            in_vain += 1
    return in_vain >= fields.patience


def table(found: Sequence[Evaluated], fields: EvaluationFields) -> list[str]:
    """The evaluations for people, with what each way of picking would take."""
    by_score = pick(found, fields.model_copy(update={"pick": "score"}))
    by_loss = pick(found, fields.model_copy(update={"pick": "loss"}))
    head = ("step", "epoch", "dev loss", "R-1", "R-2", "R-L", "dev score", "cut off")
    lines = [" ".join(f"{name:>{width}}" for name, width in zip(head, (7, 6, 9, 6, 6, 6, 9, 8), strict=True))]
    for one in found:
        names = [
            name
            for name, step in (("score", by_score), ("loss", by_loss), ("last", found[-1].step))
            if step == one.step
        ]
        best = f"  best by {', '.join(names)}" if names else ""
        kept = "  <- kept" if one.step == pick(found, fields) else ""
        lines.append(
            f"{one.step:>7} {one.epoch:>6.2f} {one.dev_loss:>9.4f} {one.dev_rouge1:>6.2f} {one.dev_rouge2:>6.2f} "
            f"{one.dev_rougeL:>6.2f} {one.dev_score:>9.2f} {one.dev_by_length:>5}/{one.dev_rows}{best}{kept}"
        )
    return lines


def _merit(one: Evaluated, fields: EvaluationFields) -> float:
    merit = -one.dev_loss if fields.pick == "loss" else one.dev_score
    return -math.inf if math.isnan(merit) else merit
