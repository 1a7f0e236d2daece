"""Measure what each step gains: the score with and without it, and whether the difference is more than chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_summ.core.post_step_registry import POST_STEPS
from llm_summ.core.records import JsonRecord

if TYPE_CHECKING:
    from llm_summ.recipe import PostStep

__all__ = ["Gain", "StepSweep", "StepWorth", "placed", "sweep"]

_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better the second of two lists of scores is, row by row.

    Attributes:
        difference: of the means.
        low: lower end of its 95 % interval.
        high: its upper end.
        p: the probability of such a difference by chance, two-sided.
    """

    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class StepWorth:
    """A step at its place in the list.

    Attributes:
        step: its name.
        listed: whether the list has it.
        rows: how many final summaries differ with and without it.
        final_without: mean final score of all rows without it, from 0 to 100.
        final_with: the same with it.
        gain: of the scores with it over those without it.
        more_than_chance: whether p is below 0.05 divided by the number of steps that change anything
            (Bonferroni's correction: of twenty useless steps, one would seem to be useful).
    """

    step: PostStep
    listed: bool
    rows: int
    final_without: float
    final_with: float
    gain: Gain
    more_than_chance: bool


@dataclass(frozen=True, slots=True)
class StepSweep(JsonRecord):
    """The results of all steps.

    Attributes:
        steps: the list that the sweep began with.
        final: its mean final score.
        worths: a step each, in descending order of gain.
    """

    steps: tuple[PostStep, ...]
    final: float
    worths: tuple[StepWorth, ...]

    @property
    def added(self) -> list[PostStep]:
        """Steps that are not in the list and gain more than chance."""
        return [
            one.step for one in self.worths if one.more_than_chance and not one.listed and one.gain.difference > 0
        ]

    @property
    def removed(self) -> list[PostStep]:
        """Steps of the list that cost more than chance."""
        return [one.step for one in self.worths if one.more_than_chance and one.listed and one.gain.difference < 0]

    @property
    def recommended(self) -> list[PostStep]:
        """The list for the recipe: the present one, without the steps that cost, with the steps that gain."""
        steps: Sequence[PostStep] = [step for step in self.steps if step not in self.removed]
        for step in self.added:
            steps = placed(steps, step)
        return list(steps)

    def json_fields(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "steps": self.steps,
            "final": self.final,
            "worths": self.worths,
            "added": self.added,
            "removed": self.removed,
            "recommended": self.recommended,
        }


def placed(steps: Sequence[PostStep], step: PostStep) -> list[PostStep]:
    """Return the list with one more step: before the first that comes after it in `POST_STEPS`."""
    order = POST_STEPS.names()
    later = (at for at, other in enumerate(steps) if order.index(other) > order.index(step))
    at = next(later, len(steps))
    return [*steps[:at], step, *steps[at:]]


def sweep(
    finish: Callable[[Sequence[PostStep]], Sequence[str]],
    steps: Sequence[PostStep],
    score: Callable[[Sequence[int], Sequence[str]], Sequence[float]],
    compare: Callable[[Sequence[float], Sequence[float]], Gain],
) -> StepSweep:
    """Try the list without each of its steps, and with each other step in its place.

    Args:
        finish: returns the summaries after steps, shape (n,).
        steps: the list.
        score: returns the final scores, from 0 to 100, of texts for rows; a row may come several times. It is
            called once, with all rows of the list and those that a trial changes.
        compare: returns the gain of the second of two lists of scores over the first, shape (n,) each.
    """
    own = finish(steps)
    rows = list(range(len(own)))
    trials: list[tuple[PostStep, Sequence[str], list[int]]] = []
    for step in POST_STEPS.names():
        other = [one for one in steps if one != step] if step in steps else placed(steps, step)
        texts = finish(other)
        trials.append((step, texts, [row for row in rows if texts[row] != own[row]]))
    asked = list(enumerate(own))
    asked += [(row, texts[row]) for _, texts, changed in trials for row in changed]
    found = list(score([row for row, _ in asked], [text for _, text in asked]))
    finals, rest = found[: len(rows)], iter(found[len(rows) :])
    tried = sum(bool(changed) for _, _, changed in trials)
    worths = []
    for step, _, changed in trials:
        others = list(finals)
        for row in changed:
            others[row] = next(rest)
        without, with_it = (others, finals) if step in steps else (finals, others)
        gain = compare(without, with_it) if changed else Gain(0.0, 0.0, 0.0, 1.0)
        worths.append(
            StepWorth(
                step,
                step in steps,
                len(changed),
                sum(without) / len(rows),
                sum(with_it) / len(rows),
                gain,
                bool(changed) and gain.p < _SURE / tried,
            )
        )
    worths.sort(key=lambda one: -one.gain.difference)
    return StepSweep(tuple(steps), sum(finals) / len(rows), tuple(worths))
