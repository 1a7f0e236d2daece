"""bitsandbytes: sizes of its blocks, and 4-bit layers that stay trainable on a CPU."""

from __future__ import annotations

from typing import Any

__all__ = ["BLOCK", "OPTIMIZER_BLOCK", "SCALES_BLOCK", "SMALLEST_8_BIT", "keep_unpacked"]

BLOCK = 64
"""Weights that share a scale in the 4-bit formats. It is the default of a function's argument. If it
is wrong, the memory of quantized weights is estimated wrongly; so it is with the other sizes here."""

SCALES_BLOCK = 256
"""Scales that share a scale with double quantization. It is a number within a function."""

OPTIMIZER_BLOCK = 256
"""Numbers of an 8-bit optimizer's state that share a scale. It is a number within a method."""

SMALLEST_8_BIT = 4096
"""Parameters from which a tensor's state is kept in 8 bits. It is the default of an argument."""


def keep_unpacked(module: Any) -> None:
    """Keep a 4-bit layer from packing its weights on a CPU when it is first evaluated.

    On a CPU that multiplies bfloat16, the first pass in evaluation mode packs the weights for a kernel without a
    backward pass, and they stay packed: later training would get no gradient through this layer, with a warning
    but no error (bitsandbytes 0.50.2). A public switch does not exist. Other modules are not changed.
    """
    if hasattr(module, "support_avx512bf16_for_cpu"):
        module.support_avx512bf16_for_cpu = False
