"""Build the model on PyTorch's meta device: all modules and shapes, without weights.

As in a training, transformers builds it from its configuration and quantizes it, and PEFT adds the adapter. A base
whose own weights are quantized is built as its configuration says, as it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from llm_summ.check.sizes import Trained, file_bytes, still_mapped, trained, weight_bytes
from llm_summ.core.compat.peft import is_dropout_refused, is_mamba_refused
from llm_summ.core.compat.transformers import replace_quantized_layers
from llm_summ.core.errors import RecipeError, first_line
from llm_summ.core.formatting import did_you_mean
from llm_summ.models.adapter import lora_config
from llm_summ.models.base import configuration
from llm_summ.models.base_facts import own_quantization
from llm_summ.models.dequantized import dequantized_bytes
from llm_summ.models.duration import ModelSize, model_size
from llm_summ.models.families import ModelFamily, family_of_config
from llm_summ.models.load import attention_options, bitsandbytes_config, quantization_config
from llm_summ.models.trained_weights import trained_weights
from llm_summ.recipe import Recipe

__all__ = ["MetaModel", "build_meta_model"]


@dataclass(frozen=True, slots=True)
class MetaModel:
    """A model to be trained, without weights, and all that an estimate needs to know of its base.

    Attributes:
        module: on the meta device, with its adapter. An estimate changes it, so it has no other use afterwards.
        family: of the base.
        size: its weights by where they are used.
        trained: the tensors that are trained; a tied one once.
        weights: bytes of the base, or of the model itself if all of it is trained.
        files: bytes of the weights' files.
        mapped: bytes of these files that stay in a CPU's memory without being used.
        dequantized: bytes of the 4-bit layers' weights in the compute dtype.
        adapts_experts: whether the adapter is for fused experts.
    """

    module: Any
    family: ModelFamily
    size: ModelSize
    trained: tuple[Trained, ...]
    weights: int
    files: int
    mapped: int
    dequantized: int
    adapts_experts: bool

    @property
    def architecture(self) -> str:
        """Transformers' name of the base's family, such as ``llama``."""
        return str(self.module.config.model_type)

    @property
    def vocabulary(self) -> int:
        """The width of the head."""
        return int(self.module.get_output_embeddings().weight.shape[0])


def build_meta_model(recipe: Recipe, location: str, dtype: str) -> MetaModel:
    """Return the model with its adapter on the meta device: modules and shapes, no weights.

    Args:
        recipe: sets the quantization (of a base that is not quantized already) and the adapted layers, or that
            all weights are trained.
        location: the base model's folder or hub id.
        dtype: name of the dtype to compute in.

    Raises:
        ModelError: the model's configuration is unavailable.
        RecipeError: `lora.targets` names no layer of the model.
    """
    config = configuration(recipe.model, location)
    family = family_of_config(config)
    module = trained_weights(recipe).adapted(
        _base(recipe, config, family, dtype), lambda base: _with_adapter(base, recipe, family)
    )
    files = file_bytes(module, location)
    return MetaModel(
        module,
        family,
        model_size(module),
        tuple(trained(module)),
        weight_bytes(module),
        files,
        still_mapped(module, files, dtype),
        dequantized_bytes(module),
        # PEFT adapts fused experts as parameters, not as layers.
        adapts_experts=any(type(layer).__name__ == "ParamWrapper" for layer in module.modules()),
    )


def _base(recipe: Recipe, config: Any, family: ModelFamily, dtype: str) -> Any:
    """Return the base on the meta device, quantized as it is loaded.

    Args:
        recipe: sets the quantization.
        config: of transformers.
        family: of the base.
        dtype: name of the dtype of weights that are neither quantized nor trained; trained ones are in float32.
    """
    import torch

    fields = recipe.model
    compute = getattr(torch, trained_weights(recipe).stored_dtype(dtype))
    quantization = bitsandbytes_config(own_quantization(config)) or quantization_config(
        fields.quantization, double=fields.double_quantization, compute_dtype=compute
    )
    attention, code = attention_options(config.model_type), {"trust_remote_code": fields.trust_remote_code}
    with torch.device("meta"):
        model = family.auto_class().from_config(config, dtype=compute, **attention, **code)
    if quantization is not None:
        replace_quantized_layers(model, quantization, compute)
    return model


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
