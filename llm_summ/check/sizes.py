"""Bytes that can be computed from shapes: weights, trained tensors, and the states of the optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_summ.core.compat.bitsandbytes import BLOCK, OPTIMIZER_BLOCK, SCALES_BLOCK, SMALLEST_8_BIT
from llm_summ.models.base_facts import own_quantization

__all__ = [
    "Trained",
    "file_bytes",
    "optimizer_bytes",
    "quantized_layers",
    "still_mapped",
    "trained",
    "update_bytes",
    "weight_bytes",
]

# States of each parameter; Adafactor has one for each row and each column, SGD without momentum none.
_STATES = {
    "adamw_torch": 2,
    "adamw_8bit": 2,
    "paged_adamw_8bit": 2,
    "paged_adamw_32bit": 2,
    "lion_8bit": 1,
    "sgd": 0,
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A tensor that is trained.

    Attributes:
        shape: its shape.
        embedding: whether it is a table of embeddings, whose states transformers keeps in 32 bits.
    """

    shape: tuple[int, ...]
    embedding: bool = False

    @property
    def count(self) -> int:
        """The number of its parameters."""
        return math.prod(self.shape)


def quantized_layers(model: Any) -> list[Any]:
    """Return the linear layers that bitsandbytes quantizes."""
    import bitsandbytes

    kinds = (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt)
    return [module for module in model.modules() if isinstance(module, kinds)]


def trained(model: Any) -> list[Trained]:
    """Return the tensors that are trained; a tied one once.

    Args:
        model: without weights; it may have an adapter.
    """
    from torch import nn

    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return [
        Trained(tuple(tensor.shape), id(tensor) in tables) for tensor in model.parameters() if tensor.requires_grad
    ]


def weight_bytes(model: Any) -> int:
    """Return the bytes of the base model, or of the model itself if all of it is trained.

    Args:
        model: without weights; it may have an adapter.
    """
    layers = {id(layer.weight): layer for layer in quantized_layers(model)}
    return sum(
        _quantized_bytes(layers[id(parameter)])
        if id(parameter) in layers
        else parameter.numel() * parameter.element_size()
        for parameter in _base(model)
    )


def _quantized_bytes(layer: Any) -> int:
    """Return the bytes of a quantized layer's weights and scales."""
    import bitsandbytes

    weight = layer.weight
    count = int(weight.numel())
    if isinstance(layer, bitsandbytes.nn.Linear8bitLt):
        return count + 4 * int(weight.shape[0])
    blocks = math.ceil(count / BLOCK)
    is_double = weight.compress_statistics
    return math.ceil(count / 2) + (blocks + 4 * math.ceil(blocks / SCALES_BLOCK) if is_double else 4 * blocks)


def optimizer_bytes(tensors: Sequence[Trained], name: str) -> int:
    """Return the bytes of the optimizer's states.

    Args:
        tensors: the trained ones.
        name: the optimizer; not `auto`.
    """
    return sum(_state_bytes(tensor, name) for tensor in tensors)


def _state_bytes(tensor: Trained, name: str) -> int:
    if name == "adafactor":
        if len(tensor.shape) < 2:
            return 4 * tensor.count
        *others, rows, columns = tensor.shape
        return 4 * math.prod(others) * (rows + columns)
    if name.endswith("8bit") and tensor.count >= SMALLEST_8_BIT and not tensor.embedding:
        return _STATES[name] * (tensor.count + 4 * math.ceil(tensor.count / OPTIMIZER_BLOCK))
    return _STATES[name] * 4 * tensor.count


def update_bytes(tensors: Sequence[Trained], name: str, *, on_gpu: bool) -> int:
    """Return the bytes of an optimizer's temporary buffers, without its states.

    Args:
        tensors: the trained ones.
        name: the optimizer; not `auto`.
        on_gpu: whether it runs on a GPU, where PyTorch's AdamW updates all tensors at once. All others update one
            after the other. On a CPU that needs several copies of the largest tensor (for 8-bit optimizers and
            Adafactor their number was fitted to measured peaks).
    """
    counts = [tensor.count for tensor in tensors]
    if on_gpu:
        return 4 * sum(counts) if name == "adamw_torch" else 0
    return 4 * {"sgd": 0, "adamw_torch": 2}.get(name, 6) * max(counts)


def file_bytes(model: Any, location: str) -> int:
    """Return the bytes of the weights' files; if they are not local, assume 16 bits, as most models have.

    Those of a base that is quantized already are as large as its weights in memory.
    """
    files = sum(path.stat().st_size for path in Path(location).glob("*.safetensors"))
    if files or own_quantization(model.config) is None:
        return files or 2 * sum(parameter.numel() for parameter in _base(model))
    return weight_bytes(model)


def still_mapped(model: Any, file: int, dtype: str) -> int:
    """Return the bytes of a mapped file that stay in a CPU's memory without being used.

    A file in the compute dtype is used in place, so all of it stays mapped, with the layers that were quantized.
    """
    import torch

    width = getattr(torch, dtype).itemsize
    if abs(file / (width * sum(parameter.numel() for parameter in _base(model))) - 1) > 0.05:
        return 0
    return int(width * sum(layer.weight.numel() for layer in quantized_layers(model)))


def _base(model: Any) -> list[Any]:
    """Return the parameters without those of an adapter, a tied one once; without an adapter, all of them."""
    parameters = list(model.parameters())
    return [parameter for parameter in parameters if not parameter.requires_grad] or parameters
