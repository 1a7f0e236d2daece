"""Load a base's weights: from safetensors only, complete, and quantized as the recipe sets it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from llm_summ.core.compat.bitsandbytes import keep_unpacked
from llm_summ.core.compat.transformers import are_shapes_refused
from llm_summ.core.errors import ModelError, listed
from llm_summ.core.optional_packages import quiet_libraries
from llm_summ.core.progress import say
from llm_summ.models.added_tokens import extend_weights
from llm_summ.models.base import configuration, hub_options, load_tokenizer, model_file, unavailable
from llm_summ.models.device import Device, use_attention_without_plans
from llm_summ.models.families import family_of_config
from llm_summ.recipe import ModelFields

__all__ = ["attention_options", "bitsandbytes_config", "keep_trainable", "load_base", "quantization_config"]


def load_base(model: ModelFields, location: str, device: Device, dtype: Any, quantization: Any = None) -> Any:
    """Load and return the base model, from safetensors only.

    Args:
        model: the recipe's fields.
        location: from `base_location`.
        device: to load it on.
        dtype: a torch dtype for weights that are not quantized.
        quantization: from `quantization_config`, or None.

    Raises:
        ModelError: the base is unavailable, or its weights are incomplete.
    """
    quiet_libraries()
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    use_attention_without_plans()  # no effect on a CPU
    # An explicit None would mean that the weights are in full precision, even if the base's file is quantized, and
    # its scales would be left out.
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
        raise unavailable(model, error) from error
    except RuntimeError as error:
        if are_shapes_refused(error):
            raise ModelError(
                f"model.base: {model.base}: the shapes of its weights do not match its configuration; get both "
                "from one repository"
            ) from error
        raise
    _refuse_gaps(model, loaded, info)
    _refuse_a_missing_head(model, location, loaded)
    if model.add_tokens:
        plain = model.model_copy(update={"add_tokens": []})
        extend_weights(model, loaded, load_tokenizer(plain, location))
    return loaded


def _refuse_a_missing_head(model: ModelFields, location: str, loaded: Any) -> None:
    """Refuse a model whose file says that its head is not the table of embeddings, and that has no head.

    transformers takes every T5 for tied unless it finds a head in the weights.

    Raises:
        ModelError: the head is missing.
    """
    path = model_file(model, location, "config.json")
    head = loaded.get_output_embeddings()
    if path is None or head is None or head.weight is not loaded.get_input_embeddings().weight:
        return
    if json.loads(path.read_text(encoding="utf-8")).get("tie_word_embeddings") is False:
        raise ModelError(
            f"model.base: {model.base}: its head is not its table of embeddings (tie_word_embeddings: false), and "
            "its weights have no head; get the whole model again"
        )


def _refuse_gaps(model: ModelFields, loaded: Any, info: dict[str, Collection[Any]]) -> None:
    """Refuse a model with weights that are not in its files, and so are random, or with files that it ignores.

    Args:
        model: the recipe's fields.
        loaded: the model.
        info: transformers' report of the loading, without tied weights and those that the class leaves out on
            purpose.

    Raises:
        ModelError: names the first of them.
    """
    for key, verb in (("missing_keys", "have no"), ("mismatched_keys", "have another shape of")):
        names = sorted(str(name if isinstance(name, str) else name[0]) for name in info.get(key) or ())
        if names:
            raise ModelError(
                f"model.base: {model.base}: its files {verb} {listed(names, 3)} ({len(names)} in all), which "
                "would be random; get the whole model again"
            )
    unused = sorted(map(str, info.get("unexpected_keys") or ()))
    layers = dict(loaded.named_modules())
    # Such as a bias of a layer that is computed without one. Weights of no layer (masks, heads) are harmless.
    wrong = [name for name in unused if hasattr(layers.get(name.rpartition(".")[0]), "weight")]
    if wrong:
        raise ModelError(
            f"model.base: {model.base}: its files have weights that its class does not use: {listed(wrong, 3)} "
            f"({len(wrong)} in all); its configuration may be another model's: get both from one repository"
        )
    if unused:
        say(f"note: {model.base}: {len(unused)} weights of its files are not used, such as {listed(unused, 3)}")


def keep_trainable(model: Any) -> None:
    """Keep a model's 4-bit layers trainable after an evaluation on a CPU."""
    for module in model.modules():
        keep_unpacked(module)


def attention_options(model_type: str) -> dict[str, str]:
    """Return the option for the attention of a model of this type; empty for transformers' default."""
    # transformers' fused attention leaves out Gemma 2's soft-capping of the scores.
    return {"attn_implementation": "eager"} if model_type == "gemma2" else {}


def quantization_config(kind: str, *, double: bool, compute_dtype: Any) -> Any:
    """Return bitsandbytes' configuration for the linear layers (QLoRA, https://arxiv.org/abs/2305.14314), or None.

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


def bitsandbytes_config(fields: Mapping[str, Any] | None) -> Any:
    """Return bitsandbytes' configuration of a base that is quantized already; None if it is not, or otherwise.

    Args:
        fields: from `own_quantization`.
    """
    from transformers import BitsAndBytesConfig

    if fields is None or fields.get("quant_method") != "bitsandbytes":
        return None
    return BitsAndBytesConfig.from_dict(dict(fields))
