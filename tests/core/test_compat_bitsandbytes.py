"""Canaries: sizes of bitsandbytes' blocks and its packing, as core/compat/bitsandbytes.py takes them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from llm_summ.core.compat.bitsandbytes import (
    BLOCK,
    OPTIMIZER_BLOCK,
    SCALES_BLOCK,
    SMALLEST_8_BIT,
    keep_unpacked,
)

pytestmark = [
    pytest.mark.canary,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:::bitsandbytes", "ignore:::torch"),
]


def layer() -> Any:
    from bitsandbytes.nn import Linear4bit

    return Linear4bit(128, 256, bias=False, quant_type="nf4", compress_statistics=True).to("cpu")


def test_blocks_of_weights_and_of_scales() -> None:
    state = layer().weight.quant_state
    assert state.blocksize == BLOCK
    assert state.state2.blocksize == SCALES_BLOCK


def test_blocks_of_an_8_bit_optimizer() -> None:
    import torch
    from bitsandbytes.optim import AdamW8bit, GlobalOptimManager

    # Trainers of other tests left settings there, by the ids of parameters that are gone; an id can come again.
    GlobalOptimManager.get_instance().initialize()
    assert inspect.signature(AdamW8bit).parameters["min_8bit_size"].default == SMALLEST_8_BIT
    large, small = (torch.nn.Parameter(torch.ones(count)) for count in (SMALLEST_8_BIT, SMALLEST_8_BIT - 1))
    optimizer = AdamW8bit([large, small])
    for parameter in (large, small):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert optimizer.state[large]["state1"].dtype is torch.uint8
    assert optimizer.state[large]["absmax1"].numel() == SMALLEST_8_BIT // OPTIMIZER_BLOCK
    assert optimizer.state[small]["state1"].dtype is torch.float32


def test_a_layer_stays_unpacked_when_it_is_evaluated() -> None:
    import torch

    module = layer()
    assert hasattr(module, "support_avx512bf16_for_cpu")
    keep_unpacked(module)
    assert module.support_avx512bf16_for_cpu is False
    module.eval()
    inputs = torch.ones(1, 128, requires_grad=True)
    module(inputs).sum().backward()
    assert inputs.grad is not None
    keep_unpacked(torch.nn.Linear(2, 2))  # nothing to switch off
