"""Check of a few merged layers against W + scale B A, computed here and not by the library that merged them.

LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685, section 4.1. The scale is alpha / r, or for rsLoRA
alpha / sqrt(r): Kalajdzievski 2023, https://arxiv.org/abs/2312.03732.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_summ.core.compat.peft import BASE_PREFIX
from llm_summ.core.records import JsonRecord
from llm_summ.models.text_part import text_part_name

__all__ = ["LayerCheck", "LayerSum", "check_layers", "expected_layers", "lora_scale"]

_LAYERS = 8
_ROWS = 256  # of a layer's weight: enough to see a wrong scale, and small for any model


@dataclass(frozen=True, slots=True)
class LayerSum:
    """The expected first rows of a layer's merged weight.

    Attributes:
        name: the layer's name in the base model.
        weight: W + scale B A in float64, shape [rows, inputs].
        rounding: the largest difference that rounding can make, shape [rows, inputs].
    """

    name: str
    weight: Any
    rounding: Any


@dataclass(frozen=True, slots=True)
class LayerCheck(JsonRecord):
    """Differences between merged weights and the formula.

    Attributes:
        layers: number of compared layers.
        largest: the largest difference.
        rounding: the largest ratio of a difference to the largest that rounding explains; above 1 the merge is
            wrong.
        where: the layer with that ratio.
    """

    layers: int
    largest: float
    rounding: float
    where: str


def lora_scale(config: Mapping[str, Any], layer: str, rank: int) -> float:
    """Return the factor of a layer's product B A.

    Args:
        config: the adapter's `adapter_config.json`.
        layer: its name in the base model; `alpha_pattern` can set its alpha.
        rank: of the layer's product, which `rank_pattern` can set.
    """
    patterns = dict(config.get("alpha_pattern") or {}).items()
    alphas = (alpha for pattern, alpha in patterns if re.fullmatch(rf"(.*\.)?({pattern})", layer))
    alpha = float(next(alphas, config["lora_alpha"]))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def expected_layers(model: Any, config: Mapping[str, Any], dtype: Any) -> list[LayerSum]:
    """Return the expected weights of a few adapted layers, from the first to the last.

    Args:
        model: the base with the adapter attached.
        config: the adapter's `adapter_config.json`.
        dtype: the torch dtype of the merge.
    """
    import torch

    adapted = [
        (name.removeprefix(BASE_PREFIX), module)
        for name, module in model.named_modules()
        if isinstance(getattr(module, "base_layer", None), torch.nn.Linear) and "default" in module.lora_A
    ]
    if config.get("use_dora"):
        return []  # the formula is different
    # Evenly spaced, from the first to the last.
    places = sorted(
        {round(part * (len(adapted) - 1) / (_LAYERS - 1)) for part in range(_LAYERS)} if adapted else ()
    )
    sums = []
    for name, module in (adapted[place] for place in places):
        a, b = (side["default"].weight.detach() for side in (module.lora_A, module.lora_B))
        rank = a.shape[0]
        scale = lora_scale(config, name, rank)
        weight, a, b = (part.detach().cpu().double() for part in (module.base_layer.weight[:_ROWS], a, b[:_ROWS]))
        delta = scale * b @ a
        # The product is summed in float32, rounded to the dtype, added, and rounded again.
        exact, single = torch.finfo(dtype), torch.finfo(torch.float32)
        rounding = exact.eps * (weight.abs() + delta.abs() + exact.smallest_normal)
        rounding += 2 * single.eps * rank * abs(scale) * (b.abs() @ a.abs())
        sums.append(LayerSum(name, weight + delta, rounding))
    return sums


def check_layers(model: Any, sums: Sequence[LayerSum]) -> LayerCheck | None:
    """Compare a merged model with its expected layers; return None if there are none."""
    differences = []
    for expected in sums:
        layer = _layer(model, expected.name)
        if layer is None and text_part_name(expected.name) == expected.name:
            continue  # a layer of the vision part, which the merged model lacks
        weight = layer.weight[: len(expected.weight)].detach().cpu().double()
        # NaN counts as an infinite difference; Python's max would ignore it.
        off = (weight - expected.weight).abs().nan_to_num(nan=math.inf)
        differences.append(((off / expected.rounding).max().item(), off.max().item(), expected.name))
    if not differences:
        return None
    rounding, _, where = max(differences)
    return LayerCheck(len(differences), max(largest for _, largest, _ in differences), rounding, where)


def _layer(model: Any, name: str) -> Any:
    """Return a layer by its name in the base; the merged model can be only the base's language model."""
    layers = dict(model.named_modules())
    return layers.get(name, layers.get(text_part_name(name)))
