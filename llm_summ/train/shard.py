"""Divide a base model among several devices (FSDP), if it does not fit into a single one.

Each layer's weights are gathered when the layer is computed, and freed again (Zhao et al. 2023,
https://arxiv.org/abs/2304.11277; PyTorch's `fully_shard`). With an adapter only the frozen base is divided: the
adapter, its gradients and the optimizer's state are complete in every process, and so are checkpoints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_summ.core.errors import RecipeError
from llm_summ.models.trained_weights import trained_weights
from llm_summ.recipe import Recipe
from llm_summ.train.process_group import ProcessGroup

__all__ = [
    "is_sharded",
    "load_optimizer",
    "load_weights",
    "refuse_what_cannot_be_sharded",
    "shard",
    "whole_state",
]

_SHARDED_OPTIMIZERS = ("adamw_torch", "sgd")


def is_sharded(recipe: Recipe, processes: ProcessGroup) -> bool:
    """Return whether each process of a training holds a part of the base."""
    return processes.world > 1 and recipe.train.parallel == "fsdp"


def refuse_what_cannot_be_sharded(recipe: Recipe, *, on_gpu: bool) -> None:
    """Refuse recipes that FSDP does not support.

    Raises:
        RecipeError: names the field.
    """
    train = recipe.train
    if recipe.model.quantization == "int8":
        raise RecipeError(
            "model.quantization: int8 cannot be divided among devices; set it to nf4 or none, or train.parallel "
            "to ddp"
        )
    name = train.optimizer_name(on_gpu=on_gpu)
    if trained_weights(recipe).shards_optimizer and name not in _SHARDED_OPTIMIZERS:
        raise RecipeError(
            f"train.optimizer: {name} cannot be divided among devices; set it to "
            f"{' or '.join(_SHARDED_OPTIMIZERS)}, or train.parallel to ddp"
        )


def shard(model: Any, kind: str, processes: ProcessGroup) -> None:
    """Divide a model, and keep this process's part on its device.

    Args:
        model: complete, on the CPU or on the device; with an adapter, if one is trained.
        kind: of the device, cuda or cpu.
        processes: the processes; they do not communicate here, so they may call this one after the other.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from llm_summ.core.compat.trainer import keep_quantization_state, layer_classes, let_all_generate_alike

    mesh = init_device_mesh(kind, (processes.world,))
    has_adapter = hasattr(model, "get_base_model")
    base = model.get_base_model() if has_adapter else model
    whole = {parameter for parameter in model.parameters() if parameter.requires_grad} if has_adapter else set()
    for parameter in whole:
        parameter.data = parameter.data.to(kind)
    for module in base.modules():
        keep_quantization_state(module)
    kinds = layer_classes(base)
    for layer in [module for module in base.modules() if type(module).__name__ in kinds]:
        fully_shard(layer, mesh=mesh, ignored_params=whole)
    fully_shard(base, mesh=mesh, ignored_params=whole)
    let_all_generate_alike(base)


def whole_state(model: Any, optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the complete weights and optimizer state of a sharded model, gathered on the CPU.

    Every process has to call it; the first one gets them, the others get empty dictionaries.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    from llm_summ.core.compat.trainer import tied_weights

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, state = get_state_dict(model, optimizer, options=options)
    for tied in tied_weights(model):
        weights.pop(tied, None)  # stored once, under the other name, as the library does
    return weights, state


def load_weights(model: Any, folder: Path) -> None:
    """Load this process's part of a checkpoint's weights; every process reads all of them."""
    from safetensors.torch import load_file
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    weights = {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}
    # Tied weights are saved once.
    set_model_state_dict(model, weights, options=StateDictOptions(full_state_dict=True, strict=False))


def load_optimizer(model: Any, optimizer: Any, folder: Path) -> None:
    """Load this process's part of a checkpoint's optimizer state; every process reads all of it."""
    import torch
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    state = torch.load(folder / "optimizer.pt", weights_only=True)
    set_optimizer_state_dict(model, optimizer, state, options=StateDictOptions(full_state_dict=True))
