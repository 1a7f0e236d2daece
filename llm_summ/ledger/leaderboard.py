"""Scores that the competition's leaderboard gave: kept with their run, and set against the local ones.

``runs/<name>/leaderboard.json`` is a list of objects ``{"score", "noted", "submission_sha256", "note"}``, in the
order in which they were noted.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_summ.errors import InputError, RunError, first_line
from llm_summ.files import file_sha256, write_json
from llm_summ.run import Run

if TYPE_CHECKING:
    from llm_summ.score.significance import Correlation

__all__ = [
    "FEWEST",
    "Agreement",
    "LeaderboardScore",
    "agree",
    "leaderboard_path",
    "note_score",
    "read_notes",
    "submission_path",
]

FEWEST = 3
"""So many runs with both scores are needed before anything is said of how they go together."""


@dataclass(frozen=True, slots=True)
class LeaderboardScore:
    """A score that the leaderboard gave.

    Attributes:
        score: from 0 to 100.
        noted: when it was noted, ISO, UTC.
        submission_sha256: of the run's ``submission.csv`` at that time; None if there was none.
        note: what the user said of it.
    """

    score: float
    noted: str
    submission_sha256: str | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "score": self.score,
            "noted": self.noted,
            "submission_sha256": self.submission_sha256,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """How local and leaderboard scores go together.

    Attributes:
        data: the data of the local scores.
        signature: of the local scores.
        runs: (name, local score, leaderboard score) of each run that has both.
        rank: Spearman's rank correlation; None if all scores of one side are equal.
        difference: mean of leaderboard less local.
        swapped: pairs of runs that stand in another order on the leaderboard; the first leads locally.
    """

    data: str
    signature: str
    runs: tuple[tuple[str, float, float], ...]
    rank: Correlation | None
    difference: float
    swapped: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "data": self.data,
            "signature": self.signature,
            "runs": [{"name": name, "local": local, "leaderboard": other} for name, local, other in self.runs],
            "spearman": None if self.rank is None else self.rank.to_json(),
            "mean_difference": self.difference,
            "swapped": [list(pair) for pair in self.swapped],
        }


def leaderboard_path(run: Run) -> Path:
    """Where a run's leaderboard scores are."""
    return run.path / "leaderboard.json"


def submission_path(run: Run) -> Path:
    """Where `llm-summ submit` writes a run's submission."""
    return run.path / "submission.csv"


def note_score(run: Run, score: str, note: str | None = None) -> tuple[LeaderboardScore, bool]:
    """Note a score that the leaderboard gave for a run.

    Args:
        run: the run.
        score: a number from 0 to 100, as typed.
        note: anything to remember of it.

    Returns:
        the score as it is noted, and whether it is new: the same score of the same submission is kept once.

    Raises:
        InputError: it is no such number.
        RunError: the folder is no run, or its ``leaderboard.json`` is damaged; nothing was changed.
    """
    try:
        value = float(score)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise InputError(
            f"--add-lb {run.name} {score}: not a score; expected a number from 0 to 100, such as 51.24"
        )
    if not run.recipe_path.is_file():
        raise RunError(f"{run.path}: no recipe.yaml; expected a folder made by `llm-summ sft`")
    path = leaderboard_path(run)
    notes = read_notes(path)
    submission = submission_path(run)
    sha256 = file_sha256(submission) if submission.is_file() else None
    for known in notes:
        if (known.score, known.submission_sha256) == (value, sha256):
            return known, False
    fresh = LeaderboardScore(value, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), sha256, note)
    write_json(path, [one.to_json() for one in (*notes, fresh)])
    return fresh, True


def read_notes(path: Path) -> tuple[LeaderboardScore, ...]:
    """The scores of a ``leaderboard.json``; none if it is not there.

    Raises:
        RunError: it is damaged.
    """
    if not path.exists():
        return ()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({first_line(error)}); mend it or remove it") from error
    if not isinstance(found, list):
        raise RunError(f"{path}: found {type(found).__name__}, expected a list; mend it or remove it")
    return tuple(_note(f"{path}: entry {number}", value) for number, value in enumerate(found, 1))


def _note(where: str, value: Any) -> LeaderboardScore:
    if not isinstance(value, dict):
        raise RunError(f"{where}: found {type(value).__name__}, expected an object; mend it or remove it")
    score = value.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 100:
        raise RunError(f"{where}: score: found {score!r}, expected a number from 0 to 100; mend it or remove it")
    texts: list[str] = []
    for name in ("noted", "submission_sha256", "note"):
        text = value.get(name) or ""
        if not isinstance(text, str):
            raise RunError(f"{where}: {name}: found {text!r}, expected a text; mend it or remove it")
        texts.append(text)
    return LeaderboardScore(float(score), texts[0], texts[1] or None, texts[2] or None)


def agree(data: str, signature: str, runs: Sequence[tuple[str, float, float]]) -> Agreement:
    """Set local scores against those of the leaderboard.

    Args:
        data: what the local scores are of.
        signature: of all the local scores.
        runs: (name, local score, leaderboard score), at least two.
    """
    from llm_summ.score.significance import spearman

    swapped = []
    for one, other in itertools.combinations(sorted(runs, key=lambda run: -run[1]), 2):
        if one[1] > other[1] and one[2] < other[2]:
            swapped.append((one[0], other[0]))
    return Agreement(
        data=data,
        signature=signature,
        runs=tuple(runs),
        rank=spearman([local for _, local, _ in runs], [posted for _, _, posted in runs]),
        difference=fsum(posted - local for _, local, posted in runs) / len(runs),
        swapped=tuple(swapped),
    )
