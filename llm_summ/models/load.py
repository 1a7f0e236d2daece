"""A base's weights in memory: from safetensors only, whole, and quantized as the recipe says."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from llm_summ.core.compat.bitsandbytes import keep_unpacked
from llm_summ.core.compat.transformers import are_shapes_refused
from llm_summ.core.errors import ModelError, listed
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.core.progress import say
from llm_summ.models.base import cannot_be_had, configuration, hub_options
from llm_summ.models.device import Device, use_attention_without_plans
from llm_summ.models.families import family_of_config
from llm_summ.recipe import ModelFields

__all__ = ["attention_options", "keep_trainable", "load_base", "quantization_config"]


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
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    use_attention_without_plans()  # changes nothing on a CPU
    # Spelled out, None would mean that the weights are in full precision, whatever the base's file says, and its
    # scales would be left out.
    options = {} if quantization is None else {"quantization_config": quantization}
    config = configuration(model, location)
    try:
        loaded, info = (
            family_of_config(config)
            .auto_class()
            .from_pretrained(
                location,
                dtype=dtype,
                device_map=device.device_map,
                use_safetensors=True,
                output_loading_info=True,
                **options,
                **attention_options(config.model_type),
                **hub_options(model),
            )
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise cannot_be_had(model, error) from error
    except RuntimeError as error:
        if are_shapes_refused(error):
            raise ModelError(
                f"model.base: {model.base}: weights of other shapes than its configuration says; get both from "
                "one repository"
            ) from error
        raise
    _refuse_gaps(model, loaded, info)
    return loaded


def _refuse_gaps(model: ModelFields, loaded: Any, info: dict[str, Collection[Any]]) -> None:
    """Refuse a model some of whose weights were not on disk, so that they are random, or were not taken from it.

    Args:
        model: the recipe's fields.
        loaded: the model.
        info: what transformers says of the loading; tied weights and those that its class leaves out on purpose
            are not in it.

    Raises:
        ModelError: names the first of them.
    """
    for key, what in (("missing_keys", "have no"), ("mismatched_keys", "have another shape of")):
        found = sorted(str(name if isinstance(name, str) else name[0]) for name in info.get(key) or ())
        if found:
            raise ModelError(
                f"model.base: {model.base}: its files {what} {listed(found, 3)} ({len(found)} in all), which "
                "would be random; get the whole model again"
            )
    unused = sorted(map(str, info.get("unexpected_keys") or ()))
    layers = dict(loaded.named_modules())
    # A bias of a layer that is computed without one. What no layer has (masks, other heads) changes nothing.
    wrong = [name for name in unused if hasattr(layers.get(name.rpartition(".")[0]), "weight")]
    if wrong:
        raise ModelError(
            f"model.base: {model.base}: its files have weights that its class does not take: {listed(wrong, 3)} "
            f"({len(wrong)} in all); its configuration may be another model's: get both from one repository"
        )
    if unused:
        say(f"note: {model.base}: {len(unused)} weights of its files are not used, such as {listed(unused, 3)}")


def keep_trainable(model: Any) -> None:
    """Keep a model's 4-bit layers trainable when it is evaluated on a CPU in between."""
    for module in model.modules():
        keep_unpacked(module)


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
