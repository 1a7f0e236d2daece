"""One run as the ledger knows it: what lies in its folder, whatever state that is in.

Nothing here fails on a run that is unfinished or damaged: the reason is kept, and the rest is read.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from llm_summ.errors import InputError, RecipeError, first_line
from llm_summ.files import file_sha256, read_jsonl
from llm_summ.ledger.leaderboard import LeaderboardScore, leaderboard_path, read_notes, submission_path
from llm_summ.recipe import Recipe, load_recipe
from llm_summ.run import Run

__all__ = ["Entry", "Score", "pick", "read_entry", "read_fields", "seconds_of"]

_WEIGHTS = "adapter_model.safetensors"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Score:
    """A score of a run: one file of its ``scores/``.

    Attributes:
        path: the file.
        values: all that it holds.
        final: the score, from 0 to 100.
        data: the data source, as it was typed.
        data_sha256: of the data file; None in files of earlier versions.
        engine: what generated the summaries.
        untuned: whether the adapter was left out.
        interval: its ends, where it was computed.
        signature: what must be equal for two scores to be comparable; empty if it is not known.
        time: when it was scored, in seconds since 1970.
    """

    path: Path
    values: dict[str, Any]
    final: float
    data: str
    data_sha256: str | None
    engine: str
    untuned: bool
    interval: tuple[float, float] | None
    signature: str
    time: float

    @property
    def key(self) -> str:
        """The data by content, or by name where the content is not known."""
        return self.data_sha256 or self.data


@dataclass(frozen=True, slots=True)
class Entry:
    """A run.

    Attributes:
        run: its folder.
        latest: whether ``runs/latest`` points to it.
        state: "finished"; "unfinished": no training has ended here; "damaged": something cannot be read.
        reasons: why it is not finished, or what is damaged; a line each.
        fields: the recipe's fields, such as ``train.learning_rate``, every default filled in; empty if unreadable.
        manifest: what the run was made of; empty if unreadable.
        scores: the oldest first.
        leaderboard: the leaderboard scores, in the order in which they were noted.
        adapter_bytes: the size of the adapter's weights.
        submission_sha256: of its ``submission.csv``, if it is there.
        time: when the training ended, or else began, or else the folder changed; in seconds since 1970.
    """

    run: Run
    latest: bool
    state: Literal["finished", "unfinished", "damaged"]
    reasons: tuple[str, ...]
    fields: dict[str, Any]
    manifest: dict[str, Any]
    scores: tuple[Score, ...]
    leaderboard: tuple[LeaderboardScore, ...]
    adapter_bytes: int | None
    submission_sha256: str | None
    time: float

    @property
    def submissions(self) -> set[str]:
        """SHA-256 of the submission that is there, and of those that were scored."""
        hashes = {self.submission_sha256, *(note.submission_sha256 for note in self.leaderboard)}
        return {sha256 for sha256 in hashes if sha256 is not None}

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "name": self.run.name,
            "path": str(self.run.path),
            "latest": self.latest,
            "state": self.state,
            "reasons": list(self.reasons),
            "recipe": self.fields,
            "manifest": self.manifest,
            "scores": [{"file": str(score.path)} | score.values for score in self.scores],
            "leaderboard": [note.to_json() for note in self.leaderboard],
            "adapter_bytes": self.adapter_bytes,
            "submission_sha256": self.submission_sha256,
        }


def read_entry(run: Run, *, latest: bool = False) -> Entry:
    """Read a run's folder.

    Args:
        run: the folder.
        latest: whether ``runs/latest`` points to it.
    """
    try:
        return _read(run, latest)
    except OSError as error:  # no permission, or removed in this moment
        return Entry(run, latest, "damaged", (f"{run.path}: {error.strerror}",), {}, {}, (), (), None, None, 0.0)


def _read(run: Run, latest: bool) -> Entry:
    damage: list[str] = []
    fields = _fields(run, damage)
    manifest = _object(run.manifest_path, damage)
    trained = pick(manifest, dict, "training") is not None
    weights = run.adapter / _WEIGHTS
    if trained and not weights.is_file():
        damage.append(f"{weights}: not there, though the training ended")
    scores = sorted(_scores(run, damage), key=lambda score: (score.time, score.path.name))
    try:
        notes = read_notes(leaderboard_path(run))
    except InputError as error:
        notes = ()
        damage.append(str(error))
    submission = submission_path(run)
    ended, began = (seconds_of(pick(manifest, str, *keys)) for keys in (("training", "finished"), ("started",)))
    return Entry(
        run=run,
        latest=latest,
        state="damaged" if damage else "finished" if trained else "unfinished",
        reasons=tuple(damage) if trained or damage else (_how_far(run),),
        fields=fields,
        manifest=manifest,
        scores=tuple(scores),
        leaderboard=notes,
        adapter_bytes=weights.stat().st_size if weights.is_file() else None,
        submission_sha256=file_sha256(submission) if submission.is_file() else None,
        time=ended or began or run.path.stat().st_mtime,
    )


def pick(tree: Any, kind: type[_T], *keys: str) -> _T | None:
    """What stands in nested objects under `keys`, if it is there and of that kind; a whole number is a float."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    if kind is float and type(tree) is int and abs(tree) < 10**15:
        tree = float(tree)
    return tree if isinstance(tree, kind) and (kind is bool or not isinstance(tree, bool)) else None


def seconds_of(time: str | None) -> float | None:
    """An ISO time in seconds since 1970; None if it is none. Without a zone it is UTC."""
    try:
        found = dt.datetime.fromisoformat(time or "")
        seconds = (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None


def read_fields(path: Path) -> dict[str, Any]:
    """A recipe's fields, such as ``train.learning_rate``, every default filled in.

    Raises:
        RecipeError: as `load_recipe`.
    """
    # Runs differ in few sections, and reading YAML is slow: each section is read once.
    try:
        parts = [_section(part) for part in re.split(r"^(?=\w)", path.read_text("utf-8-sig"), flags=re.MULTILINE)]
        tree = {key: value for part in parts for key, value in part.items()}
        whole = sum(map(len, parts)) == len(tree)  # no key stands twice
        recipe = Recipe.model_validate(tree) if whole else load_recipe(path)
    except Exception:  # noqa: BLE001  whatever it was, this says it well, or reads what is written otherwise
        recipe = load_recipe(path)
    return {
        f"{name}.{key}" if key else name: value
        for name, section in recipe.model_dump().items()
        for key, value in (section if isinstance(section, dict) else {"": section}).items()
    }


@lru_cache(maxsize=1024)
def _section(text: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(text) or {})


def _fields(run: Run, damage: list[str]) -> dict[str, Any]:
    if not run.recipe_path.is_file():
        damage.append(f"{run.path}: no recipe.yaml; expected a folder made by `llm-summ sft`")
        return {}
    try:
        return read_fields(run.recipe_path)
    except RecipeError as error:
        damage += str(error).splitlines()
        return {}


def _object(path: Path, damage: list[str]) -> dict[str, Any]:
    """The JSON object that a file holds; empty if it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number, parse_float=_number)
    except FileNotFoundError:
        damage.append(f"{path}: no such file; expected one beside the recipe")
    except (OSError, ValueError, RecursionError) as error:
        damage.append(f"{path}: cannot be read ({first_line(error)})")
    else:
        if isinstance(found, dict):
            return found
        damage.append(f"{path}: found {type(found).__name__}, expected an object")
    return {}


def _number(text: str) -> float:
    """Refuses 1e999, which Python would write again as Infinity: that is not JSON."""
    value = float(text)
    return value if abs(value) < float("inf") else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _scores(run: Run, damage: list[str]) -> list[Score]:
    found = []
    for path in sorted(run.scores.glob("*.json")):
        before = len(damage)
        values = _object(path, damage)
        if len(damage) > before:
            continue
        final = pick(values, float, "final")
        if final is None or not 0 <= final <= 100:
            damage.append(f"{path}: no score in it; expected final, from 0 to 100; score it again: llm-summ eval")
            continue
        stem = path.stem.removesuffix(".untuned")
        low, high = (pick(values, float, "interval", end) for end in ("low", "high"))
        untuned = pick(values, bool, "untuned")
        found.append(
            Score(
                path=path,
                values=values,
                final=final,
                data=pick(values, str, "data") or stem.rpartition(".")[0] or stem,
                data_sha256=pick(values, str, "data_sha256"),
                engine=stem.rpartition(".")[2],
                untuned=path.stem.endswith(".untuned") if untuned is None else untuned,
                interval=None if low is None or high is None else (low, high),
                signature=pick(values, str, "signature") or "",
                time=seconds_of(pick(values, str, "scored")) or path.stat().st_mtime,
            )
        )
    return found


def _how_far(run: Run) -> str:
    """What is known of a training that has not ended."""
    step = None
    try:
        for _, logged in read_jsonl(run.log_path, may_be_torn=True):
            step = pick(logged, int, "step")
    except (OSError, InputError):
        step = None
    where = f"after step {step}" if step else "before the first step was logged"
    return f"stopped {where}, or still training"
