"""Identify a base by its content, so that another one under the same name is noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from llm_summ.models.base import model_file
from llm_summ.recipe import ModelFields

__all__ = ["base_stamp"]

_READ = 1 << 20  # bytes at the beginning and at the end of each file
_SMALL: tuple[str, ...] = ("config.json", "tokenizer.json", "tokenizer_config.json")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")


def base_stamp(model: ModelFields, location: str) -> dict[str, Any]:
    """Return a stamp that distinguishes a base from others of the same name.

    It is made from the content of its files, without their path or time, so that a copy is the same base. Of large
    files it uses the size, the beginning and the end, since reading gigabytes for every command would take too
    long. Of a hub's model it uses only the small files: others may not have been downloaded yet.

    Args:
        model: the recipe's fields.
        location: of the base, from `base_location`.
    """
    folder = Path(location)
    if model.base.startswith("embedded:"):
        return {"base": model.base}
    stamp, names = {"base": folder.resolve().name}, (*_SMALL, *_WEIGHTS)
    if not folder.is_dir():
        config = model_file(model, location, "config.json")
        if config is None:
            return {"base": model.base, "revision": model.revision}
        folder, stamp, names = config.parent, {"base": model.base}, _SMALL
    digest = hashlib.sha256()
    for path in sorted(path for name in names for path in folder.glob(name)):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_READ))
            if size > _READ:
                file.seek(max(_READ, size - _READ))
                digest.update(file.read(_READ))
    return {**stamp, "files": digest.hexdigest()}
