"""transformers: a model's attention, quantized layers without weights, and why a model is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "GGUF_NAME_FIELD",
    "LANGUAGE_MODEL_PREFIX",
    "NO_MAXIMUM_LENGTH",
    "Refusal",
    "are_shapes_refused",
    "attention_implementation",
    "is_model_code",
    "refusal",
    "replace_quantized_layers",
    "without_full_masks",
]

GGUF_NAME_FIELD = "_model_name_or_path"
"""Field of a configuration in which transformers stores the model's name from a GGUF file. With it a converted
configuration is byte for byte what transformers itself would write."""

LANGUAGE_MODEL_PREFIX = "language_model."
"""Prefix of weights' names in a model that also reads pictures; the language model alone names them without it. No
public function converts the names. Without it no such model can be merged."""

NO_MAXIMUM_LENGTH = int(1e30)
"""`model_max_length` of a tokenizer without a maximum (VERY_LARGE_INTEGER). Importing the module that has it takes
seconds. With it a converted tokenizer is byte for byte what transformers itself would write."""

Refusal = Literal["unknown-architecture", "needs-own-code", "restricted", "no-safetensors"]
"""Why a model is refused, as `refusal` returns it."""


def attention_implementation(config: Any) -> str:
    """Return how a model computes its attention, such as ``sdpa`` or ``eager``.

    A public method sets it, but none returns it. Without it decoding on a CPU is slower, and an estimate
    does not count the scores of eager attention.

    Args:
        config: of a model that is built already; before that no attention is chosen.
    """
    return str(config._attn_implementation)


@contextmanager
def without_full_masks() -> Iterator[None]:
    """Let fused attention run without a mask if there is neither padding nor a window.

    transformers does so itself, but only after reading data, which fake tensors do not have. The public
    `AttentionMaskInterface.register` changes the library's own entry for good; an entry of the instance hides
    it until the entry is deleted. Without it an estimate counts masks that are never made.
    """
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

    def mask(**options: Any) -> Any:
        window = options.get("local_size")
        return None if window is None or options["kv_length"] < window else sdpa_mask(**options)

    ALL_MASK_ATTENTION_FUNCTIONS["sdpa"] = mask
    try:
        yield
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]


def replace_quantized_layers(model: Any, quantization: Any, dtype: Any) -> None:
    """Replace the linear layers of a model without weights by bitsandbytes' layers, as loading the model does.

    The public API does so only while it loads weights. PEFT chooses its layers by the mark on the model, which
    loading sets as well. Without it memory cannot be estimated for a quantized base.

    Args:
        model: on the meta device.
        quantization: transformers' `BitsAndBytesConfig`.
        dtype: the torch dtype of all other layers.
    """
    from transformers.quantizers import AutoHfQuantizer

    quantizer = AutoHfQuantizer.from_config(quantization, pre_quantized=False)
    quantizer.preprocess_model(model=model, dtype=dtype, device_map={"": "cpu"})
    setattr(model, "is_loaded_in_8bit" if quantization.load_in_8bit else "is_loaded_in_4bit", True)


def refusal(error: BaseException) -> Refusal | None:
    """Return why transformers refuses a model, from its message; None for any other reason.

    All of them are OSError or ValueError. Without it the advice is "check the name and the connection" for all.
    """
    reason = str(error)
    if "does not recognize this architecture" in reason:
        return "unknown-architecture"
    if "trust_remote_code" in reason:
        return "needs-own-code"
    if "gated" in reason or "401" in reason or "restricted" in reason:
        return "restricted"
    if "safetensors" in reason and "file named" in reason:
        return "no-safetensors"
    return None


def are_shapes_refused(error: RuntimeError) -> bool:
    """Return whether weights are refused because their shapes differ from the configuration's.

    Any failure while loading is a RuntimeError. Without it this one ends in a traceback.
    """
    return "size mismatch" in str(error) or "ignore_mismatched_sizes" in str(error)


def is_model_code(filename: str) -> bool:
    """Return whether a file is a model's own code, in transformers or in the model's repository.

    All of them are named modeling_….py. Without it an error in a model's own code is reported as one of the
    estimate.
    """
    return Path(filename).name.startswith("modeling_")
