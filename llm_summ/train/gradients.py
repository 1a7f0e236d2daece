"""Norms of the gradients by groups of layers; they show which part of the model is training."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["layer_group_norms"]

_MOST_GROUPS = 4
_LAYER = re.compile(r"\.(\d+)\.(.+)")  # the first number in a parameter's name, and what follows it
_SIDE = re.compile(r"(?:^|\.)(encoder|decoder)\.")


def layer_group_norms(model: Any) -> dict[str, float]:
    """Return the L2 norms of the gradients, by parts of the model.

    The layers, of an encoder-decoder those of each side, are divided into at most four groups of consecutive
    ones, each into attention and MLP:
    ``layers.00-06/attention``, ``layers.00-06/mlp``. Embeddings, head and norms, which only full fine-tuning
    trains, are groups of their own. The squares of all groups add up to the square of the overall norm.

    Call it after the backward pass and, in float16, after the gradients are unscaled. It waits once for the
    device. With sharded gradients (DTensor), every process has to call it.

    Args:
        model: the `grad` of its parameters is read; parameters without one are left out.
    """
    import torch

    names = [name for name, _ in model.named_parameters()]
    layers = 1 + max((int(match[1]) for name in names if (match := _LAYER.search(name))), default=-1)
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
    """Return the norm over several gradients, of shape (), on the first one's device."""
    import torch
    from torch.distributed.tensor import DTensor

    from llm_summ.core.compat.trainer import norms

    parts = norms(list(gradients))
    whole = torch.linalg.vector_norm(torch.stack([norm.to(parts[0].device) for norm in parts]))
    return whole.full_tensor() if isinstance(whole, DTensor) else whole


def _group(name: str, layers: int) -> str:
    """Return the group of a parameter.

    Args:
        name: for instance ``base_model.model.model.layers.3.self_attn.q_proj.lora_A.default.weight``.
        layers: the number of decoder layers.
    """
    if match := _LAYER.search(name):
        layer, part = int(match[1]), match[2].removeprefix("layer.")  # T5 numbers the parts of a layer, too
        part = part.lstrip("0123456789.").partition(".")[0].lower()
        if "norm" in part or part.startswith("ln_"):
            return "norms"
        of_two = _SIDE.search(name)
        side = f"{of_two[1]}." if of_two else ""
        size = -(-layers // _MOST_GROUPS)
        first = layer // size * size
        last = min(first + size, layers) - 1
        kind = "attention" if "attn" in part or "attention" in part else "mlp"
        return f"{side}layers.{first:02}-{last:02}/{kind}"
    if "lm_head" in name:
        return "head"
    return "norms" if "norm" in name or ".ln_" in name else "embeddings"
