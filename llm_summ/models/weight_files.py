"""Check the files of a model's weights by their names, headers and sizes; no weights are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from llm_summ.core.errors import listed
from llm_summ.models.base_finding import BaseFinding

__all__ = ["INDEX", "WEIGHTS", "file_findings", "missing_weights", "weight_names"]

WEIGHTS = "model.safetensors"
"""The weights of a model in one file."""

INDEX = "model.safetensors.index.json"
"""The file that names the parts of weights in several files."""

_OTHER_FORMATS = (".bin", ".gguf", ".pt", ".pth", ".safetensors")
_POINTER = b"version https://git-lfs"


def file_findings(base: str, folder: Path) -> list[BaseFinding]:
    """Return findings about the files of a model: missing, empty, pointers, cut off; no weights are read.

    Args:
        base: as the recipe names it.
        folder: with the model's files.
    """
    where = f"model.base: {base}"
    names = _weight_files(folder)
    if isinstance(names, BaseFinding):
        return [names]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        return [missing_weights(base, missing, sorted(path.name for path in folder.iterdir()))]
    findings = []
    for name in names:
        error = _header_error(folder / name)
        if error is not None:
            findings.append(
                BaseFinding("weights-broken", f"{where}: {name}: {error}; expected safetensors; get it again")
            )
    return findings


def missing_weights(base: str, missing: Sequence[str], names: Sequence[str]) -> BaseFinding:
    """Return the finding for weight files that a folder or a repository lacks.

    Args:
        base: as the recipe names it.
        missing: names of the files.
        names: of all files that exist.
    """
    others = [name for name in names if name.endswith(_OTHER_FORMATS)] if WEIGHTS in missing else []
    hint = f" (found {others[0]}, which is not read)" if others else ""
    return BaseFinding(
        "weights-missing",
        f"model.base: {base}: no {listed(missing)}; expected all of the model's weights, as safetensors{hint}",
    )


def weight_names(folder: Path) -> list[str]:
    """Return the names of a model's weight files, whether they exist or not.

    Raises:
        ValueError, KeyError, AttributeError, TypeError: the index is invalid.
    """
    index = folder / INDEX
    if not index.is_file():
        return [WEIGHTS]
    return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))


def _weight_files(folder: Path) -> Sequence[str] | BaseFinding:
    try:
        return weight_names(folder)
    except (ValueError, KeyError, AttributeError, TypeError):
        index = folder / INDEX
        return BaseFinding("weights-broken", f"model.base: {index}: not an index of weights; get the model again")


def _header_error(path: Path) -> str | None:
    """Return the error in a safetensors file's header or size (https://github.com/huggingface/safetensors)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(len(_POINTER))
        if begin == _POINTER:
            return "a Git LFS pointer instead of the file itself (git lfs pull)"
        length = int.from_bytes(begin[:8], "little")
        if size < 8 or length > size - 8:
            return f"cut off or not safetensors ({size} bytes)"
        file.seek(8)
        try:
            header = json.loads(file.read(length))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "not safetensors (its header cannot be read)"
    expected = 8 + length + max(ends, default=0)
    return None if size == expected else f"cut off (found {size} bytes, expected {expected})"
