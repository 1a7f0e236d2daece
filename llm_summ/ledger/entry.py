"""Read one run's folder for the ledger, even if the run is unfinished or damaged.

Nothing here raises for such a run: the reason is recorded, and the rest is read.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_summ.core.errors import InputError, file_problem, first_line
from llm_summ.core.stored_model import first_invalid_field
from llm_summ.ledger.notes import (
    LeaderboardScore,
    WrittenSubmission,
    leaderboard_path,
    read_notes,
    read_submissions,
)
from llm_summ.models.trained_weights import weights_folder
from llm_summ.predictions.identity import read_identity
from llm_summ.recipe import rename_fields
from llm_summ.runs.manifest import Manifest
from llm_summ.runs.run import Run

__all__ = ["RunEntry", "Score", "flatten", "read_entry"]

_Figure = Annotated[float, Field(ge=0, le=100)]
_T = TypeVar("_T")


class _Kept(BaseModel):
    # Other fields of a score file are ignored.
    model_config = ConfigDict(frozen=True, strict=True)


class _Ends(_Kept):
    low: float
    high: float


class Score(_Kept):
    """A score of a run: one file of its ``scores/``.

    Attributes:
        path: the file.
        engine: the engine that generated the summaries, with ``.untuned`` if no adapter was used.
        data: the data source, as it was typed.
        data_sha256: of the data file.
        rouge1, rouge2, rougeL, final: from 0 to 100; the last is the mean of the others.
        interval: of `final`, if it was computed.
        signature: what must be equal for two scores to be comparable.
        scored: the time, ISO, UTC.
    """

    path: Path
    engine: str
    data: str
    data_sha256: str
    rouge1: _Figure
    rouge2: _Figure
    rougeL: _Figure  # noqa: N815  the metric's name
    final: _Figure
    interval: _Ends | None = None
    signature: str
    scored: str

    @property
    def untuned(self) -> bool:
        """Whether the base model wrote the summaries without an adapter."""
        return self.engine.endswith(".untuned")


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run.

    Attributes:
        run: its folder.
        latest: whether ``runs/latest`` points to it.
        state: "finished"; "unfinished": the training has not ended; "damaged": something cannot be read.
        reasons: why it is not finished, or what is damaged; one line each.
        fields: the recipe's fields, such as ``train.learning_rate``, from the run's copy; with
            ``prompt.sha256``, ``data.train.sha256`` (8 digits for each file) and ``data.train.rows``; the same for
            dev.
        manifest: the run's; empty if it cannot be read.
        scores: the oldest first.
        submissions: the oldest first.
        leaderboard: the leaderboard scores, in the order in which they were noted.
        weights_bytes: size on disk of the trained weights, the adapter or a whole model; None if there are none.
        time: the end of the training, or else its start, or else the folder's last change; ISO, UTC.
    """

    run: Run
    latest: bool
    state: Literal["finished", "unfinished", "damaged"]
    reasons: tuple[str, ...]
    fields: dict[str, Any]
    manifest: Manifest
    scores: tuple[Score, ...]
    submissions: tuple[WrittenSubmission, ...]
    leaderboard: tuple[LeaderboardScore, ...]
    weights_bytes: int | None
    time: str

    @property
    def best_posted(self) -> float | None:
        """The best score that the leaderboard gave."""
        return max((note.score for note in self.leaderboard), default=None)

    @property
    def handed_in(self) -> set[str]:
        """SHA-256 of every submission that was written or scored."""
        scored = {note.submission_sha256 for note in self.leaderboard if note.submission_sha256}
        return scored | {submission.sha256 for submission in self.submissions}

    def engine_of(self, note: LeaderboardScore) -> str | None:
        """Return the engine whose summaries a leaderboard score is for, if it is known."""
        engines = {submission.sha256: submission.engine for submission in self.submissions}
        return engines.get(note.submission_sha256 or "")

    def to_json(self) -> dict[str, Any]:
        """Return everything, for programs."""
        return {
            "name": self.run.name,
            "path": str(self.run.path),
            "latest": self.latest,
            "state": self.state,
            "reasons": list(self.reasons),
            "fields": self.fields,
            "manifest": self.manifest.to_json(),
            "scores": [score.model_dump(mode="json") for score in self.scores],
            "submissions": [submission.model_dump() for submission in self.submissions],
            "weights_bytes": self.weights_bytes,
            "leaderboard_scores": [note.model_dump() for note in self.leaderboard],
        }


def read_entry(run: Run, *, latest: bool = False) -> RunEntry:
    """Read a run's folder.

    Args:
        run: the folder.
        latest: whether ``runs/latest`` points to it.
    """
    damage: list[str] = []
    try:
        # Do not report problems in folders that are not runs.
        if run.recipe_path.is_file():
            return _read(run, latest, damage)
        damage.append(f"{run.path}: no recipe.yaml; expected a folder made by `llm-summ sft`")
        time = _changed(run)
    except OSError as error:  # no permission, or just removed
        damage.append(file_problem(run.path, "read", error))
        time = ""
    return RunEntry(run, latest, "damaged", tuple(damage), {}, Manifest(), (), (), (), None, time)


def _read(run: Run, latest: bool, damage: list[str]) -> RunEntry:
    fields = _fields(run, damage)
    manifest = _tried(run.manifest, damage) or Manifest()
    submissions = _tried(lambda: read_submissions(run.submissions_path), damage) or []
    notes = _tried(lambda: read_notes(leaderboard_path(run)), damage) or []
    scores = sorted(_scores(run, damage), key=lambda score: (score.scored, score.path.name))
    trained = manifest.training
    folder = weights_folder(run, fields.get("train.weights", "lora") if fields else None)
    weights = sorted(folder.glob("*.safetensors"))
    if trained is not None and not weights:
        damage.append(f"{folder}: no weights (*.safetensors), though the training ended")
    return RunEntry(
        run=run,
        latest=latest,
        state="damaged" if damage else "finished" if manifest.is_finished else "unfinished",
        reasons=tuple(damage)
        if manifest.is_finished or damage
        else (f"stopped, or still training; see {run.log_path}",),
        fields=fields | _behind(manifest) if fields else {},
        manifest=manifest,
        scores=tuple(scores),
        submissions=tuple(submissions),
        leaderboard=tuple(notes),
        weights_bytes=sum(path.stat().st_size for path in weights) if weights else None,
        time=(trained and trained.finished) or manifest.started or _changed(run),
    )


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree's leaves by their path: ``{"train": {"epochs": 2}}`` becomes ``{"train.epochs": 2}``."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        within = flatten(value) if isinstance(value, Mapping) else {"": value}
        leaves |= {f"{name}.{key}".rstrip("."): leaf for key, leaf in within.items()}
    return leaves


def _tried(read: Callable[[], _T], damage: list[str]) -> _T | None:
    try:
        return read()
    except InputError as error:
        damage.append(str(error))
        return None


def _fields(run: Run, damage: list[str]) -> dict[str, Any]:
    """Return the recipe as it is in the file, including fields that this version does not have."""
    from ruamel.yaml import YAML

    try:
        tree = YAML(typ="safe", pure=True).load(run.recipe_path.read_text("utf-8-sig"))
        rename_fields(tree)
        return flatten(tree)
    except Exception as error:  # noqa: BLE001  the reader raises many errors besides its own
        damage.append(f"{run.recipe_path}: not a recipe in YAML ({first_line(error)})")
        return {}


def _behind(manifest: Manifest) -> dict[str, Any]:
    """Return hashes and row counts of the prompt and the data that the recipe names."""
    sha256 = manifest.prompt.sha256 if manifest.prompt is not None else None
    fields: dict[str, Any] = {"prompt.sha256": (sha256 or "")[:8]}
    for name in ("train", "dev"):
        part = manifest.data.get(name)
        if part is not None:
            fields[f"data.{name}.sha256"] = " ".join(sha256[:8] for sha256 in part.sha256.values())
            fields[f"data.{name}.rows"] = part.rows
    return {name: value for name, value in fields.items() if value}


def _scores(run: Run, damage: list[str]) -> list[Score]:
    scores = []
    for path in sorted(run.scores.glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError(f"found {type(values).__name__}, expected an object")
            scores.append(Score.model_validate({"engine": _engine(run, path, values)} | values | {"path": path}))
        except (OSError, ValueError) as error:
            why = first_invalid_field(error) if isinstance(error, ValidationError) else first_line(error)
            damage.append(f"{path}: not a valid score ({why}); score it again: llm-summ eval")
    return scores


def _engine(run: Run, path: Path, values: Mapping[str, Any]) -> str:
    """Return the engine of a score of an early version, whose file does not name it.

    It is that of the identity of its predictions. If they are missing, it is a part of the score's file name:
    ``<data>.<engine>[.untuned].json``.
    """
    predictions = values.get("predictions")
    if isinstance(predictions, str):
        identity = read_identity(run.predictions / Path(predictions).name)
        if identity is not None:
            return identity.label
    untuned = ".untuned" if path.stem.endswith(".untuned") else ""
    return path.stem.removesuffix(untuned).rpartition(".")[2] + untuned


def _changed(run: Run) -> str:
    return dt.datetime.fromtimestamp(run.path.stat().st_mtime, dt.UTC).isoformat(timespec="seconds")
