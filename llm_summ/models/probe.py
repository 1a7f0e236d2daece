"""Measure the speed of a device with three products, and a layer of a small model with its adapter."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from llm_summ.models.device import Device

__all__ = ["probe"]

_SECONDS = 0.12  # for each of four measurements
_TABLE, _TEXTS = 32768, 16  # rows of the head, and texts that are decoded at a time
_RANK, _HEADS = 16, 4


def probe(device: Device, dtype: str) -> tuple[float, float, float, float]:
    """Measure GFLOP/s; it takes half a second, or one second on a slow CPU.

    Returns:
        the rate of a product with the tokens of one dialogue, with those of four, with 16 rows, and of a layer's
        forward and backward pass with the tokens of one dialogue.
    """
    import torch
    from torch.nn.functional import linear

    where, kind = torch.device(device.kind), getattr(torch, dtype)
    on_gpu = device.kind == "cuda"
    width, wide, rows = (4096, 4096, 4096) if on_gpu else (640, 2048, 384)
    states = torch.randn(4 * rows, width, device=where, dtype=kind)
    layer = torch.randn(wide, width, device=where, dtype=kind)
    table = torch.randn(_TABLE, width, device=where, dtype=kind)
    few = torch.randn(_TEXTS, width, device=where, dtype=kind)
    wait = torch.cuda.synchronize if on_gpu else None
    with torch.inference_mode():
        one = 2e-9 * rows * width * wide / _seconds(lambda: linear(states[:rows], layer), wait)
        four = 8e-9 * rows * width * wide / _seconds(lambda: linear(states, layer), wait)
        head = 2e-9 * _TEXTS * width * _TABLE / _seconds(lambda: table @ few.t(), wait)
    weights, trained = _layer(width, wide, where, kind)
    # Half of the tokens are enough: a slow CPU should not take seconds.
    inputs = states[: rows // 2].clone().requires_grad_()
    operations = 4e-9 * sum(weight.numel() for weight in weights) * len(inputs)
    passes = operations / _seconds(lambda: _train(inputs, weights, trained), wait)
    if on_gpu:
        del states, layer, table, few, weights, trained, inputs
        torch.cuda.empty_cache()  # the job that follows needs all of the memory
    return one, four, head, passes


def _layer(width: int, wide: int, device: Any, dtype: Any) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """Return the weights of a layer (q, k, v, o, gate, up, down), and the A and B of each."""
    import torch

    shapes = [(width, width)] * 4 + [(wide, width), (wide, width), (width, wide)]
    weights = [torch.randn(shape, device=device, dtype=dtype) * 0.02 for shape in shapes]
    return weights, [
        (
            torch.randn(_RANK, columns, device=device, requires_grad=True),
            torch.randn(rows, _RANK, device=device, requires_grad=True),
        )
        for rows, columns in shapes
    ]


def _train(states: Any, weights: list[Any], trained: list[tuple[Any, Any]]) -> None:
    """Compute a layer with its adapter, and the gradients, as a training with LoRA does."""
    import torch
    from torch.nn import functional

    def linear(x: Any, index: int) -> Any:
        a, b = (half.to(x.dtype) for half in trained[index])
        return functional.linear(x, weights[index]) + functional.linear(functional.linear(x, a), b)

    def norm(x: Any) -> Any:
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)

    rows, width = states.shape
    x = norm(states)
    q, k, v = (linear(x, index).view(1, rows, _HEADS, -1).transpose(1, 2) for index in range(3))
    attention = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = states + linear(attention.transpose(1, 2).reshape(rows, width), 3)
    y = norm(x)
    x = x + linear(functional.gelu(linear(y, 4), approximate="tanh") * linear(y, 5), 6)
    torch.autograd.grad(x.sum(), [states, *(half for pair in trained for half in pair)])


def _seconds(work: Callable[[], Any], wait: Callable[[], None] | None) -> float:
    """Return the shortest duration of `work`, since others may use the machine; `wait` returns when it is done."""
    work()  # the first call allocates memory
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end or len(times) < 2:
        began = time.perf_counter()
        work()
        if wait is not None:
            wait()
        times.append(time.perf_counter() - began)
    return min(times)
