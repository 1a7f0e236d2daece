"""Base models and tokenizers: embedded, from a local folder, or from a hub."""

from __future__ import annotations

import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from llm_summ.core.compat.hub import go_offline
from llm_summ.core.compat.transformers import refusal
from llm_summ.core.compat.write_errors import as_os_error
from llm_summ.core.errors import ModelError, first_line
from llm_summ.core.formatting import did_you_mean
from llm_summ.core.optional_packages import quiet_libraries, require
from llm_summ.core.progress import say
from llm_summ.models.added_tokens import extend_tokenizer
from llm_summ.models.base_finding import BaseFinding
from llm_summ.models.device import Device
from llm_summ.models.embedded import embedded_path
from llm_summ.models.families import family_of_config
from llm_summ.models.weight_files import file_findings
from llm_summ.recipe import ModelFields

__all__ = [
    "base_location",
    "configuration",
    "empty_model",
    "hub_options",
    "load_tokenizer",
    "model_file",
    "model_type",
    "pick_dtype",
    "save_tokenizer",
    "takes_its_file",
    "token_counter",
    "unavailable",
]

_TAKE_THE_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")
_PROBE = "#Person1#: 안녕하세요, 3월 12일 10:30에 만나요!  It's 5,000원…\n\nㅋㅋㅋ ㅠㅠ 뷁 😀 naïve"
_KOREAN = ("ko_KR", "kor_Hang")  # the codes of mBART and of NLLB
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def base_location(model: ModelFields) -> str:
    """Return the location of the base model: a folder, or a hub id.

    Raises:
        ModelError: neither an embedded model, nor a folder with a model, nor a hub id; or a hub's model that is
            neither in the cache nor reachable.
    """
    base = model.base
    if base.startswith("embedded:"):
        return str(embedded_path(base.removeprefix("embedded:")))
    folder = Path(base).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            is_adapter = (folder / "adapter_config.json").is_file()
            raise ModelError(
                f"model.base: {base}: a folder without config.json; expected a transformers model"
                f"{', found an adapter: take the model that it was trained on' if is_adapter else ''}"
            )
        _refuse(file_findings(base, folder))
        return str(folder)
    if folder.is_absolute() or base.startswith(("./", "../", "~")) or not _HUB_ID.fullmatch(base):
        raise ModelError(
            f"model.base: {base}: no such folder{_seen_from(folder)}; expected embedded:gemma-3-270m, a folder, "
            "or a hub id such as Qwen/Qwen3-8B"
        )
    _check_hub(model)
    config = model_file(model, base, "config.json")
    if config is not None:  # missing files will be downloaded later
        _refuse([finding for finding in file_findings(base, config.parent) if finding.code != "weights-missing"])
    return base


def _seen_from(folder: Path) -> str:
    """Return the folder that a relative path was searched in: a run may be used from another working directory."""
    return "" if folder.is_absolute() else f" in {Path.cwd()}"


def _refuse(findings: Sequence[BaseFinding]) -> None:
    if findings:
        raise ModelError("\n".join(finding.line for finding in findings))


def load_tokenizer(model: ModelFields, location: str) -> Any:
    """Return the base model's tokenizer.

    Raises:
        ModelError: it is unavailable.
    """
    require("transformers", extra="train", why="a tokenizer")
    quiet_libraries()
    from transformers import AutoTokenizer

    try:
        # If mistral_common is installed (with vLLM), tekken.json would be preferred to tokenizer.json, and its
        # tokenizer has another interface for ids.
        tokenizer = AutoTokenizer.from_pretrained(location, mistral_format=False, **hub_options(model))
    except Exception as error:
        # For a folder without the file, or with tekken.json alone, the library raises many kinds of errors.
        if Path(location).is_dir() and model_file(model, location, "tokenizer.json") is None:
            # Only a package that is missing is a reason: other errors are about the files that were tried.
            reason = f" ({first_line(error)})" if isinstance(error, ImportError) else ""
            raise ModelError(
                f"model.base: {model.base}: has no tokenizer.json, and no other file that a tokenizer could be "
                f"loaded from{reason}; copy tokenizer.json from the model's repository, or from one of its family"
            ) from error
        if not isinstance(error, OSError | ValueError | ImportError):
            raise
        raise unavailable(model, error) from error
    tokenizer = _with_ids_of_its_file(model, location, tokenizer)
    _set_language(model, tokenizer)
    extend_tokenizer(model, tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _set_language(model: ModelFields, tokenizer: Any) -> None:
    """Set the language of both texts, if the tokenizer marks texts with one (mBART's).

    Raises:
        ModelError: it does not know the language, or it marks no text.
    """
    if not hasattr(tokenizer, "src_lang"):
        if model.language is not None:
            raise ModelError(
                f"model.language: found {model.language!r}, but the tokenizer of {model.base} has no languages; "
                "leave it out"
            )
        return
    known = set(tokenizer.get_vocab())
    codes = sorted(known & {*getattr(tokenizer, "lang_code_to_id", {}), *tokenizer.all_special_tokens})
    language = model.language or next((code for code in _KOREAN if code in known), _KOREAN[0])
    if language not in known:
        hint = did_you_mean(language, codes, "such as " + ", ".join(codes[:5]))
        raise ModelError(
            f"model.language: the tokenizer of {model.base} has no language {language!r}; expected one of its "
            f"codes: {hint}"
        )
    tokenizer.src_lang = tokenizer.tgt_lang = language


def takes_its_file(tokenizer: Any) -> bool:
    """Return whether a tokenizer is of a class that uses the rules of tokenizer.json, and has none of its own."""
    return type(tokenizer).__name__ in _TAKE_THE_FILE


def _with_ids_of_its_file(model: ModelFields, location: str, tokenizer: Any) -> Any:
    """Return the tokenizer of tokenizer.json itself, if the class that the files name gives other ids.

    transformers 5 replaces the file's rules for splitting words by those of the class. Many repositories name an
    unrelated class (GPT2Tokenizer with Korean rules in the file), and the model was pretrained with the file's
    rules.
    """
    path = model_file(model, location, "tokenizer.json")
    if model.base.startswith("embedded:") or path is None or takes_its_file(tokenizer):
        return tokenizer
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    try:
        expected = Tokenizer.from_file(str(path)).encode(_PROBE, add_special_tokens=False).ids
        if tokenizer.encode(_PROBE, add_special_tokens=False) == expected:
            return tokenizer
        other = PreTrainedTokenizerFast.from_pretrained(location, revision=model.revision or "main")
    except Exception:  # noqa: BLE001  the library raises Exception itself; errors of the file are reported later
        return tokenizer
    if other.encode(_PROBE, add_special_tokens=False) != expected:
        return tokenizer
    say(f"note: {model.base}: using the tokenizer of tokenizer.json; {type(tokenizer).__name__} gives other ids")
    return other


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write a tokenizer's files.

    Raises:
        OSError: a file cannot be written.
    """
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:
        failure = as_os_error(error, folder / "tokenizer.json")
        if failure is None or failure is error:
            raise
        raise failure from error


def model_file(model: ModelFields, location: str, name: str) -> Path | None:
    """Return the path of a small file of the base on this machine; None if it is not here."""
    if Path(location).is_dir():
        path = Path(location) / name
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(location, name, revision=model.revision)
    return Path(cached) if isinstance(cached, str) else None


def token_counter(model: ModelFields) -> Callable[[str], int]:
    """Return a function that counts the base model's tokens of a text, without special ones.

    Raises:
        ModelError: the model is unavailable.
    """
    tokenizer = load_tokenizer(model, base_location(model))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def pick_dtype(model: ModelFields, location: str, device: Device, choice: str, *, training: bool = False) -> str:
    """Return the name of the dtype to compute in: the recipe's, or the best that device and model support.

    Args:
        model: the recipe's fields.
        location: from `base_location`.
        device: to compute on.
        choice: the recipe's.
        training: whether for a training, or to generate.

    Raises:
        ModelError: the model is unavailable.
    """
    if choice != "auto":
        return choice
    # The activations of Gemma and T5 overflow float16; older GPUs have no bfloat16.
    kind = model_type(model, location) if device.dtype == "float16" else ""
    if kind.startswith("gemma") or (training and kind.endswith("t5")):
        return "float32"
    return (device.training_dtype if training else None) or device.dtype


def empty_model(model: ModelFields, location: str) -> Any:
    """Return the base model without weights, on PyTorch's meta device: its modules and their shapes.

    Raises:
        ModelError: its configuration is unavailable.
    """
    quiet_libraries()
    import torch

    config = configuration(model, location)
    with torch.device("meta"):
        return family_of_config(config).auto_class().from_config(config, trust_remote_code=model.trust_remote_code)


def model_type(model: ModelFields, location: str) -> str:
    """Return transformers' name of a base's family, such as ``llama``.

    Raises:
        ModelError: the model is unavailable.
    """
    return str(configuration(model, location).model_type)


def configuration(model: ModelFields, location: str) -> Any:
    """Return a base's configuration, as transformers reads it.

    Raises:
        ModelError: the model is unavailable.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(location, **hub_options(model))
    except (OSError, ValueError, ImportError) as error:
        raise unavailable(model, error) from error


def _check_hub(model: ModelFields) -> None:
    """Fail fast if a model is neither cached nor reachable; the hub's client would try for a minute.

    Raises:
        ModelError: the model is not in the hub's cache, and the hub's host cannot be reached.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return
    host = urllib.parse.urlsplit(constants.ENDPOINT)
    if urllib.request.getproxies() or host.hostname is None:
        return
    cached = model_file(model, model.base, "config.json") is not None
    try:
        socket.create_connection((host.hostname, host.port or 443), timeout=3 if cached else 10).close()
    except OSError as error:
        reason = f"{host.hostname}: {error.strerror or error}"
        if not cached:
            raise unavailable(model, OSError(f"not in the local cache, and {reason}")) from error
        say(f"{model.base}: loaded from the hub's cache on this machine ({reason})")
        go_offline()


def hub_options(model: ModelFields) -> dict[str, Any]:
    """Return the options of the hub's client for a base, except its name."""
    return {"revision": model.revision or "main", "trust_remote_code": model.trust_remote_code}


def unavailable(model: ModelFields, error: BaseException) -> ModelError:
    """Return the error for a base that a library refuses, with what to do."""
    reason = refusal(error)
    if reason == "unknown-architecture":
        known = metadata.version("transformers")
        return ModelError(
            f"model.base: {model.base}: transformers {known} does not know its kind of model; use a base that it "
            "supports, or a newer transformers"
        )
    if reason == "needs-own-code":
        return ModelError(
            f"model.base: {model.base}: needs code from its repository; read that code, then set "
            "model.trust_remote_code: true"
        )
    if reason == "restricted":
        return ModelError(
            f"model.base: {model.base}: access is restricted; accept its terms on the hub and set HF_TOKEN"
        )
    if reason == "no-safetensors":
        return ModelError(f"model.base: {model.base}: no weights as safetensors; use a repository that has them")
    return ModelError(
        f"model.base: {model.base}: unavailable ({first_line(error)}); check the name and the connection, "
        "or name a local folder or embedded:gemma-3-270m"
    )
