"""Find dialogues of dev and test that are in train as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_summ.core.errors import listed
from llm_summ.data import Dialogue
from llm_summ.data.near_duplicates import near_duplicates
from llm_summ.plan.training_plan import TrainingPlan

__all__ = ["Leak", "dialogues_are", "find_leaks", "leak_line"]


@dataclass(frozen=True, slots=True)
class Leak:
    """A dialogue of dev or test that is in the training data.

    Attributes:
        part: "dev" or "test".
        id: its id there.
        trained: the id of its near-duplicate among the training rows.
        similarity: 0 to 1; 1 is the same dialogue.
    """

    part: str
    id: str
    trained: str
    similarity: float


def find_leaks(data: dict[str, list[Dialogue]]) -> list[Leak]:
    """Return the nearest training row of every dialogue of dev and test that has one."""
    train = data["train"]
    nearest: dict[tuple[str, str], Leak] = {}
    others = [(part, dialogue) for part in ("dev", "test") for dialogue in data.get(part, ())]
    if not others:
        return []
    for pair in near_duplicates([dialogue.text for dialogue in (*train, *(other for _, other in others))]):
        if pair.first < len(train) <= pair.second:
            part, dialogue = others[pair.second - len(train)]
            known = nearest.get((part, dialogue.id))
            if known is None or known.similarity < pair.similarity:
                nearest[part, dialogue.id] = Leak(part, dialogue.id, train[pair.first].id, pair.similarity)
    return list(nearest.values())


def leak_line(plan: TrainingPlan, leaks: Sequence[Leak]) -> str:
    """Return the number of leaks, and the first of them, for people."""
    if not plan.prompts:
        return "not checked: the recipe names neither dev nor test"
    if not leaks:
        return f"none: no dialogue of {' and '.join(plan.prompts)} is in train"
    shown = [f"{leak.id} of {leak.part} is {leak.trained} ({leak.similarity:.0%})" for leak in leaks]
    return f"{dialogues_are(len(leaks))} in train: {listed(shown)}"


def dialogues_are(count: int) -> str:
    """Return the subject and verb of a sentence about `count` dialogues."""
    return "1 dialogue is" if count == 1 else f"{count} dialogues are"
