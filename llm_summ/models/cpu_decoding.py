"""Faster decoding on a CPU, with one row and one query for each text.

PyTorch computes x Wᵀ for a linear layer. With few rows, W xᵀ takes half to a third of the time (16 rows and a
vocabulary of 262,144 on an EPYC of the third generation with AVX2: 156 ms instead of 309 ms; 8 rows: 97 ms
instead of 273 ms).

PyTorch's fused attention has no kernel for a mask with one query: it copies the keys and values for every query
head, and scales all of the keys at each step. Here a key or value is read once, and the query is scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_summ.core.compat.torch import has_own_forward, replace_forward, restore_forward
from llm_summ.core.compat.transformers import attention_implementation
from llm_summ.models.families import family_of_config
from llm_summ.models.without_adapter import without_adapter

__all__ = ["linear", "own_states", "quick_decoding"]

_WIDE = 1 << 15
"""Layers with more outputs are heads: a contiguous copy of their scores for all rows would take megabytes."""
_FEW = 64
"""The largest number of rows with which W xᵀ is faster."""
_ATTENTION = "llm_summ_decoding"


@contextmanager
def quick_decoding(model: Any) -> Iterator[None]:
    """Use both within a context, where a model's layers are on a CPU.

    Args:
        model: of transformers, with or without an adapter of PEFT.
    """
    with _quick_products(model), _quick_attention(model):
        yield


def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """Return x Wᵀ + b like `torch.nn.functional.linear`, computed in the faster order; it is differentiable.

    Args:
        x: shape (..., i).
        weight: shape (o, i).
        bias: shape (o,), or None.
    """
    import torch
    from torch.nn import functional

    rows = x.numel() // x.shape[-1]
    if (
        not 1 < rows <= _FEW
        or weight.dtype != torch.float32
        or weight.device.type != "cpu"
        or x.dtype != weight.dtype
    ):
        return functional.linear(x, weight, bias)
    product = (weight @ x.reshape(rows, -1).t()).t()
    if len(weight) <= _WIDE:
        product = product.contiguous()  # some models view the result as complex numbers (DeepSeek V2)
    product = product.reshape(*x.shape[:-1], -1)
    return product if bias is None else product + bias


def own_states(view: Any) -> Any:
    """Return a copy of states that are a view of others.

    PyTorch's product of a view in 16 bits on a CPU copies the weights for every row: 0.3 GiB each, half a second,
    for the head of a vocabulary of 262,144. The view of a single row counts as contiguous, though it is a view.
    """
    import torch

    return view.clone(memory_format=torch.contiguous_format)


@contextmanager
def _quick_products(model: Any) -> Iterator[None]:
    """Make a model's linear layers on a CPU use `linear` within a context.

    The head gets `own_states`, since the library selects the last position of (b, s, h).
    """
    import torch

    changed = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda module, inputs: (own_states(inputs[0]),))
    try:
        for module in model.modules():
            # A layer whose forward pass was already replaced (see `models.dequantized`) keeps that one.
            if (
                type(module) is torch.nn.Linear
                and module.weight.device.type == "cpu"
                and not has_own_forward(module)
            ):
                replace_forward(module, lambda x, module=module: linear(x, module.weight, module.bias))
                changed.append(module)
        yield
    finally:
        hook.remove()
        for module in changed:
            restore_forward(module)


@contextmanager
def _quick_attention(model: Any) -> Iterator[None]:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    base = without_adapter(model)
    if base.device.type != "cpu" or attention_implementation(base.config) != "sdpa":
        yield
        return

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        if query.shape[2] > 1 or options.get("dropout"):
            return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        bias = options.get("position_bias")  # T5's
        return _one_query(query, key, value, attention_mask, bias, options.get("scaling")), None

    AttentionInterface.register(_ATTENTION, attend)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    parts = family_of_config(base.config).attention_parts(base)
    for part in parts:
        part.set_attn_implementation(_ATTENTION)
    try:
        yield
    finally:
        for part in parts:
            part.set_attn_implementation("sdpa")


def shares_keys(model: Any) -> bool:
    """Return whether several rows of queries may share the keys and values of one row: within `quick_decoding`."""
    base = without_adapter(model)
    return bool(attention_implementation(base.get_decoder().config) == _ATTENTION)


def _one_query(query: Any, key: Any, value: Any, mask: Any, bias: Any, scaling: float | None) -> Any:
    """Return the attention's output, shape (b, 1, h, e).

    Args:
        query: shape (b, h, 1, d).
        key: shape (b / k, g, s, d): k successive rows of queries share it; h is a multiple of g, and every h / g
            queries of a row share it, too.
        value: shape (b / k, g, s, e).
        mask: shape (b, 1, 1, s), False or a large negative number at masked positions; or None.
        bias: added to the scores, shape (1, h, 1, s); or None.
        scaling: of the scores; None: 1 / sqrt(d).
    """
    import torch

    rows, heads, _, size = query.shape
    of_keys, groups, length, _ = key.shape
    shared, each = rows // of_keys, heads // groups
    scaled = query.reshape(of_keys, shared, groups, each, size) * (size**-0.5 if scaling is None else scaling)
    scores = scaled.transpose(1, 2).reshape(of_keys, groups, shared * each, size) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias.reshape(1, groups, 1, each, length).expand(-1, -1, shared, -1, -1).flatten(2, 3)
    if mask is not None:
        mask = mask[::shared, ..., :length]
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores + mask
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
    found = (weights @ value).reshape(of_keys, groups, shared, each, value.shape[-1]).transpose(1, 2)
    return found.reshape(rows, heads, 1, value.shape[-1]).transpose(1, 2)
