"""Limit a summary's length by the length of its dialogue: fitted on data with references, stored with the run."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Self

from pydantic import PositiveInt

from llm_summ.core.errors import RunError
from llm_summ.core.files import text_sha256
from llm_summ.core.progress import say
from llm_summ.core.records import one_line, read_model
from llm_summ.data.cross_validation import FOLDS, fold_of_each
from llm_summ.data.dialogue import dialogue_hash
from llm_summ.data.empty_texts import is_empty
from llm_summ.post.post_input import PostInput
from llm_summ.post.sentences import sentences
from llm_summ.runs.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llm_summ.recipe import PostStep

    Floats = NDArray[np.float64]

__all__ = [
    "FittedLimits",
    "LengthLimits",
    "cut_to_limit",
    "dialogues_sha256",
    "learn_limits",
    "limits_for",
    "within",
]

_DECILES = 10
_LEAST_ROWS = 5 * _DECILES


@dataclass(frozen=True, slots=True)
class LengthLimits:
    """A limit for each decile of dialogues by their length; all lengths are in characters.

    Attributes:
        edges: ascending; decile i has the dialogues from edges[i - 1] up to but not including edges[i]; 9 of them,
            or fewer where many dialogues have the same length.
        limits: characters that a summary may have; None: any number. One more than `edges`.
        learnt_on: the hash of the dialogues that they were fitted on; see `dialogues_sha256`.
    """

    edges: tuple[int, ...] = field(metadata={"expected": "whole numbers, ascending"})
    limits: tuple[PositiveInt | None, ...] = field(
        metadata={"expected": "whole numbers above 0 or null, one more than edges"}
    )
    learnt_on: str = field(metadata={"expected": "a hash of dialogues"})

    def __post_init__(self) -> None:
        if sorted(set(self.edges)) != list(self.edges):
            raise ValueError("edges")
        if len(self.limits) != len(self.edges) + 1:
            raise ValueError("limits")

    def of(self, dialogue: str) -> int | None:
        """Return the limit for a dialogue."""
        return self.limits[bisect_right(self.edges, _length(dialogue))]

    @property
    def mark(self) -> str:
        """A short hash that identifies these limits in a score's signature."""
        return text_sha256(self.to_json())[:8]

    def to_json(self) -> str:
        """Return the limits as JSON, on one line; `from_json` gives an equal object."""
        return one_line(self)

    @classmethod
    def from_json(cls, text: str, where: str = "limits") -> Self:
        """Read what `to_json` wrote.

        Args:
            text: JSON.
            where: names the text in an error.

        Raises:
            RunError: the text is not such JSON.
        """
        return read_model(text, cls, where, "learn them again: llm-summ post --learn-limits", RunError)


@dataclass(frozen=True, slots=True)
class FittedLimits:
    """Limits, and how much they gain.

    Attributes:
        limits: fitted on all dialogues.
        rows: dialogues of each decile.
        cut: summaries of each decile that are shortened.
        before: the final score of every dialogue without limits, from 0 to 100; shape ``[rows]``.
        after: the same with limits that were fitted on the other folds; shape ``[rows]``.
        in_sample: mean score with `limits` themselves, which is too high.
    """

    limits: LengthLimits
    rows: tuple[int, ...]
    cut: tuple[int, ...]
    before: Floats
    after: Floats
    in_sample: float


def within(text: str, limit: int | None) -> str:
    """Return the whole sentences of a text that fit into a limit, or its first sentence if none does.

    Args:
        text: a summary.
        limit: characters, without white space behind the text; None: any number.
    """
    versions = _versions(text)
    return versions[_fitting(versions, limit)]


def learn_limits(
    ids: Sequence[str],
    dialogues: Sequence[str],
    texts: Sequence[str],
    score: Callable[[Sequence[int], Sequence[str]], Sequence[float]],
) -> FittedLimits:
    """Find, for each decile of dialogues, the limit with which their summaries score best.

    All limits between the lengths of possible cuts of the decile's summaries are tried. Of those that gain more
    than the standard error of their gain the best one is taken, and of equally good ones the largest. Where none
    does, the decile has no limit. The gain is measured by cross-validation: limits are fitted on four folds and
    scored on the fifth.

    Args:
        ids: of the dialogues, shape (n,).
        dialogues: their texts.
        texts: their summaries, after all other steps.
        score: returns the final scores, from 0 to 100, of texts for rows; a row may come several times. It is
            called once.

    Raises:
        RunError: there are too few dialogues.
    """
    import numpy as np

    if len(texts) < _LEAST_ROWS:
        raise RunError(
            f"--learn-limits: found {len(texts)} dialogues; expected {_LEAST_ROWS} at least, and hundreds for a "
            "reliable result"
        )
    versions = [_versions(text) for text in texts]
    pairs = [(row, version) for row, some in enumerate(versions) for version in some]
    finals = iter(score([row for row, _ in pairs], [version for _, version in pairs]))
    scores = [[next(finals) for _ in some] for some in versions]
    lengths = np.array([_length(dialogue) for dialogue in dialogues])
    edges = np.unique(np.quantile(lengths, np.arange(1, _DECILES) / _DECILES, method="higher"))
    edges = edges[edges > lengths.min()]
    decile = np.digitize(lengths, edges)
    count = len(edges) + 1
    # For each row: its score with each limit that is tried in its decile; the last is without a limit.
    tried = [_limits_to_try([versions[row] for row in np.flatnonzero(decile == one)]) for one in range(count)]
    table = [
        np.array([scores[row][_fitting(versions[row], limit)] for limit in tried[one]])
        for row, one in enumerate(decile)
    ]
    folds, before = fold_of_each(ids), np.array([some[-1] for some in scores])

    def best(rows: NDArray[np.int64]) -> int:
        """Return the index, from the end, of the limit that is best for some rows of one decile."""
        if len(rows) < 2:
            return -1
        gains = np.stack([table[row] - table[row][-1] for row in rows])
        means = gains.mean(axis=0)
        means[means <= gains.std(axis=0, ddof=1) / math.sqrt(len(rows))] = -np.inf
        means[-1] = 0
        return int(np.flatnonzero(means >= means.max() - 1e-9)[-1]) - len(means)

    after = before.copy()
    for fold in range(FOLDS):
        for one in range(count):
            inside = np.flatnonzero((decile == one) & (folds == fold))
            place = best(np.flatnonzero((decile == one) & (folds != fold)))
            after[inside] = [table[row][place] for row in inside]
    places = [best(np.flatnonzero(decile == one)) for one in range(count)]
    limits = tuple(limits[place] for limits, place in zip(tried, places, strict=True))
    in_sample = np.array([table[row][places[one]] for row, one in enumerate(decile)])
    shortened = np.array([within(text, limits[one]) != text for text, one in zip(texts, decile, strict=True)])
    return FittedLimits(
        LengthLimits(tuple(map(int, edges)), limits, dialogues_sha256(dialogues)),
        tuple(int((decile == one).sum()) for one in range(count)),
        tuple(int(shortened[decile == one].sum()) for one in range(count)),
        before,
        after,
        float(in_sample.mean()),
    )


def limits_for(run: Run | None, steps: Sequence[PostStep], dialogues: Sequence[str]) -> LengthLimits | None:
    """Return a run's limits if one of the steps needs them; log it if they were fitted on the same dialogues.

    Args:
        run: the run; None: the texts are not a run's.
        steps: the steps that will run.
        dialogues: the dialogues of the texts.

    Raises:
        RunError: a step needs the limits, and their file is missing or broken.
    """
    if "cut_to_limit" not in steps:
        return None
    if run is None:
        raise RunError(
            "the step cut_to_limit needs raw predictions in a run's folder, and these are not; leave it out"
        )
    path = run.limits_path
    if not path.is_file():
        raise RunError(
            f"{path}: no such file, and the step cut_to_limit needs it; llm-summ post --learn-limits --run "
            f"{run.argument} writes it if limits gain anything; or leave the step out"
        )
    limits = LengthLimits.from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))
    if limits.learnt_on == dialogues_sha256(dialogues):
        say(f"{path}: was fitted on these dialogues; expect a lower score on others")
    return limits


def dialogues_sha256(dialogues: Sequence[str]) -> str:
    """Return a hash of dialogues that does not depend on their order."""
    return text_sha256("\n".join(sorted(map(dialogue_hash, dialogues))))


def cut_to_limit(summary: PostInput) -> str:
    """Remove whole sentences at the end of a summary that is longer than the limit for its dialogue."""
    return within(summary.text, summary.limit)


def _versions(text: str) -> list[str]:
    """Return a text's beginnings that end with a sentence and are not empty, the shortest first; then the text."""
    ends = accumulate(map(len, sentences(text)))
    beginnings = [text[:end].rstrip() for end in ends if end < len(text.rstrip())]
    return [*(beginning for beginning in beginnings if not is_empty(beginning)), text]


def _fitting(versions: Sequence[str], limit: int | None) -> int:
    """Return the index of the longest version that fits into a limit, or else of the shortest."""
    fits = (index for index, version in enumerate(versions) if limit is None or len(version.rstrip()) <= limit)
    return max(fits, default=0)


def _limits_to_try(versions: Sequence[Sequence[str]]) -> list[int | None]:
    """Return the largest limit with each effect: one below the length at which another version fits; then None."""
    lengths = sorted({len(version.rstrip()) for some in versions for version in some})
    return [*(length - 1 for length in lengths[1:]), None]


def _length(dialogue: str) -> int:
    """Return the number of characters of a dialogue, without white space around it."""
    return len(dialogue.strip())
