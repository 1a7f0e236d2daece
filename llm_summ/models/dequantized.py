"""Dequantize the weights of 4-bit layers once on a CPU, if memory allows it.

On a CPU bitsandbytes dequantizes the weights of a layer for every product, forward and backward, and then
multiplies as PyTorch does. With stored dequantized weights the products are the same, except for the order in
which sums are rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_summ.core.compat.torch import replace_forward, restore_forward
from llm_summ.models.cpu_decoding import linear

__all__ = ["dequantized_bytes", "keep_dequantized", "with_adapter_merged"]


def keep_dequantized(model: Any, room: int) -> int:
    """Keep the dequantized weights of a model's 4-bit layers, if they fit.

    The 4-bit weights stay, so that saving and merging do not change.

    Args:
        model: on a CPU; its layers are changed in place.
        room: bytes that the weights may take.

    Returns:
        the bytes that they take; 0: they do not fit, there are none, or the layers are not on a CPU.
    """
    from bitsandbytes.functional import dequantize_4bit

    layers = list(_layers(model))
    taken = sum(map(_bytes, layers))
    if not taken or taken > room or any(layer.weight.device.type != "cpu" for layer in layers):
        return 0
    for layer in layers:
        state = layer.weight.quant_state
        # As in bitsandbytes, in the dtype of the products, to which the input is cast.
        weight = dequantize_4bit(layer.weight.data, state).to(layer.compute_dtype)
        replace_forward(layer, _DequantizedForward(layer, weight))
    return taken


def dequantized_bytes(model: Any) -> int:
    """Return the bytes that the dequantized weights of a model's 4-bit layers would take."""
    return sum(map(_bytes, _layers(model)))


@contextmanager
def with_adapter_merged(model: Any) -> Iterator[None]:
    """Compute with the adapter added to dequantized weights within a context; the model is restored afterwards.

    It saves two products a layer while texts are generated. Sums are rounded in another order than with a separate
    adapter. In 16 bits that rounding would change weights by more than the adapter does, so nothing is merged
    there.

    Args:
        model: with an adapter of PEFT; layers whose weights are not dequantized, or not in float32, do not change.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    merged = []
    try:
        with torch.no_grad():
            for module in model.modules():
                dense = getattr(getattr(module, "base_layer", None), "forward", None)
                if (
                    isinstance(module, LoraLayer)
                    and isinstance(dense, _DequantizedForward)
                    and dense.weight.dtype == torch.float32
                ):
                    delta = sum(module.get_delta_weight(name) for name in module.active_adapters)
                    replace_forward(module, _DequantizedForward(module.base_layer, dense.weight + delta))
                    merged.append(module)
        yield
    finally:
        for module in merged:
            restore_forward(module)


class _DequantizedForward:
    """The forward pass of a 4-bit layer with its dequantized weights.

    Args:
        layer: of bitsandbytes.
        weight: of shape (out, in), in the dtype of the products.
    """

    def __init__(self, layer: Any, weight: Any) -> None:
        self._layer, self.weight = layer, weight

    def __call__(self, x: Any) -> Any:
        """Return the layer's output, in the dtype of `x`."""
        bias = self._layer.bias
        if bias is not None:
            bias = bias.to(self.weight.dtype)
        return linear(x.to(self.weight.dtype), self.weight, bias).to(x.dtype)


def _layers(model: Any) -> Iterator[Any]:
    from bitsandbytes.nn import Linear4bit

    return (module for module in model.modules() if isinstance(module, Linear4bit))


def _bytes(layer: Any) -> int:
    size = 4 if layer.compute_dtype is None else layer.compute_dtype.itemsize
    return int(layer.in_features * layer.out_features * size)
