"""Faster attention for decoding on a CPU, with one query for each text.

On a CPU PyTorch's fused attention has no kernel for a mask with one query: it copies the keys and values for every
query head, and scales all of the keys at each step. Here a key or value is read once, and the query is scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_summ.core.compat.transformers import attention_implementation

__all__ = ["quick_decoding"]

_NAME = "llm_summ_decoding"


@contextmanager
def quick_decoding(model: Any) -> Iterator[None]:
    """Use this attention within a context, for a model on a CPU with PyTorch's fused attention.

    Args:
        model: of transformers, with or without an adapter of PEFT.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if base.device.type != "cpu" or attention_implementation(base.config) != "sdpa":
        yield
        return

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any) -> Any:
        if query.shape[2] > 1 or options.get("dropout"):
            return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return _one_query(query, key, value, attention_mask, options.get("scaling")), None

    AttentionInterface.register(_NAME, attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    base.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        base.set_attn_implementation("sdpa")


def _one_query(query: Any, key: Any, value: Any, mask: Any, scaling: float | None) -> Any:
    """Return the attention's output, shape (b, 1, h, e).

    Args:
        query: shape (b, h, 1, d).
        key: shape (b, g, s, d); h is a multiple of g, and every h / g queries share a key.
        value: shape (b, g, s, e).
        mask: shape (b, 1, 1, s), False or a large negative number at masked positions; or None.
        scaling: of the scores; None: 1 / sqrt(d).
    """
    import torch

    rows, heads, _, size = query.shape
    groups = key.shape[1]
    scaled = query.reshape(rows, groups, heads // groups, size) * (size**-0.5 if scaling is None else scaling)
    scores = scaled @ key.transpose(-1, -2)
    if mask is not None:
        mask = mask[..., : key.shape[2]]
        if mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores + mask
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
    return (weights @ value).reshape(rows, heads, 1, value.shape[-1]).transpose(1, 2)
