"""Base models and tokenizers: embedded, from a local folder, or from a hub."""

from __future__ import annotations

import json
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_summ.errors import ModelError, first_line, listed
from llm_summ.model.device import Device, use_attention_without_plans
from llm_summ.model.embedded import embedded_path
from llm_summ.packages import quiet_libraries, require
from llm_summ.recipe import ModelFields

__all__ = [
    "attention_options",
    "base_location",
    "context_length",
    "empty_model",
    "keep_trainable",
    "load_base",
    "load_tokenizer",
    "pick_dtype",
    "quantization_config",
    "token_counter",
]

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def base_location(model: ModelFields) -> str:
    """Where the base model is: a folder, or a hub id.

    Raises:
        ModelError: neither an embedded model, nor a folder with a model, nor a hub id; or a hub's model that is
            neither in its cache nor within reach.
    """
    base = model.base
    if base.startswith("embedded:"):
        return str(embedded_path(base.removeprefix("embedded:")))
    folder = Path(base).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"model.base: {base}: a folder without config.json; expected a transformers model")
        _check_weights(base, folder)
        return str(folder)
    if folder.is_absolute() or base.startswith(("./", "../", "~")) or not _HUB_ID.fullmatch(base):
        raise ModelError(
            f"model.base: {base}: no such folder; expected embedded:gemma-3-270m, a folder, or a hub id such as "
            "Qwen/Qwen3-8B"
        )
    _check_hub(model)
    return base


def load_tokenizer(model: ModelFields, location: str) -> Any:
    """The base model's tokenizer.

    Raises:
        ModelError: it cannot be had.
    """
    require("transformers", extra="train", why="a tokenizer")
    quiet_libraries()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(location, **_options(model))
    except (OSError, ValueError, ImportError) as error:
        raise _cannot_be_had(model, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def token_counter(model: ModelFields) -> Callable[[str], int]:
    """Counts the tokens of a text, without special ones, as the base model sees it.

    Raises:
        ModelError: the model cannot be had.
    """
    tokenizer = load_tokenizer(model, base_location(model))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def pick_dtype(model: ModelFields, location: str, device: Device, choice: str, *, training: bool = False) -> str:
    """Name of the dtype to compute in: the recipe's choice, or the best that device and model share.

    Args:
        model: the recipe's fields.
        location: from `base_location`.
        device: where.
        choice: the recipe's.
        training: whether for a training, or to generate.

    Raises:
        ModelError: the model cannot be had.
    """
    if choice != "auto":
        return choice
    # Gemma's activations overflow float16; older GPUs have no bfloat16.
    if device.dtype == "float16" and _model_type(model, location).startswith("gemma"):
        return "float32"
    return (device.training_dtype if training else None) or device.dtype


def load_base(model: ModelFields, location: str, device: Device, dtype: Any, quantization: Any = None) -> Any:
    """The base model's weights, from safetensors only.

    Args:
        model: the recipe's fields.
        location: from `base_location`.
        device: where to put it.
        dtype: a torch dtype for whatever is not quantized.
        quantization: from `quantization_config`, or None.

    Raises:
        ModelError: it cannot be had, or its weights are not whole.
    """
    quiet_libraries()
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    use_attention_without_plans()  # changes nothing on a CPU
    try:
        return AutoModelForCausalLM.from_pretrained(
            location,
            dtype=dtype,
            device_map=device.device_map,
            quantization_config=quantization,
            use_safetensors=True,
            **attention_options(_model_type(model, location)),
            **_options(model),
        )
    except (OSError, ValueError, ImportError) as error:
        raise _cannot_be_had(model, error) from error
    except Exception as error:
        if type(error).__name__ == "SafetensorError":
            raise _cannot_be_had(model, error) from error
        raise


def empty_model(model: ModelFields, location: str) -> Any:
    """Return the base model without weights, on PyTorch's meta device: its modules and their shapes.

    Raises:
        ModelError: its configuration is unavailable.
    """
    quiet_libraries()
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(
            _config(model, location), trust_remote_code=model.trust_remote_code
        )


def keep_trainable(model: Any) -> None:
    """Keep bitsandbytes from packing 4-bit weights anew when a model on a CPU is evaluated in between.

    On a CPU that knows products of bfloat16, the first pass in evaluation mode packs them for a kernel that has no
    backward pass, and they stay so: what is trained after it would get no gradient through these layers, with a
    warning and without an error (bitsandbytes 0.50.2).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def attention_options(model_type: str) -> dict[str, str]:
    """How a model of this type is to compute its attention, if not as transformers would by itself."""
    # transformers' fused attention leaves out Gemma 2's soft-capping of the scores.
    return {"attn_implementation": "eager"} if model_type == "gemma2" else {}


def quantization_config(kind: str, *, double: bool, compute_dtype: Any) -> Any:
    """What bitsandbytes is to do with the linear layers (QLoRA, https://arxiv.org/abs/2305.14314).

    Args:
        kind: nf4, fp4, int8 or none.
        double: whether the scales of 4-bit blocks are quantized as well (saves 0.4 bit a weight).
        compute_dtype: the torch dtype of the products.
    """
    from transformers import BitsAndBytesConfig

    if kind == "none":
        return None
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def context_length(model: ModelFields, location: str) -> int | None:
    """How many tokens the base model can look at, prompt and answer; None if its configuration does not say.

    Raises:
        ModelError: the model cannot be had.
    """
    found = getattr(_config(model, location).get_text_config(), "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def _check_weights(base: str, folder: Path) -> None:
    """Refuse a folder that lacks its weights, or some of them; they are not read."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"model.base: {index}: not an index of weights; get the model again") from error
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"model.base: {base}: no {listed(missing)}; expected all of the model's weights, as safetensors"
        )


def _model_type(model: ModelFields, location: str) -> str:
    return str(_config(model, location).model_type)


def _config(model: ModelFields, location: str) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(location, **_options(model))
    except (OSError, ValueError, ImportError) as error:
        raise _cannot_be_had(model, error) from error


def _check_hub(model: ModelFields) -> None:
    """Tell at once that a model is neither here nor within reach; the hub's client would try for a minute.

    Raises:
        ModelError: the model is not in the hub's cache, and the hub's host cannot be connected to.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    if constants.is_offline_mode():
        return
    cached = try_to_load_from_cache(model.base, "config.json", revision=model.revision)
    host = urllib.parse.urlsplit(constants.ENDPOINT)
    if isinstance(cached, str) or urllib.request.getproxies() or host.hostname is None:
        return
    try:
        socket.create_connection((host.hostname, host.port or 443), timeout=10).close()
    except OSError as error:
        unreachable = OSError(f"not in the local cache, and {host.hostname}: {error.strerror or error}")
        raise _cannot_be_had(model, unreachable) from error


def _options(model: ModelFields) -> dict[str, Any]:
    return {"revision": model.revision or "main", "trust_remote_code": model.trust_remote_code}


def _cannot_be_had(model: ModelFields, error: BaseException) -> ModelError:
    reason = str(error)
    if "trust_remote_code" in reason:
        return ModelError(
            f"model.base: {model.base}: needs code from its repository; read that code, then set "
            "model.trust_remote_code: true"
        )
    if "gated" in reason or "401" in reason or "restricted" in reason:
        return ModelError(
            f"model.base: {model.base}: access is restricted; accept its terms on the hub and set HF_TOKEN"
        )
    return ModelError(
        f"model.base: {model.base}: cannot be had ({first_line(error)}); check the name and the connection, "
        "or name a local folder or embedded:gemma-3-270m"
    )
