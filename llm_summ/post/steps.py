"""Run post-processing steps by their names; three short steps are here, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from llm_summ.core.errors import InputError
from llm_summ.core.formatting import did_you_mean
from llm_summ.core.post_step_registry import POST_STEPS
from llm_summ.data.empty_texts import is_blank
from llm_summ.post.post_input import PostInput

if TYPE_CHECKING:
    from llm_summ.post.limits import LengthLimits
    from llm_summ.recipe import PostStep

__all__ = ["PostReport", "StepChange", "named_steps", "needing_dialogue", "post_process"]


def strip(summary: PostInput) -> str:
    """Remove white space around the text."""
    return summary.text.strip()


def join_lines(summary: PostInput) -> str:
    """Join several lines into one."""
    return " ".join(line.strip() for line in summary.text.splitlines() if line.strip())


def collapse_whitespace(summary: PostInput) -> str:
    """Replace every run of spaces and tabs by one space; line ends are kept."""
    return re.sub(r"[^\S\n]+", " ", summary.text)


def needing_dialogue(steps: Sequence[PostStep]) -> list[PostStep]:
    """Return those of the steps that need the dialogues."""
    return [name for name in steps if POST_STEPS.get(name).needs_dialogue]


def named_steps(text: str) -> list[PostStep]:
    """Return the steps that ``--steps`` names, separated by commas.

    Raises:
        InputError: a name is not a step.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not POST_STEPS.has(name):
            hint = did_you_mean(name, POST_STEPS.names(), f"the steps are {', '.join(POST_STEPS.names())}")
            raise InputError(f"--steps: found {name!r}, which is not a step; {hint}")
    return names


class StepChange(NamedTuple):
    """The change that one step made to one text.

    Attributes:
        step: its name, as in `PostReport.changed`.
        row: index of the text.
        before: the text before the step.
        after: the text after it.
    """

    step: str
    row: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PostReport:
    """The result of post-processing.

    Attributes:
        texts: the texts after the last step, shape (n,).
        changed: how many texts each step changed, in the order in which they ran; the name of `cut_to_limit` has
            the mark of its limits added. Joined by +, the names are part of a score's signature.
        changes: every change, in that order.
    """

    texts: list[str]
    changed: dict[str, int]
    changes: list[StepChange] = field(default_factory=list)


def post_process(
    texts: Sequence[str],
    cut_off: Sequence[bool | None],
    steps: Sequence[PostStep],
    dialogues: Sequence[str] | None = None,
    limits: LengthLimits | None = None,
) -> PostReport:
    """Run steps in order.

    A step that would remove all letters and digits of a text does not change it.

    Args:
        texts: raw predictions, shape (n,).
        cut_off: whether each generation ended by length, None where that is not known; shape (n,).
        steps: names of `POST_STEPS`.
        dialogues: the text of each dialogue, shape (n,); None if none of the steps needs them.
        limits: of the step `cut_to_limit`; None: that step changes nothing.

    Raises:
        InputError: a step of another package cannot be loaded.
        ValueError: the arguments differ in length, or a step needs the dialogues.
    """
    if dialogues is None and (needing := needing_dialogue(steps)):
        raise ValueError(f"the step {needing[0]} needs the dialogues; found None")
    spoken = [None] * len(texts) if dialogues is None else dialogues
    most = [None if limits is None or one is None else limits.of(one) for one in spoken]
    current = list(texts)
    changed: dict[str, int] = {}
    changes: list[StepChange] = []
    for name in steps:
        label = f"{name}:{limits.mark}" if name == "cut_to_limit" and limits is not None else name
        summaries = [PostInput(*one) for one in zip(current, cut_off, spoken, most, strict=True)]
        step = POST_STEPS.get(name).load()
        after = [_run(step, summary) for summary in summaries]
        pairs = enumerate(zip(current, after, strict=True))
        found = [StepChange(label, row, old, new) for row, (old, new) in pairs if old != new]
        changed[label] = len(found)
        changes += found
        current = after
    return PostReport(current, changed, changes)


def _run(step: Callable[[PostInput], str], summary: PostInput) -> str:
    after = step(summary)
    before = summary.text
    # "요약: nan" may become "nan": that is the model's answer, and it counts as empty.
    emptied = (is_blank(after) and not is_blank(before)) or (before.strip() and not after.strip())
    return before if emptied else after
