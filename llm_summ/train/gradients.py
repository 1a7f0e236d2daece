"""Norms of the gradients by groups of layers: which part of the model is learning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["layer_group_norms"]

_MOST_GROUPS = 4
_LAYER = re.compile(r"\.(\d+)\.([^.]+)")  # the first number in a parameter's name, and what follows it


def layer_group_norms(model: Any) -> dict[str, float]:
    """The L2 norms of the gradients, by parts of the model.

    The decoder layers are divided into at most four groups of consecutive layers, each into attention and MLP:
    ``layers.00-06/attention``, ``layers.00-06/mlp``. Embeddings, head and norms, which only full fine-tuning
    trains, are groups of their own. The squares of all groups add up to the square of the overall norm.

    Call it after the backward pass and, in float16, after the gradients are unscaled. The device is waited for
    once. With gradients that are sharded (DTensor), every process has to call it.

    Args:
        model: its parameters' `grad` are read; those that have none are left out.
    """
    import torch

    names = [name for name, _ in model.named_parameters()]
    layers = 1 + max((int(found[1]) for name in names if (found := _LAYER.search(name))), default=-1)
    gradients: dict[str, list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            gradients.setdefault(_group(name, layers), []).append(parameter.grad)
    if not gradients:
        return {}
    groups = sorted(gradients)
    norms = torch.stack([_norm(gradients[group]) for group in groups])
    return dict(zip(groups, norms.tolist(), strict=True))


def _norm(gradients: Iterable[Any]) -> Any:
    """The norm of several gradients as one number on the first one's device, of shape ()."""
    import torch
    from torch.distributed.tensor import DTensor

    from llm_summ.core.compat.trainer import norms

    parts = norms(list(gradients))
    whole = torch.linalg.vector_norm(torch.stack([norm.to(parts[0].device) for norm in parts]))
    return whole.full_tensor() if isinstance(whole, DTensor) else whole


def _group(name: str, layers: int) -> str:
    """The group of a parameter.

    Args:
        name: for instance ``base_model.model.model.layers.3.self_attn.q_proj.lora_A.default.weight``.
        layers: how many decoder layers there are.
    """
    if found := _LAYER.search(name):
        layer, part = int(found[1]), found[2]
        if "norm" in part or part.startswith("ln_"):
            return "norms"
        size = -(-layers // _MOST_GROUPS)
        first = layer // size * size
        last = min(first + size, layers) - 1
        return f"layers.{first:02}-{last:02}/{'attention' if 'attn' in part or 'attention' in part else 'mlp'}"
    if "lm_head" in name:
        return "head"
    return "norms" if "norm" in name or ".ln_" in name else "embeddings"
