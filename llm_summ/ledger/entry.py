"""One run as the ledger knows it: what lies in its folder, whatever state that is in.

Nothing here fails on a run that is unfinished or damaged: the reason is kept, and the rest is read.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_summ.core.errors import InputError, first_line
from llm_summ.ledger.notes import (
    LeaderboardScore,
    WrittenSubmission,
    first_fault,
    leaderboard_path,
    read_notes,
    read_submissions,
)
from llm_summ.models.trained_weights import weights_folder
from llm_summ.recipe import rename_fields
from llm_summ.runs.run import Run

__all__ = ["RunEntry", "Score", "flatten", "pick", "read_entry"]

_Figure = Annotated[float, Field(ge=0, le=100)]
_T = TypeVar("_T")


class _Kept(BaseModel):
    # What else a score file holds is not the ledger's.
    model_config = ConfigDict(frozen=True, strict=True)


class _Ends(_Kept):
    low: float
    high: float


class Score(_Kept):
    """A score of a run: one file of its ``scores/``.

    Attributes:
        path: the file.
        engine: what generated the summaries, ``.untuned`` added where no adapter was used.
        data: the data source, as it was typed.
        data_sha256: of the data file.
        rouge1, rouge2, rougeL, final: from 0 to 100; the last is the mean of the others.
        interval: of `final`, where it was computed.
        signature: what must be equal for two scores to be comparable.
        scored: when, ISO, UTC.
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
        state: "finished"; "unfinished": no training has ended here; "damaged": something cannot be read.
        reasons: why it is not finished, or what is damaged; a line each.
        fields: the recipe's fields, such as ``train.learning_rate``, as the run's own copy has them; with
            ``prompt.sha256``, ``data.train.sha256`` (8 digits of each file's) and ``data.train.rows``; as of dev.
        manifest: what the run was made of; empty if unreadable.
        scores: the oldest first.
        submissions: the oldest first.
        leaderboard: the leaderboard scores, in the order in which they were noted.
        weights_bytes: size on disk of what was trained, the adapter or all weights; None if there is none.
        time: when the training ended, or else began, or else the folder changed; ISO, UTC.
    """

    run: Run
    latest: bool
    state: Literal["finished", "unfinished", "damaged"]
    reasons: tuple[str, ...]
    fields: dict[str, Any]
    manifest: dict[str, Any]
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
        """What generated the summaries that a leaderboard score is of, if that is known."""
        engines = {submission.sha256: submission.engine for submission in self.submissions}
        return engines.get(note.submission_sha256 or "")

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "name": self.run.name,
            "path": str(self.run.path),
            "latest": self.latest,
            "state": self.state,
            "reasons": list(self.reasons),
            "fields": self.fields,
            "manifest": self.manifest,
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
        # What lies in a folder that is no run is nobody's damage.
        if run.recipe_path.is_file():
            return _read(run, latest, damage)
        damage.append(f"{run.path}: no recipe.yaml; expected a folder made by `llm-summ sft`")
        time = _changed(run)
    except OSError as error:  # no permission, or removed in this moment
        damage.append(f"{run.path}: cannot be read ({error.strerror})")
        time = ""
    return RunEntry(run, latest, "damaged", tuple(damage), {}, {}, (), (), (), None, time)


def _read(run: Run, latest: bool, damage: list[str]) -> RunEntry:
    fields = _fields(run, damage)
    manifest: dict[str, Any] = _tried(run.manifest, damage) or {}
    submissions = _tried(lambda: read_submissions(run.submissions_path), damage) or []
    notes = _tried(lambda: read_notes(leaderboard_path(run)), damage) or []
    scores = sorted(_scores(run, damage), key=lambda score: (score.scored, score.path.name))
    trained = pick(manifest, dict, "training") is not None
    folder = weights_folder(run, fields.get("train.weights", "lora") if fields else None)
    weights = sorted(folder.glob("*.safetensors"))
    if trained and not weights:
        damage.append(f"{folder}: no weights (*.safetensors), though the training ended")
    ended, began = pick(manifest, str, "training", "finished"), pick(manifest, str, "started")
    return RunEntry(
        run=run,
        latest=latest,
        state="damaged" if damage else "finished" if trained else "unfinished",
        reasons=tuple(damage) if trained or damage else (f"stopped, or still training; see {run.log_path}",),
        fields=fields | _behind(manifest) if fields else {},
        manifest=manifest,
        scores=tuple(scores),
        submissions=tuple(submissions),
        leaderboard=tuple(notes),
        weights_bytes=sum(path.stat().st_size for path in weights) if weights else None,
        time=ended or began or _changed(run),
    )


def pick(tree: Any, kind: type[_T], *keys: str) -> _T | None:
    """What stands in nested objects under `keys`, if it is there and of that kind; a whole number is a float."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    if kind is float and type(tree) is int:
        tree = float(tree)
    return tree if isinstance(tree, kind) else None


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A tree's leaves by their path: ``{"train": {"epochs": 2}}`` becomes ``{"train.epochs": 2}``."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        within = flatten(value) if isinstance(value, Mapping) else {"": value}
        found |= {f"{name}.{key}".rstrip("."): leaf for key, leaf in within.items()}
    return found


def _tried(read: Callable[[], _T], damage: list[str]) -> _T | None:
    try:
        return read()
    except InputError as error:
        damage.append(str(error))
        return None


def _fields(run: Run, damage: list[str]) -> dict[str, Any]:
    """The recipe as it stands: whether its fields are those of today does not matter here."""
    from ruamel.yaml import YAML

    try:
        tree = YAML(typ="safe", pure=True).load(run.recipe_path.read_text("utf-8-sig"))
        rename_fields(tree)
        return flatten(tree)
    except Exception as error:  # noqa: BLE001  the reader lets through much more than its own errors
        damage.append(f"{run.recipe_path}: not a recipe in YAML ({first_line(error)})")
        return {}


def _behind(manifest: dict[str, Any]) -> dict[str, Any]:
    """What was behind the names of the prompt and the data."""
    found: dict[str, Any] = {"prompt.sha256": (pick(manifest, str, "prompt", "sha256") or "")[:8]}
    for part in ("train", "dev"):
        hashes = pick(manifest, dict, "data", part, "sha256") or {}
        found[f"data.{part}.sha256"] = " ".join(str(sha256)[:8] for sha256 in hashes.values())
        found[f"data.{part}.rows"] = pick(manifest, int, "data", part, "rows")
    return {name: value for name, value in found.items() if value}


def _scores(run: Run, damage: list[str]) -> list[Score]:
    found = []
    for path in sorted(run.scores.glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError(f"found {type(values).__name__}, expected an object")
            found.append(Score.model_validate({"engine": _engine_by_name(path)} | values | {"path": path}))
        except (OSError, ValueError) as error:
            why = first_fault(error) if isinstance(error, ValidationError) else first_line(error)
            damage.append(f"{path}: no score that can be read ({why}); score it again: llm-summ eval")
    return found


def _engine_by_name(path: Path) -> str:
    """The engine, where a score of an earlier version does not say: ``<data>.<engine>[.untuned].json``."""
    untuned = ".untuned" if path.stem.endswith(".untuned") else ""
    return path.stem.removesuffix(untuned).rpartition(".")[2] + untuned


def _changed(run: Run) -> str:
    return dt.datetime.fromtimestamp(run.path.stat().st_mtime, dt.UTC).isoformat(timespec="seconds")
