"""Check the files of a hub's model by their names and sizes, before any weights are downloaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_summ.core.compat.hub import connection_error
from llm_summ.core.errors import listed
from llm_summ.models.base import model_file
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.weight_files import INDEX, WEIGHTS, missing_weights, weight_names
from llm_summ.recipe import ModelFields

__all__ = ["hub_findings"]

_CONVERTER = "SFconvertbot"  # offers safetensors for repositories with pickles
_TIMEOUT = 10.0  # seconds; without an answer the base is loaded without this check
_SMALL_FILES = (".json", ".model", ".jinja")


def hub_findings(model: ModelFields, location: str) -> list[BaseFinding]:
    """Return findings about a hub's model whose weights are not all on this machine; none for any other base.

    If the hub cannot be reached, or answers with an error that says nothing about the model, nothing is found:
    the error is reported when the model is loaded.

    Args:
        model: the recipe's fields.
        location: from `base_location`.
    """
    if Path(location).is_dir() or _is_downloaded(model, location):
        return []
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if constants.is_offline_mode():
        return _offline(model, location)
    where, host = f"model.base: {model.base}", constants.ENDPOINT
    try:
        api = HfApi(endpoint=host)
        info = api.model_info(location, revision=model.revision or "main", files_metadata=True, timeout=_TIMEOUT)
        if info.gated:
            api.auth_check(location)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        return _listed(model, location, sizes) if sizes else []
    except GatedRepoError:
        return [
            BaseFinding(
                "hub-gated",
                f"{where}: access is restricted; accept its terms at {host}/{location} and set HF_TOKEN",
            )
        ]
    except RepositoryNotFoundError:
        return [
            BaseFinding(
                "hub-unknown",
                f"{where}: no such model at {host}, or it is private; check the name, or set HF_TOKEN",
            )
        ]
    except RevisionNotFoundError:
        return [
            BaseFinding(
                "hub-unknown",
                f"model.revision: {model.revision or 'main'}: {model.base} has no such branch, tag or commit at "
                f"{host}; null takes main",
            )
        ]
    except (connection_error(), OSError, ValueError, TypeError, KeyError):
        return []  # no network, a server that is down, or a mirror that does not list files


def _is_downloaded(model: ModelFields, location: str) -> bool:
    """Return whether the hub's cache has the configuration and all weights."""
    config = model_file(model, location, "config.json")
    return config is not None and not _left(config.parent)


def _left(folder: Path) -> list[str]:
    """Return the weight files that a folder of the cache lacks."""
    try:
        names = weight_names(folder)
    except (ValueError, KeyError, AttributeError, TypeError):  # `base_location` refuses such an index
        return []
    return [name for name in names if not (folder / name).is_file()]


def _offline(model: ModelFields, location: str) -> list[BaseFinding]:
    config = model_file(model, location, "config.json")
    if config is None:
        return []
    left = _left(config.parent)
    return [
        BaseFinding(
            "weights-missing",
            f"model.base: {model.base}: no {listed(left)} in the hub's cache on this machine, and the hub is not "
            "reachable; download the model before a training here",
            refuses=False,
        )
    ]


def _listed(model: ModelFields, location: str, sizes: Mapping[str, int]) -> list[BaseFinding]:
    """Return findings about the files of a repository.

    Args:
        model: the recipe's fields.
        location: the hub id.
        sizes: bytes of the repository's files, by name; 0: unknown.

    Raises:
        OSError, ValueError: the index cannot be downloaded, or is none.
    """
    where = f"model.base: {model.base}"
    if "config.json" not in sizes:
        if "adapter_config.json" in sizes:
            base = _json(model, location, "adapter_config.json").get("base_model_name_or_path")
            line = f"{where}: an adapter, not a base model; take the model that it was trained on"
            return [BaseFinding("adapter-repository", f"{line}{f', {base}' if base else ''}")]
        gguf = next((name for name in sizes if name.endswith(".gguf")), None)
        hint = f" (found {gguf}, which is not read)" if gguf else ""
        return [BaseFinding("no-configuration", f"{where}: no config.json{hint}; expected a transformers model")]
    weights = [WEIGHTS]
    if WEIGHTS not in sizes and INDEX in sizes:
        weights = sorted(set(_json(model, location, INDEX)["weight_map"].values()))
    if missing := [name for name in weights if name not in sizes]:
        finding = missing_weights(model.base, missing, list(sizes))
        converted = _converted(location) if any(name.endswith(".bin") for name in sizes) else None
        advice = "take a repository or a model.revision that has them"
        if converted is not None:
            advice = f"the hub's converter wrote them to a pull request: set model.revision to {converted}"
        return [replace(finding, line=f"{finding.line}; {advice}")]
    small = {name for name in sizes if "/" not in name and name.endswith(_SMALL_FILES)}
    needed = sum(sizes[name] for name in {*weights, *small} if not _has(model, location, name, sizes[name]))
    return _room(where, needed)


def _converted(location: str) -> str | None:
    """Return the revision of the pull request with the safetensors of the hub's converter; None: there is none."""
    from huggingface_hub import HfApi

    found = HfApi().get_repo_discussions(location, author=_CONVERTER, discussion_type="pull_request")
    try:
        return next((request.git_reference for request in found if "safetensors" in request.title), None)
    except (connection_error(), OSError, ValueError, TypeError, KeyError):
        return None


def _has(model: ModelFields, location: str, name: str, size: int) -> bool:
    """Return whether the cache has a file of this name and size."""
    path = model_file(model, location, name)
    return path is not None and path.stat().st_size == size


def _json(model: ModelFields, location: str, name: str) -> dict[str, Any]:
    """Download and return a small file of the repository."""
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(location, name, revision=model.revision or "main", etag_timeout=_TIMEOUT)
    return dict(json.loads(Path(path).read_text(encoding="utf-8")))


def _room(where: str, needed: int) -> list[BaseFinding]:
    """Return a finding with the size of the download: an error if the disk has no room for it."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).absolute()
    free = shutil.disk_usage(next(above for above in (cache, *cache.parents) if above.is_dir())).free
    if free < needed:
        return [
            BaseFinding(
                "disk-room",
                f"{where}: {needed / 1e9:.2f} GB are to be downloaded to {cache}, and its disk has "
                f"{free / 1e9:.2f} GB left; free some disk space, or set HF_HUB_CACHE to a folder on another disk",
            )
        ]
    if not needed:
        return []
    return [
        BaseFinding(
            "download",
            f"{where}: {needed / 1e9:.2f} GB will be downloaded to {cache} ({free / 1e9:.0f} GB are free)",
            refuses=False,
        )
    ]
