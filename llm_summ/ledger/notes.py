"""A run's submissions and leaderboard scores: ``submissions.jsonl`` and ``leaderboard.json``.

``submit`` adds a line to the former for every submission that it writes. The latter is a list of
``{"score", "noted", "submission_sha256", "note"}`` in the order in which the scores were noted; it may be edited.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from llm_summ.core.errors import InputError, RunError, file_problem
from llm_summ.core.files import file_sha256, read_jsonl, write_json
from llm_summ.core.formatting import shown, utc_now
from llm_summ.core.stored_model import first_invalid_field
from llm_summ.runs.run import Run

__all__ = [
    "LeaderboardScore",
    "WrittenSubmission",
    "leaderboard_path",
    "note_score",
    "read_notes",
    "read_submissions",
]


class WrittenSubmission(BaseModel):
    """A submission that was written for a run.

    Attributes:
        written: the time, ISO, UTC.
        out: the file, as it was named.
        sha256: of that file.
        predictions: the file in the run's ``predictions/`` that it was made from.
        engine: the engine that generated the predictions, with ``.untuned`` if no adapter was used; None if it is
            not known.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    written: str
    out: str
    sha256: str
    predictions: str
    engine: str | None


class LeaderboardScore(BaseModel):
    """A score that the leaderboard gave.

    Attributes:
        score: from 0 to 100.
        noted: the time when it was noted, ISO, UTC.
        submission_sha256: of the submitted file; None if it is not known.
        note: the user's note.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    score: float = Field(ge=0, le=100)
    noted: str
    submission_sha256: str | None = None
    note: str | None = None


_NOTES = TypeAdapter(list[LeaderboardScore])


def leaderboard_path(run: Run) -> Path:
    """Return the file of a run's leaderboard scores."""
    return run.path / "leaderboard.json"


def note_score(
    run: Run, score: str, note: str | None = None, submission: Path | None = None
) -> tuple[LeaderboardScore, bool]:
    """Note a score that the leaderboard gave for a run.

    Args:
        run: the run.
        score: a number from 0 to 100, as typed.
        note: any text to store with it.
        submission: the submitted file; by default the last that ``submit`` wrote for the run, if any.

    Returns:
        The noted score, and whether it is new: the same score for the same submission is stored once, with the
        latest note.

    Raises:
        InputError: the score is not such a number, or `submission` cannot be read.
        RunError: ``leaderboard.json`` or ``submissions.jsonl`` is damaged, or another process holds the run's
            files; nothing was changed.
    """
    try:
        value = float(score)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise InputError(
            f"--add-lb {run.name} {shown(score)}: not a score; expected a number from 0 to 100, such as 51.24"
        )
    path = leaderboard_path(run)
    with run.lock_files():
        notes = read_notes(path)
        sha256 = _submission_sha256(run, submission)
        noted = LeaderboardScore(score=value, noted=utc_now(), submission_sha256=sha256, note=note)
        same = [stored for stored in notes if (stored.score, stored.submission_sha256) == (value, sha256)]
        if same:
            noted = same[0].model_copy(update={} if note is None else {"note": note})
            notes[notes.index(same[0])] = noted
        else:
            notes.append(noted)
        write_json(path, [stored.model_dump() for stored in notes])
    return noted, not same


def read_notes(path: Path) -> list[LeaderboardScore]:
    """Return the scores of a ``leaderboard.json``; none if it does not exist.

    Raises:
        RunError: it is damaged.
    """
    try:
        return _NOTES.validate_json(path.read_bytes()) if path.exists() else []
    except OSError as error:
        raise RunError(file_problem(path, "read", error)) from error
    except ValidationError as error:
        raise RunError(
            f"{path}: {first_invalid_field(error)}; expected a list of objects with score, noted, "
            "submission_sha256 and note; fix it or remove it"
        ) from error


def read_submissions(path: Path) -> list[WrittenSubmission]:
    """Return the lines of a ``submissions.jsonl``, the oldest first; none if it does not exist.

    Raises:
        RunError: it is damaged.
    """
    submissions = []
    try:
        for number, line in read_jsonl(path, may_be_torn=True) if path.exists() else ():
            try:
                submissions.append(WrittenSubmission.model_validate(line))
            except ValidationError as error:
                raise RunError(
                    f"{path}:{number}: {first_invalid_field(error)}; fix the line or remove it"
                ) from error
    except OSError as error:
        raise RunError(file_problem(path, "read", error)) from error
    return submissions


def _submission_sha256(run: Run, submission: Path | None) -> str | None:
    """Return the SHA-256 of the submission that a score is for, if it is known."""
    if submission is None:
        recorded = read_submissions(run.submissions_path)
        return recorded[-1].sha256 if recorded else None
    try:
        if submission.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(submission))
        return file_sha256(submission)
    except OSError as error:
        raise InputError(
            f"--submission {submission}: cannot be read ({error.strerror}); expected the file that was submitted"
        ) from error
