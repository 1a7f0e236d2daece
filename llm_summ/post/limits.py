"""How long a summary may be, by the length of its dialogue: learnt on data with references, kept with the run."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from llm_summ.data.folds import FOLDS, fold_of_each
from llm_summ.errors import RunError
from llm_summ.files import text_sha256
from llm_summ.post.draft import Draft
from llm_summ.post.sentences import sentences
from llm_summ.run import Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llm_summ.recipe import PostStep

    Floats = NDArray[np.float64]

__all__ = ["DECILES", "LearntLimits", "LengthLimits", "cut_to_limit", "learn_limits", "limits_for", "within"]

DECILES = 10
_LEAST_ROWS = 5 * DECILES


@dataclass(frozen=True, slots=True)
class LengthLimits:
    """A limit for each decile of dialogues by their length; all lengths are in characters.

    Attributes:
        edges: ascending; decile i has the dialogues from edges[i - 1] up to but not including edges[i]; 9 of them,
            or fewer where many dialogues are of one length.
        limits: characters that a summary may have; None: any number. One more than `edges`.
    """

    edges: tuple[int, ...]
    limits: tuple[int | None, ...]

    def of(self, dialogue: str) -> int | None:
        """The limit for a dialogue."""
        return self.limits[bisect_right(self.edges, _length(dialogue))]

    @property
    def mark(self) -> str:
        """Tells these limits from others, in a score's signature."""
        return text_sha256(self.to_json())[:8]

    def to_json(self) -> str:
        """As JSON, on one line; `from_json` gives an equal object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, where: str = "limits") -> Self:
        """Read what `to_json` wrote.

        Args:
            text: JSON.
            where: names the text in an error.

        Raises:
            RunError: it is something else.
        """
        try:
            found = json.loads(text)
            edges, limits = found["edges"], found["limits"]
            sound = (
                all(type(edge) is int for edge in edges)
                and sorted(set(edges)) == edges
                and len(limits) == len(edges) + 1
                and all(limit is None or (type(limit) is int and limit > 0) for limit in limits)
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            sound = False
        if not sound:
            raise RunError(f"{where}: not what `llm-summ post --learn-limits` writes; learn them again")
        return cls(tuple(edges), tuple(limits))


@dataclass(frozen=True, slots=True)
class LearntLimits:
    """Limits, and what they are worth.

    Attributes:
        limits: found on all dialogues.
        rows: dialogues of each decile.
        cut: summaries of each decile that are shortened.
        before: the final score of every dialogue without limits, from 0 to 100; shape ``[rows]``.
        after: the same with limits that were found on the other folds; shape ``[rows]``.
        in_sample: mean score with `limits` themselves, which is too good to be true.
    """

    limits: LengthLimits
    rows: tuple[int, ...]
    cut: tuple[int, ...]
    before: Floats
    after: Floats
    in_sample: float


def within(text: str, limit: int | None) -> str:
    """The whole sentences of a text that fit into a limit; its first sentence, if none does.

    Args:
        text: a summary.
        limit: characters; None: any number.
    """
    if limit is None or len(text) <= limit:
        return text
    return max((short for short in _shorter(text) if len(short) <= limit), key=len, default=_shorter(text)[0])


def learn_limits(
    ids: Sequence[str],
    dialogues: Sequence[str],
    texts: Sequence[str],
    score: Callable[[Sequence[int], Sequence[str]], Sequence[float]],
) -> LearntLimits:
    """For each decile of dialogues, the limit with which their summaries score best.

    Tried are the lengths of all beginnings of summaries in the decile; a limit that gains less than its standard
    error (Breiman et al. 1984, Classification and Regression Trees, 3.4.3) is none. What limits are worth is told
    by cross-validation in five folds: they are found on four, and scored on the fifth.

    Args:
        ids: of the dialogues, shape (n,).
        dialogues: their texts.
        texts: their summaries, after all other steps.
        score: gives the final scores, from 0 to 100, of texts for rows; a row may come several times. It is called
            once.

    Raises:
        RunError: there are too few dialogues.
    """
    import numpy as np

    if len(texts) < _LEAST_ROWS:
        raise RunError(
            f"--learn-limits: found {len(texts)} dialogues; expected {_LEAST_ROWS} at least, and hundreds to tell "
            "anything"
        )
    versions = [[*_shorter(text)[:-1], text] for text in texts]
    found = iter(
        score([row for row, some in enumerate(versions) for _ in some], [one for some in versions for one in some])
    )
    scores = [[next(found) for _ in some] for some in versions]
    lengths = np.array([_length(dialogue) for dialogue in dialogues])
    edges = np.unique(np.quantile(lengths, np.arange(1, DECILES) / DECILES, method="higher"))
    edges = edges[edges > lengths.min()]
    decile = np.digitize(lengths, edges)
    count = len(edges) + 1
    # Of each row: the score with each limit that is tried in its decile, the last being none.
    tried = [_limits_to_try([versions[row] for row in np.flatnonzero(decile == one)]) for one in range(count)]
    table = [
        np.array([_with_limit(versions[row], scores[row], limit) for limit in tried[one]])
        for row, one in enumerate(decile)
    ]
    folds, before = fold_of_each(ids), np.array([some[-1] for some in scores])

    def best(rows: NDArray[np.int64]) -> int:
        """The place, from the end, of the limit that is best for some rows of one decile."""
        if len(rows) < 2:
            return -1
        gains = np.stack([table[row] - table[row][-1] for row in rows])
        means = gains.mean(axis=0)
        place = int(means.argmax()) - len(means)
        return place if means[place] > gains[:, place].std(ddof=1) / math.sqrt(len(rows)) else -1

    after = before.copy()
    for fold in range(FOLDS):
        for one in range(count):
            inside = np.flatnonzero((decile == one) & (folds == fold))
            place = best(np.flatnonzero((decile == one) & (folds != fold)))
            after[inside] = [table[row][place] for row in inside]
    places = [best(np.flatnonzero(decile == one)) for one in range(count)]
    limits = tuple(limits[place] for limits, place in zip(tried, places, strict=True))
    own = np.array([table[row][places[one]] for row, one in enumerate(decile)])
    shortened = np.array([within(text, limits[one]) != text for text, one in zip(texts, decile, strict=True)])
    return LearntLimits(
        LengthLimits(tuple(map(int, edges)), limits),
        tuple(int((decile == one).sum()) for one in range(count)),
        tuple(int(shortened[decile == one].sum()) for one in range(count)),
        before,
        after,
        float(own.mean()),
    )


def limits_for(run: Run | None, steps: Sequence[PostStep]) -> LengthLimits | None:
    """What was learnt for a run; None if nothing was, or if there is no run.

    Args:
        run: the run.
        steps: that are to be run.

    Raises:
        RunError: the file is broken, or there is none and one of the steps needs it.
    """
    if run is not None and run.limits_path.is_file():
        path = run.limits_path
        return LengthLimits.from_json(path.read_text(encoding="utf-8", errors="replace"), str(path))
    if "cut_to_limit" in steps:
        where = "the step cut_to_limit" if run is None else f"{run.limits_path}: no such file, and cut_to_limit"
        of_run = "" if run is None else f" --run {run.argument}"
        raise RunError(f"{where} needs the limits of a run; learn them: llm-summ post --learn-limits{of_run}")
    return None


def cut_to_limit(draft: Draft) -> str:
    """Remove whole sentences at the end of a summary that is longer than others of such a dialogue should be."""
    return within(draft.text, draft.limit)


def _shorter(text: str) -> list[str]:
    """The beginnings of a text that end with a sentence; the last is the text without white space behind it."""
    found, end = [], 0
    for part in sentences(text):
        end += len(part)
        found.append(text[:end].rstrip())
    return [one for one in found if one.strip()] or [text]


def _limits_to_try(versions: Sequence[Sequence[str]]) -> list[int | None]:
    """The lengths at which another beginning fits; the last is None."""
    return [*sorted({len(one) for some in versions for one in some}), None]


def _with_limit(versions: Sequence[str], scores: Sequence[float], limit: int | None) -> float:
    """The score of the longest version that fits, or of the shortest."""
    fitting = [place for place, one in enumerate(versions) if limit is None or len(one) <= limit]
    return scores[max(fitting, default=0)]


def _length(dialogue: str) -> int:
    """Characters of a dialogue, without white space around it."""
    return len(dialogue.strip())
