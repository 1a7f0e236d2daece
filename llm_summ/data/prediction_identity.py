"""Raw predictions: which files hold them, which run they are of, and whether two files were made alike.

A run's raw predictions are post-processed as its recipe says. Those that were moved out of their run's folder have
no recipe any more, and are taken as they stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llm_summ.core.errors import InputError
from llm_summ.core.files import read_jsonl
from llm_summ.core.progress import say
from llm_summ.runs.run import Run

__all__ = ["differences", "identity_path", "is_hash", "is_prediction", "is_raw", "read_identity", "run_of"]

# The fields of `llm_summ.generate.store.Prediction`.
_TYPES = {"fname": str, "dialogue": str, "summary": str, "tokens": int, "finish_reason": str}
_HASH = re.compile("[0-9a-f]{16}")
_LATER = {"sample": (int,), "logprob": (float, int, type(None))}


def is_prediction(line: Mapping[str, Any]) -> bool:
    """Whether a line has the fields of a prediction; those that were added later may be missing."""
    later = {key: line[key] for key in _LATER if key in line}
    first = {key: type(item) for key, item in line.items() if key not in later}
    return first == _TYPES and all(isinstance(item, _LATER[key]) for key, item in later.items())


def is_hash(dialogue: str) -> bool:
    """Whether it is a dialogue's hash; in a file of a user's own the dialogue itself may stand there."""
    return _HASH.fullmatch(dialogue) is not None


def identity_path(path: Path) -> Path:
    """The JSON file beside raw predictions that says what made them."""
    return path.with_suffix(".json")


def read_identity(path: Path) -> dict[str, Any]:
    """What made the raw predictions of a file; empty if it is not known."""
    try:
        return dict(json.loads(identity_path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def is_raw(path: Path) -> bool:
    """Whether a file holds raw predictions: a JSONL whose first line is one, or with an identity beside it."""
    if path.suffix.lower() != ".jsonl" or not path.is_file():
        return False
    try:
        _, first = next(read_jsonl(path), (0, {}))
    except (OSError, InputError):
        first = {}
    return (is_prediction(first) and is_hash(first["dialogue"])) or bool(_known(path))


def run_of(path: Path, *, tell: bool = False) -> Run | None:
    """The run whose raw predictions a file holds; None if it is another file, or was moved out of its run.

    Args:
        path: the file.
        tell: say so where raw predictions were moved, and are taken as they stand.
    """
    if not is_raw(path):
        return None
    folder = path.absolute().parent
    found = Run((folder.parent if folder.name == "earlier" else folder).parent)
    if not found.recipe_path.is_file():
        if tell:
            say(f"{path}: raw predictions away from their run: taken as they stand, without its post-processing")
        return None
    here = Path.cwd()
    return Run(found.path.relative_to(here)) if found.path.is_relative_to(here) else found


def differences(one: Path, other: Path) -> list[str]:
    """In what two files of raw predictions were not made alike, their data aside.

    Returns:
        the fields of their identities that differ, such as ``decoding.temperature``; none where one of the files
        has no identity.
    """
    first, second = _known(one), _known(other)
    return list(_differing(first | {"data": None}, second | {"data": None})) if first and second else []


def _known(path: Path) -> dict[str, Any]:
    """The identity of raw predictions; empty for what else may stand in a JSON file of that name."""
    found = read_identity(path) if path.suffix.lower() == ".jsonl" else {}
    return found if {"engine", "adapter"} <= set(found) else {}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key in {**one, **other}:
        first, second = one.get(key), other.get(key)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differing(first, second, f"{above}{key}.")
        elif first != second:
            yield f"{above}{key}"
