"""The files of a model's weights, by their names, headers and sizes: no weights are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from llm_summ.core.errors import listed
from llm_summ.models.base_finding import BaseFinding

__all__ = ["file_findings", "weight_names"]

_INDEX = "model.safetensors.index.json"
_POINTER = b"version https://git-lfs"


def file_findings(base: str, folder: Path) -> list[BaseFinding]:
    """Return what is wrong with the files of a model: missing, empty, pointers, cut off; no weights are read.

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
        others = [*folder.glob("*.bin"), *folder.glob("*.gguf"), *folder.glob("*.pt")]
        hint = f" (found {others[0].name}, which is not read)" if others else ""
        return [
            BaseFinding(
                "weights-missing",
                f"{where}: no {listed(missing)}; expected all of the model's weights, as safetensors{hint}",
            )
        ]
    found = []
    for name in names:
        fault = _header_fault(folder / name)
        if fault is not None:
            found.append(
                BaseFinding("weights-broken", f"{where}: {name}: {fault}; expected safetensors; get it again")
            )
    return found


def weight_names(folder: Path) -> list[str]:
    """Return the names of the files that hold a model's weights, whether they are there or not.

    Raises:
        ValueError, KeyError, AttributeError, TypeError: the index is none.
    """
    index = folder / _INDEX
    if not index.is_file():
        return ["model.safetensors"]
    return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))


def _weight_files(folder: Path) -> Sequence[str] | BaseFinding:
    try:
        return weight_names(folder)
    except (ValueError, KeyError, AttributeError, TypeError):
        index = folder / _INDEX
        return BaseFinding("weights-broken", f"model.base: {index}: not an index of weights; get the model again")


def _header_fault(path: Path) -> str | None:
    """What is wrong with a safetensors file, by its header and its size (https://github.com/huggingface/safetensors)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(len(_POINTER))
        if begin == _POINTER:
            return "a Git LFS pointer instead of the file itself (git lfs pull)"
        length = int.from_bytes(begin[:8], "little")
        if size < 8 or length > size - 8:
            return f"cut off or no safetensors ({size} bytes)"
        file.seek(8)
        try:
            header = json.loads(file.read(length))
            ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "no safetensors (its header cannot be read)"
    expected = 8 + length + max(ends, default=0)
    return None if size == expected else f"cut off (found {size} bytes, expected {expected})"
