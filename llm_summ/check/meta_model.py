"""Build the model on PyTorch's meta device: all modules and shapes, without weights.

As in a training, transformers builds it from its configuration and quantizes it, and PEFT adds the adapter. A base
whose own weights are quantized is built as its configuration says, as it is loaded.
"""

from __future__ import annotations

from typing import Any, Literal

from llm_summ.core.compat.peft import is_dropout_refused, is_mamba_refused
from llm_summ.core.compat.transformers import replace_quantized_layers
from llm_summ.core.errors import RecipeError, first_line
from llm_summ.core.formatting import did_you_mean
from llm_summ.models.adapter import lora_config
from llm_summ.models.base import configuration
from llm_summ.models.base_facts import own_quantization
from llm_summ.models.families import ModelFamily, family_of_config
from llm_summ.models.load import attention_options, bitsandbytes_config, quantization_config
from llm_summ.models.trained_weights import trained_weights
from llm_summ.recipe import Recipe

__all__ = ["build_meta_model", "quantized_layers"]


def build_meta_model(recipe: Recipe, location: str, dtype: str) -> Any:
    """Return the model with its adapter on the meta device: modules and shapes, no weights.

    Args:
        recipe: sets the quantization (of a base that is not quantized already) and the adapted layers, or that
            all weights are trained.
        location: the base model's folder or hub id.
        dtype: name of the dtype of weights that are neither quantized nor trained; trained ones are in float32.

    Raises:
        ModelError: the model's configuration is unavailable.
        RecipeError: `lora.targets` names no layer of the model.
    """
    import torch

    fields, weights = recipe.model, trained_weights(recipe)
    compute = getattr(torch, weights.stored_dtype(dtype))
    code = {"trust_remote_code": fields.trust_remote_code}
    config = configuration(fields, location)
    quantization = bitsandbytes_config(own_quantization(config)) or quantization_config(
        fields.quantization, double=fields.double_quantization, compute_dtype=compute
    )
    family = family_of_config(config)
    attention = attention_options(config.model_type)
    with torch.device("meta"):
        model = family.auto_class().from_config(config, dtype=compute, **attention, **code)
    if quantization is not None:
        replace_quantized_layers(model, quantization, compute)
    return weights.adapted(model, lambda base: _with_adapter(base, recipe, family))


def _with_adapter(model: Any, recipe: Recipe, family: ModelFamily) -> Any:
    """Return the model with an adapter; its own weights are frozen.

    Raises:
        RecipeError: `lora.targets` names no layer of the model, or PEFT refuses it.
    """
    from peft import inject_adapter_in_model

    model.requires_grad_(False)
    _check_targets(model, recipe.lora.targets)
    lora = recipe.lora.model_copy(update={"init": "default"})  # weights have no values here
    try:
        model = inject_adapter_in_model(lora_config(lora, family), model, low_cpu_mem_usage=True)
    except ValueError as error:
        raise _cannot_be_adapted(model, recipe, error) from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def _cannot_be_adapted(model: Any, recipe: Recipe, error: ValueError) -> RecipeError:
    """Return the error for targets that PEFT refuses, with what to set instead."""
    import torch

    if is_dropout_refused(error):
        return RecipeError(
            f"lora.dropout: {recipe.lora.dropout:g} is not supported for experts ({recipe.model.base}); set it "
            "to 0, or name other layers in lora.targets"
        )
    if is_mamba_refused(error) and recipe.lora.targets == "all-linear":
        names = {
            name.rpartition(".")[2]
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear) and module is not model.get_output_embeddings()
        }
        left = ", ".join(sorted(names - {"out_proj", "conv1d"}))
        return RecipeError(
            f"lora.targets: all-linear includes layers of {recipe.model.base} that carry a state, which cannot be "
            f"adapted; set it to [{left}]"
        )
    return RecipeError(f"lora.targets: {first_line(error)}")


def _check_targets(model: Any, targets: Literal["all-linear"] | list[str]) -> None:
    """Refuse names that no layer has, which PEFT ignores, and the head, which TRL does not train.

    Raises:
        RecipeError: names the first of them.
    """
    if targets == "all-linear":
        return
    matrices = {name for name, weight in model.named_parameters(remove_duplicate=False) if weight.ndim == 2}
    layers = {name.removesuffix(".weight") for name in matrices}
    names = sorted({layer.rpartition(".")[2] for layer in layers})
    for target in targets:
        matches = [layer for layer in layers if layer == target or layer.endswith(f".{target}")]
        if not matches:
            hint = did_you_mean(target, names, f"layers here: {', '.join(names)}")
            raise RecipeError(f"lora.targets: no layer is called {target}; {hint}")
        if any(model.get_submodule(layer) is model.get_output_embeddings() for layer in matches):
            raise RecipeError(f"lora.targets: {target} is the model's head, which cannot be adapted; leave it out")
        is_tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
        if is_tied and any(model.get_submodule(layer) is model.get_input_embeddings() for layer in matches):
            raise RecipeError(
                f"lora.targets: {target} is both the table of embeddings and the head of this model, so a merge "
                "would change both; leave it out"
            )


def quantized_layers(model: Any) -> list[Any]:
    """Return the linear layers that bitsandbytes quantizes."""
    import bitsandbytes

    kinds = (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt)
    return [module for module in model.modules() if isinstance(module, kinds)]
